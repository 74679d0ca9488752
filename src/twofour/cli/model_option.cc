#include "twofour/cli/model_option.h"

#include "twofour/base/log.h"

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
  return folder;
}

}  // namespace twofour::cli
