#include "twofour/train/starting_point.h"

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/masks_of_model.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/tensor/dtype.h"
#include "twofour/text/tokenizer.h"

namespace twofour::train {
namespace {

std::vector<std::pair<std::string, at::Tensor>> masks_of_run(const fs::path& run) {
  constexpr std::string_view kSuffix = ".mask";
  const auto step = checkpoint::latest_checkpoint(run);
  if (!step) return {};  // load_run then reports it
  const fs::path folder = checkpoint::checkpoint_path(run, *step);
  const checkpoint::SafetensorsFile file = checkpoint::open_checkpoint_file(
      folder, checkpoint::read_state(folder), "sparsity.safetensors");
  std::vector<std::pair<std::string, at::Tensor>> masks;
  for (const auto& [name, entry] : file.entries()) {
    if (!name.ends_with(kSuffix)) continue;
    masks.emplace_back(name.substr(0, name.size() - kSuffix.size()), file.view(name));
  }
  return masks;
}

}  // namespace

model::Model initial_model(const TrainOptions& options) {
  if (options.run.resume) return model::make_empty(options.model.config, at::kFloat);
  if (options.model.init.empty()) {
    return model::make_random(options.model.config, options.run.seed);
  }
  return checkpoint::load_model(options.model.init, at::kFloat);
}

std::vector<std::pair<std::string, at::Tensor>> given_masks(const TrainOptions& train_options,
                                                            const model::Model& model) {
  const ModelOptions& options = train_options.model;
  if (!options.method.has_given_masks()) return {};
  if (train_options.run.resume) return masks_of_run(train_options.run.out);
  const fs::path& place = options.masks.empty() ? options.init : options.masks;
  if (place.empty()) {
    fail_usage("--forward-weight fixed needs masks: --masks FILE, or --init of a pruned model");
  }
  const bool is_file = !fs::is_directory(place) || fs::exists(place / "masks.safetensors");
  if (is_file) {
    return checkpoint::read_masks(place, checkpoint::parameter_shapes(model.config()));
  }
  const checkpoint::ModelFolder pruned(place);
  if (pruned.config().model != model.config()) {
    fail_usage("--masks \"{}\" is a model of other sizes", place.string());
  }
  auto masks = checkpoint::masks_of_zeros(pruned);
  if (masks.empty()) {
    fail_usage("\"{}\" has neither masks.safetensors nor linear layers with zeros to keep",
               place.string());
  }
  return masks;
}

std::optional<model::Model> teacher_model(const ModelOptions& options, int64_t context) {
  if (options.teacher.empty()) return {};
  model::Model teacher =
      checkpoint::load_model(options.teacher, tensor::dtype_named(options.dtype));
  const model::Sizes sizes = teacher.sizes();
  if (sizes.vocabulary != options.sizes().vocabulary) {
    fail_usage("--distill \"{}\" has a vocabulary of {}, the model one of {}",
               options.teacher.string(), sizes.vocabulary, options.sizes().vocabulary);
  }
  if (sizes.context < context) {
    fail_usage("--distill \"{}\" has a context of {}, below the {} of a sequence",
               options.teacher.string(), sizes.context, context);
  }
  return teacher;
}

void check_tokenizer(const fs::path& folder, const text::TokenFile& data) {
  const std::string& recorded = data.info().tokenizer_hash;
  const bool has_tokenizer = [&] {
    for (const char* file : {"tokenizer.json", "tokenizer.model", "vocab.json"}) {
      if (fs::exists(folder / file)) return true;
    }
    return false;
  }();
  if (recorded.empty() || !has_tokenizer) return;
  if (text::Tokenizer::load(folder).has_hash(recorded)) return;
  fail_usage(
      "\"{}\" was encoded with another tokenizer than that of \"{}\": encode the text again with "
      "\"twofour data --tokenizer {}\"",
      data.path().string(), folder.string(), folder.string());
}

}  // namespace twofour::train
