#include "twofour/cli/model_option.h"

#include "twofour/base/log.h"
#include "twofour/cli/mask/masks.h"

namespace twofour::cli {

CLI::Option* add_model_options(CLI::App& command, ModelOption& option) {
  CLI::Option* model =
      command
          .add_option("--model", option.path,
                      "Hugging Face folder, a run of train, or one of its checkpoints")
          ->type_name("DIR");
  add_strict_option(command, option.is_strict);
  return model;
}

CLI::Option* add_masks_option(CLI::App& command, ModelOption& option) {
  return command
      .add_option("--masks", option.masks,
                  "masks to put on the model: .t24, masks.safetensors, MaskLLM's .npz, or a model "
                  "folder (without masks, its zeros)")
      ->type_name("PATH");
}

void add_strict_option(CLI::App& command, bool& is_strict) {
  command.add_flag("--strict", is_strict,
                   "refuse fields and tensors of the model that transformers ignores, instead of "
                   "warning about them");
}

checkpoint::ModelFolder open_model(const ModelOption& option) {
  checkpoint::ModelFolder folder(option.path, option.is_strict);
  if (const auto& step = folder.place().step) {
    spdlog::info("\"{}\" is the model after step {}", folder.path().string(), *step);
  }
  for (const std::string& warning : folder.warnings()) spdlog::warn("{}", warning);
  if (!option.masks.empty()) {
    const MaskSet set = masks_for(option.masks, folder.config().model);
    folder.put_masks(set.masks);
  }
  return folder;
}

}  // namespace twofour::cli
