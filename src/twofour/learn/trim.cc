#include "twofour/learn/trim.h"

#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/checkpoint/run_weights.h"
#include "twofour/learn/mask_learning.h"
#include "twofour/learn/options.h"
#include "twofour/prune/pruned_folder.h"
#include "twofour/sparse/masks.h"

namespace twofour::learn {
namespace {

using Json = nlohmann::ordered_json;

fs::path checkpoint_at(const fs::path& path) {
  if (fs::exists(path / "state.json")) return path;
  const auto step = checkpoint::latest_checkpoint(path);
  if (!step) fail("\"{}\" is no run with a checkpoint", path.string());
  return checkpoint::checkpoint_path(path, *step);
}

// A text of state.json; "" if it is missing or no text.
std::string text_in(const Json& options, const std::string& name) {
  const auto found = options.find(name);
  return found != options.end() && found->is_string() ? found->get<std::string>() : "";
}

void read_masks_of(LearnedMasks& learned, const checkpoint::SafetensorsFile& file,
                   const kernels::Candidates& candidates) {
  const std::string_view suffix = kLogitsSuffix;
  for (const auto& [name, entry] : file.entries()) {
    if (!name.ends_with(suffix)) continue;
    const std::string weight = name.substr(0, name.size() - suffix.size());
    const auto shape = learned.shapes.find(weight);
    const at::Tensor logits = file.view(name);
    if (shape == learned.shapes.end() || logits.dim() != 3 || logits.size(0) != shape->second[0] ||
        logits.size(1) * candidates.group() != shape->second[1] ||
        logits.size(2) != candidates.count()) {
      fail("\"{}\": the logits of \"{}\" do not fit the model", learned.checkpoint.string(),
           printable(weight));
    }
    learned.masks.emplace_back(weight, sparse::best_mask(sparse::SoftMask(candidates, logits)));
    file.release(name);
  }
}

// The run's weights in float32, masked.
void write_trained(const LearnedMasks& learned, const fs::path& dense, const fs::path& folder) {
  const at::NoGradGuard no_gradients;
  const checkpoint::SafetensorsFile file = checkpoint::open_checkpoint_file(
      learned.checkpoint, checkpoint::read_state(learned.checkpoint), "weights.safetensors");
  model::Model model = model::make_empty(learned.config, at::kFloat);
  model.visit([&](const std::string& name, at::Tensor& tensor) { tensor.copy_(file.view(name)); });
  for (const auto& [name, mask] : learned.masks) {
    at::Tensor& weight = model::linear_named(model, name).weight;
    sparse::masked_weight(weight, mask, weight);
  }
  const checkpoint::ModelFolder original(dense);
  checkpoint::SaveOptions options;
  options.special = original.config().special;
  options.masks = learned.masks;
  options.tokenizer = original.place().tokenizer;
  checkpoint::save_model(folder, model, options);
}

}  // namespace

LearnedMasks read_learned(const fs::path& path) {
  LearnedMasks learned;
  learned.checkpoint = checkpoint_at(path);
  const Json state = checkpoint::read_state(learned.checkpoint);
  const Json options = state.contains("options") ? state["options"] : Json();
  if (text_in(options, "method") != kMethodName) {
    fail("\"{}\" is no mask-learning run: its method is \"{}\"", path.string(),
         printable(text_in(options, "method")));
  }
  learned.step = checkpoint::number_in(state, "step").value_or(0);
  learned.steps = checkpoint::number_in(options, "steps").value_or(0);
  learned.model_hash = text_in(options, "model (content hash)");
  learned.config = checkpoint::checkpoint_config(learned.checkpoint).model;
  learned.shapes = checkpoint::parameter_shapes(learned.config);
  const sparse::Pattern pattern = pattern_named(text_in(options, "pattern"));
  const kernels::Candidates candidates(pattern.kept, pattern.group);
  read_masks_of(learned,
                checkpoint::open_checkpoint_file(learned.checkpoint, state, "logits.safetensors"),
                candidates);
  learned.has_weights = state.at("files").contains("weights.safetensors");
  return learned;
}

void write_trimmed(const LearnedMasks& learned, const fs::path& dense, const fs::path& folder) {
  checkpoint::ModelFolder original(dense);
  if (prune::hash_of_model(original) != learned.model_hash) {
    fail("\"{}\" is not the model whose masks were learned: its weights differ", dense.string());
  }
  if (learned.has_weights) return write_trained(learned, dense, folder);
  original.put_masks(learned.masks);
  checkpoint::write_folder(folder, checkpoint::open_folder(std::move(original)),
                           checkpoint::kLargestShard);
}

}  // namespace twofour::learn
