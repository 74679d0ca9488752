#include "twofour/checkpoint/run_weights.h"

#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/checkpoint/model_config.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/sparse/masks.h"
#include "twofour/sparse/soft_threshold.h"

namespace twofour::checkpoint {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Older checkpoints, all of GPT-2, only have the sizes, by the names of the flags.
model::ModelConfig gpt2_in(const OrderedJson& options, const std::string& what) {
  const auto size = [&](const char* name) {
    const auto number = number_in(options, name);
    if (!number) fail("{}: its state.json has no {}", what, name);
    return *number;
  };
  model::Gpt2Config config;
  config.vocabulary = size("vocabulary");
  config.context = size("context");
  config.width = size("width");
  config.layers = size("layers");
  config.heads = size("heads");
  config.feed_forward = size("feed-forward");
  return config;
}

// In the form of train/run_state.cc: the fields of config.json.
FolderConfig config_in(const OrderedJson& state, const fs::path& folder) {
  const OrderedJson options = state.contains("options") ? state["options"] : OrderedJson();
  const std::string what = fmt::format("cannot load \"{}\"", folder.string());
  FolderConfig config;
  if (options.contains("architecture")) {
    config = parse_config(options["architecture"].dump(), (folder / "state.json").string());
  } else {
    config.model = gpt2_in(options, what);
  }
  try {
    model::check(config.model);
  } catch (const Error& error) {
    fail("{}: by its state.json, {}", what, error.what());
  }
  return config;
}

// Its state. A run that learns masks holds no weights.
OrderedJson state_with_weights(const fs::path& folder) {
  OrderedJson state = read_state(folder);
  if (state["files"].contains("logits.safetensors")) {
    fail(
        "\"{}\" holds masks that are being learned, not a model: write one with \"twofour trim {} "
        "--out DIR\"",
        folder.string(), folder.string());
  }
  return state;
}

}  // namespace

FolderConfig checkpoint_config(const fs::path& folder) {
  return config_in(read_state(folder), folder);
}

RunWeights::RunWeights(const fs::path& folder) : RunWeights(folder, state_with_weights(folder)) {}

RunWeights::RunWeights(const fs::path& folder, const OrderedJson& state)
    : ModelWeights(folder),
      config_(config_in(state, folder)),
      masters_(open_checkpoint_file(folder, state, "model.safetensors")),
      sparsity_(open_checkpoint_file(folder, state, "sparsity.safetensors")) {
  for (const auto& [name, entry] : masters_.entries()) {
    std::vector<int64_t> shape = entry.shape;
    if (stores_transposed(config_.model, name)) std::swap(shape.at(0), shape.at(1));
    weights_[name] = {entry.dtype, shape};
  }
  if (!sparsity_.contains("searches")) return;
  // The third value: whether the forward weights are sparse now (train/sparse_weights.h).
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
  return stores_transposed(config_.model, name) ? weight.t() : weight;
}

at::Tensor RunWeights::mask(const std::string& name) const {
  if (!is_sparse_ || !sparsity_.contains(name + ".mask")) return {};
  return sparsity_.view(name + ".mask").clone();
}

}  // namespace twofour::checkpoint
