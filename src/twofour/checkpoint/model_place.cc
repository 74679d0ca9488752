#include "twofour/checkpoint/model_place.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/checkpoint/llama2c.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/checkpoint/t24.h"

namespace twofour::checkpoint {
namespace {

constexpr const char *kConfigFile = "config.json", *kState = "state.json";

[[noreturn]] void refuse(const fs::path& path, const std::string& reason) {
  fail("cannot load \"{}\": {}", path.string(), reason);
}

// Without the final slash, with which a folder would be its own parent.
fs::path plain(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string first_ending(const std::vector<std::string>& names, std::string_view end) {
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const std::string& name) { return name.ends_with(end); });
  return found == names.end() ? "" : *found;
}

// File formats with a known beginning, and the advice for each.
std::string kind_of_file(const fs::path& path) {
  const std::string foreign = foreign_kind(path);
  if (!foreign.empty()) return foreign;
  if (is_llama2c(path)) {
    const fs::path tokenizer = fs::path(path).replace_filename("tokenizer.bin");
    return fmt::format(
        "it is a llama2.c model: make a folder of it with twofour convert {} DIR --to hf{}",
        path.string(),
        fs::exists(tokenizer) ? " --tokenizer " + tokenizer.string() : std::string());
  }
  if (path.extension() == ".bin")
    return "it is no model, but may be a file of tokens or of pickled weights";
  return "it is a file, expected a model's folder";
}

[[noreturn]] void refuse_file(const fs::path& path) {
  const fs::path folder = plain(path).parent_path();
  const bool is_in_model = fs::exists(folder / kConfigFile);
  const std::string kind = kind_of_file(path);
  if (!is_in_model) refuse(path, kind);
  const fs::path named = path.parent_path().empty() ? fs::path(".") : path.parent_path();
  refuse(path, fmt::format("it is a file of a model's folder: take --model {}", named.string()));
}

[[noreturn]] void refuse_absent(const fs::path& path) {
  const std::string name = path.string();
  const bool is_hub_name = !path.is_absolute() && std::count(name.begin(), name.end(), '/') <= 1 &&
                           !name.starts_with(".") && !name.empty();
  if (!is_hub_name) refuse(path, "No such file or directory");
  refuse(path, fmt::format("No such file or directory; a model of the Hugging Face hub is fetched "
                           "first: hf download {} --local-dir DIR",
                           name));
}

// Or one of a run's checkpoints.
bool is_run(const fs::path& folder) {
  return fs::exists(folder / "model" / kConfigFile) || fs::exists(folder / kState) ||
         latest_checkpoint(folder);
}

[[noreturn]] void refuse_folder(const fs::path& path) {
  const std::vector<std::string> names = names_in(path);
  const auto holds = [&](const char* name) {
    return std::binary_search(names.begin(), names.end(), std::string(name));
  };
  if (names.empty()) refuse(path, "the folder is empty");
  if (holds("adapter_config.json")) {
    refuse(path,
           "it holds an adapter (LoRA) without its model: merge them with merge_and_unload of peft "
           "and save_pretrained");
  }
  if (holds("model_index.json")) refuse(path, "it is a pipeline of diffusers, no language model");
  if (holds("params.json")) {
    refuse(path,
           "it has Meta's own format: transformers' convert_llama_weights_to_hf.py makes a Hugging "
           "Face folder of it");
  }
  if (holds("train.bin")) refuse(path, "it is a folder of token files, no model");
  if (holds("checkpoints")) refuse(path, "the run has no checkpoint yet");
  const std::string gguf = first_ending(names, ".gguf");
  if (!gguf.empty()) refuse(path, kind_of_file(path / gguf));
  for (const std::string& name : names) {
    if (is_run(path / name)) {
      refuse(path, fmt::format("it holds a run: take --model {}/{}", plain(path).string(),
                               printable(name)));
    }
    if (fs::exists(path / name / kConfigFile)) {
      refuse(path,
             fmt::format("it holds no {}, but \"{}\" in it does", kConfigFile, printable(name)));
    }
  }
  refuse(path, fmt::format("it holds no {}", kConfigFile));
}

fs::path tokenizer_of_run(const fs::path& run) {
  const bool has_own = fs::is_directory(run / "tokenizer") || !fs::is_directory(run / "model");
  return run / (has_own ? "tokenizer" : "model");
}

// RUN/model counts unless the run continued after it was written.
bool is_last(const fs::path& checkpoint, int64_t step) {
  const auto state = read_state(checkpoint);
  const auto options = state.find("options");
  return options != state.end() && number_in(*options, "steps").value_or(step) <= step;
}

}  // namespace

std::string foreign_kind(const fs::path& path) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  if (text.starts_with("GGUF")) {
    return "it is a GGUF file of llama.cpp, which is not read: take the model's Hugging Face "
           "folder";
  }
  if (path.extension() == ".npz") return "it is a file of masks or arrays, not a model";
  if (is_t24(text)) return "it is a file of masks, not a model: --masks takes it beside --model";
  if (text.starts_with("PK") || text.starts_with("\x80\x02")) {
    return "it is pickled by PyTorch, which is not read: save it with save_pretrained of "
           "transformers";
  }
  if (path.extension() == ".safetensors") {
    return "it is a file of weights: a model is a folder that holds it as model.safetensors beside "
           "its config.json";
  }
  return "";
}

ModelPlace find_model(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) refuse_absent(path);
  if (!fs::is_directory(path)) refuse_file(path);
  if (fs::exists(path / kConfigFile)) return {path, path, {}, false};
  if (fs::exists(path / kState) && plain(path).parent_path().filename() == "checkpoints") {
    const fs::path run = plain(path).parent_path().parent_path();
    return {path, tokenizer_of_run(run), number_in(read_state(path), "step").value_or(0), false};
  }
  const std::optional<int64_t> newest = latest_checkpoint(path);
  if (fs::exists(path / "model" / kConfigFile) &&
      (!newest || is_last(checkpoint_path(path, *newest), *newest))) {
    return {path / "model", path / "model", {}, false};
  }
  if (!newest) refuse_folder(path);
  return {checkpoint_path(path, *newest), tokenizer_of_run(path), newest, true};
}

}  // namespace twofour::checkpoint
