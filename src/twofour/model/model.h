// A model of any architecture that the program knows, for what evaluates, generates, loads and
// saves. Training and the models themselves use Gpt2 and Llama directly.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "twofour/model/gpt2.h"
#include "twofour/model/llama.h"

namespace twofour::model {

using ModelConfig = std::variant<Gpt2Config, LlamaConfig>;

struct Model {
  std::variant<Gpt2, Llama> network;

  int64_t context() const;  ///< largest number of tokens of a sequence
  int64_t layers() const;   ///< blocks
  ModelConfig config() const;
  OutputMatrix output() const;

  /// As the architectures' own (gpt2.h, llama.h).
  template <class Fn>
  void visit(Fn&& fn) {
    std::visit([&](auto& each) { each.visit(fn); }, network);
  }
  template <class Fn>
  void visit_block(int64_t i, Fn&& fn) {
    std::visit([&](auto& each) { each.visit_block(static_cast<size_t>(i), fn); }, network);
  }
  template <class Fn>
  void visit_frame(Fn&& fn) {
    std::visit([&](auto& each) { each.visit_frame(fn); }, network);
  }
  template <class Fn>
  void visit_linears(Fn&& fn) {
    std::visit([&](auto& each) { each.visit_linears(fn); }, network);
  }
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

/// Parameters as they are drawn at the start of training. A pure function of (config, seed).
Model make_random(const ModelConfig& config, uint64_t seed);

/// The last norm's output [N, D] for ids [B, T], as of the architectures' own.
at::Tensor hidden_of(const Model& model, const at::Tensor& ids, const ForwardOptions& options = {});
at::Tensor hidden_of(const Model& model, const at::Tensor& ids, KeyValueCache& cache);
KeyValueCache make_cache(const Model& model, int64_t batch, int64_t capacity);
DecodePlan decode_plan(const Model& model);

/// Lets every linear layer whose weight is 2:4 along its rows run on the 2:4 kernels where those
/// are faster; dense weights stay beside. Returns how many there are. For a model that is not
/// trained on, with many tokens at a time.
int64_t use_24_kernels(Model& model);

enum class Pack {
  kWhereItPays,  ///< layers whose product with one token is faster so (sparse/choice.h)
  kAlways
};

/// Keeps every linear layer whose weight is 2:4 along its rows as Packed24 alone: 0.56 of the
/// memory in 16-bit types, 0.53 in float32. Returns how many. For generation; visit gives an
/// undefined tensor for their weights afterwards.
int64_t keep_packed(Model& model, Pack pack);

}  // namespace twofour::model
