#include "twofour/checkpoint/run_weights.h"

#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/sparse/masks.h"
#include "twofour/sparse/soft_threshold.h"

namespace twofour::checkpoint {
namespace {

using OrderedJson = nlohmann::ordered_json;

// By the names of the flags, as train/run_state.cc writes them.
model::Gpt2Config sizes_in(const OrderedJson& state, const fs::path& folder) {
  const OrderedJson options = state.contains("options") ? state["options"] : OrderedJson();
  const auto size = [&](const char* name) {
    const auto number = number_in(options, name);
    if (!number) fail("cannot load \"{}\": its state.json has no {}", folder.string(), name);
    return *number;
  };
  model::Gpt2Config config;
  config.vocabulary = size("vocabulary");
  config.context = size("context");
  config.width = size("width");
  config.layers = size("layers");
  config.heads = size("heads");
  config.feed_forward = size("feed-forward");
  try {
    config.check();
  } catch (const Error& error) {
    fail("cannot load \"{}\": by its state.json, {}", folder.string(), error.what());
  }
  return config;
}

}  // namespace

RunWeights::RunWeights(const fs::path& folder) : RunWeights(folder, read_state(folder)) {}

RunWeights::RunWeights(const fs::path& folder, const OrderedJson& state)
    : ModelWeights(folder),
      config_(sizes_in(state, folder)),
      masters_(open_checkpoint_file(folder, state, "model.safetensors")),
      sparsity_(open_checkpoint_file(folder, state, "sparsity.safetensors")) {
  for (const auto& [name, entry] : masters_.entries()) {
    std::vector<int64_t> shape = entry.shape;
    if (stores_transposed(config_, name)) std::swap(shape.at(0), shape.at(1));
    weights_[name] = {entry.dtype, shape};
  }
  if (!sparsity_.contains("searches")) return;
  // The third says whether the forward weights are sparse now (train/sparse_weights.h).
  is_sparse_ = sparsity_.view("searches")[2].item<int64_t>() != 0;
  const OrderedJson& options = state["options"];
  is_soft_ = options.contains("forward-weight") && options["forward-weight"] == "soft";
}

at::Tensor RunWeights::view(const std::string& name) const {
  const at::NoGradGuard no_gradients;
  at::Tensor weight = masters_.view(name);
  if (at::Tensor packed = mask(name); packed.defined()) {
    const at::Tensor master = weight;
    weight = at::empty_like(master);
    if (is_soft_) {
      const double scale = sparsity_.view(name + ".scale").item<double>();
      sparse::soft_threshold24(master, scale, weight, packed);
    } else {
      sparse::masked_weight(master, packed, weight);
    }
  }
  return stores_transposed(config_, name) ? weight.t() : weight;
}

at::Tensor RunWeights::mask(const std::string& name) const {
  if (!is_sparse_ || !sparsity_.contains(name + ".mask")) return {};
  return sparsity_.view(name + ".mask").clone();
}

}  // namespace twofour::checkpoint
