// A model of any architecture: what trains, evaluates, generates, prunes, loads and saves goes by
// this interface. B batch, T tokens of a sequence, N = B·T, D width.
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
  Model() = default;  ///< to be assigned to; nothing else may be done with it
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
  /// those of block i alone; and for those of no block. Linear weights are [out, in] here, whatever
  /// the files hold.
  void visit(const VisitTensor& fn);
  void visit_block(int64_t i, const VisitTensor& fn);
  void visit_frame(const VisitTensor& fn);

  /// Calls fn(name, layer) for every linear layer, or those of block i; `name` is its weight's.
  void visit_linears(const VisitLinear& fn);
  void visit_block_linears(int64_t i, const VisitLinear& fn);

  /// Calls fn(table) for the embeddings and an output matrix of its own.
  void visit_tables(const VisitTable& fn);

  Network& network() { return *network_; }
  const Network& network() const { return *network_; }

 private:
  ModelConfig config_;
  std::unique_ptr<Network> network_;
};

/// Parameters with the right shapes and no values, for a loader to fill.
Model make_empty(const ModelConfig& config, const at::TensorOptions& options);

/// The same without the blocks, whose tensors are undefined; make_empty_block gives block i
/// tensors, drop_block lets go of them.
Model make_empty_frame(const ModelConfig& config, const at::TensorOptions& options);
void make_empty_block(Model& model, int64_t i, const at::TensorOptions& options);
void drop_block(Model& model, int64_t i);

/// Parameters with the right shapes and no memory at all, to ask for names and sizes.
Model make_shapes(const ModelConfig& config);
int64_t parameters_of(const ModelConfig& config);

/// Parameters as they are drawn at the start of training: matrices N(0, deviation²) with the
/// architecture's deviation of each, norms 1, biases 0. A pure function of (config, seed).
Model make_random(const ModelConfig& config, uint64_t seed);

/// Told what each linear layer of a block is given, x [N, in], before its product. What it returns
/// takes the place of the layer's weight [out, in] in this product, with gradients to it and to x;
/// undefined: the layer's own.
using Observer =
    std::function<at::Tensor(const std::string& name, const Linear& layer, const at::Tensor& x)>;

/// A forward pass in pieces, for callers that hold or change one block at a time. start() describes
/// a pass of ids [B, T], which follow the tokens in `cache` (null: none); embed() gives x [N, D],
/// run_block() takes it through block i, finish() through what follows the last block: what the
/// output matrix takes. start() throws Error when the tokens are over the context, an id is outside
/// the vocabulary, or the cache has no room or several tokens come while it is not empty. A cache's
/// length is the caller's to change.
Pass start(const Model& model, const at::Tensor& ids, KeyValueCache* cache = nullptr);
at::Tensor embed(const Model& model, const at::Tensor& ids, const Pass& pass);
at::Tensor run_block(const Model& model, int64_t i, const at::Tensor& x, const Pass& pass,
                     const Observer& observer = {});
at::Tensor finish(const Model& model, const at::Tensor& x);

struct ForwardOptions {
  /// Keep only each block's input; run the block again in backward.
  bool recompute_activations = false;
};

/// All of that: what the output matrix takes [N, D], for ids [B, T] (int64).
at::Tensor hidden_of(const Model& model, const at::Tensor& ids, const ForwardOptions& options = {});

/// The same with a cache, which grows by T. No gradients. T may exceed 1 only while the cache is
/// empty.
at::Tensor hidden_of(const Model& model, const at::Tensor& ids, KeyValueCache& cache);
KeyValueCache make_cache(const Model& model, int64_t batch, int64_t capacity);
DecodePlan decode_plan(const Model& model);

/// The layer whose weight has that name; throws Error for an unknown one.
Linear& linear_named(Model& model, const std::string& name);

/// Lets every linear layer whose weight is 2:4 along its rows run on the 2:4 kernels where those
/// are faster; dense weights stay beside. Layers without tensors are left out. Returns how many
/// were found. For a model that is not trained on, with many tokens at a time.
int64_t use_24_kernels(Model& model);

enum class Pack {
  kWhereItPays,  ///< layers whose product with one token is faster so (tensor/choice.h)
  kAlways
};

/// Keeps every linear layer whose weight is 2:4 along its rows as Packed24 alone: 0.56 of the
/// memory in 16-bit types, 0.53 in float32. Returns how many. For generation; visit gives an
/// undefined tensor for their weights afterwards.
int64_t keep_packed(Model& model, Pack pack);

}  // namespace twofour::model
