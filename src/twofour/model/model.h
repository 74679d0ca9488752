// A model of any architecture: the interface for training, evaluation, generation, pruning, loading
// and saving. B batch, T tokens of a sequence, N = B·T, D width.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "twofour/model/architectures.h"
#include "twofour/model/network.h"

namespace twofour::model {

using VisitTensor = std::function<void(const std::string& name, at::Tensor& tensor)>;
using VisitLinear = std::function<void(const std::string& name, Linear& layer)>;
using VisitTable = std::function<void(Table& table)>;

/// Copies share their tensors.
class Model {
 public:
  Model() = default;  ///< may only be assigned to
  Model(const ModelConfig& config, std::unique_ptr<Network> network);
  Model(const Model& other);
  Model(Model&&) noexcept = default;
  Model& operator=(Model&&) noexcept = default;
  ~Model() = default;

  const ModelConfig& config() const { return config_; }
  Sizes sizes() const { return network_->sizes(); }
  int64_t context() const { return sizes().context; }  ///< largest number of tokens of a sequence
  int64_t layers() const { return sizes().layers; }    ///< blocks
  const Table& embedding() const { return network_->embedding(); }
  const Table& output() const { return network_->output(); }

  /// Calls fn(name, tensor) for every parameter in a fixed order, with Hugging Face's names; for
  /// those of block i only; and for those outside the blocks. Linear weights are always [out, in]
  /// here.
  void visit(const VisitTensor& fn);
  void visit_block(int64_t i, const VisitTensor& fn);
  void visit_frame(const VisitTensor& fn);

  /// Calls fn(name, layer) for every linear layer, or those of block i; `name` is its weight's.
  void visit_linears(const VisitLinear& fn);
  void visit_block_linears(int64_t i, const VisitLinear& fn);

  /// Calls fn(table) for the embeddings and a separate output matrix.
  void visit_tables(const VisitTable& fn);

  Network& network() { return *network_; }
  const Network& network() const { return *network_; }

 private:
  ModelConfig config_;
  std::unique_ptr<Network> network_;
};

/// Parameters with shapes and no values, for a loader to fill.
Model make_empty(const ModelConfig& config, const at::TensorOptions& options);

/// The same without the blocks, whose tensors are undefined. make_empty_block creates the tensors
/// of block i, drop_block frees them.
Model make_empty_frame(const ModelConfig& config, const at::TensorOptions& options);
void make_empty_block(Model& model, int64_t i, const at::TensorOptions& options);
void drop_block(Model& model, int64_t i);

/// Parameters with shapes and no memory, for their names and sizes.
Model make_shapes(const ModelConfig& config);
int64_t parameters_of(const ModelConfig& config);

/// Initial parameters for training: matrices N(0, deviation²) with the architecture's deviation of
/// each, norms 1, biases 0. A pure function of (config, seed).
Model make_random(const ModelConfig& config, uint64_t seed);

/// Receives the input x [N, in] of each linear layer of a block before its product. A returned
/// tensor replaces the layer's weight [out, in] in this product, with gradients to it and to x;
/// undefined: the layer's own.
using Observer =
    std::function<at::Tensor(const std::string& name, const Linear& layer, const at::Tensor& x)>;

/// A forward pass in pieces, for callers that hold or change one block at a time. start() describes
/// a pass of ids [B, T], which follow the tokens in `cache` (null: none). embed() returns x [N, D],
/// run_block() applies block i, and finish() applies the rest, up to the output matrix's input.
/// start() throws Error if the tokens exceed the context, an id is outside the vocabulary, or the
/// cache has no room or several tokens come while it is not empty. The caller changes a cache's
/// length.
Pass start(const Model& model, const at::Tensor& ids, KeyValueCache* cache = nullptr);
at::Tensor embed(const Model& model, const at::Tensor& ids, const Pass& pass);
at::Tensor run_block(const Model& model, int64_t i, const at::Tensor& x, const Pass& pass,
                     const Observer& observer = {});
at::Tensor finish(const Model& model, const at::Tensor& x);

struct ForwardOptions {
  /// Keep only each block's input; backward runs the block again.
  bool recompute_activations = false;
};

/// The whole pass: the output matrix's input [N, D], for ids [B, T] (int64).
at::Tensor hidden_of(const Model& model, const at::Tensor& ids, const ForwardOptions& options = {});

/// The same with a cache, which grows by T, without gradients. T may only exceed 1 if the cache is
/// empty.
at::Tensor hidden_of(const Model& model, const at::Tensor& ids, KeyValueCache& cache);
KeyValueCache make_cache(const Model& model, int64_t batch, int64_t capacity);
DecodePlan decode_plan(const Model& model);

/// The layer of the named weight; throws Error for an unknown one.
Linear& linear_named(Model& model, const std::string& name);

/// Lets every linear layer with a weight that is 2:4 along its rows run on the 2:4 kernels if those
/// are faster; dense weights are kept. Skips layers without tensors. Returns the number of such
/// layers. For a model that is not trained, with many tokens at a time.
int64_t use_24_kernels(Model& model);

enum class Pack {
  kWhereItPays,  ///< layers whose product with one token is then faster (tensor/choice.h)
  kAlways
};

/// Keeps every linear layer with a weight that is 2:4 along its rows only as Packed24: 0.56 of the
/// memory in 16-bit types, 0.53 in float32. Returns their number. For generation; visit then passes
/// undefined tensors for their weights.
int64_t keep_packed(Model& model, Pack pack);

}  // namespace twofour::model
