#include "twofour/checkpoint/run_checkpoint.h"

#include <algorithm>
#include <charconv>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/hash.h"

namespace twofour::checkpoint {
namespace {

constexpr int kVersion = 1;
constexpr std::string_view kPrefix = "step-";
constexpr const char* kStateFile = "state.json";

[[noreturn]] void fail_damaged(const fs::path& path) {
  fail("cannot use the checkpoint: \"{}\" is damaged; remove its folder to take an older one",
       path.string());
}

// The steps of the complete checkpoints, oldest first.
std::vector<int64_t> steps_of(const fs::path& run) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !fs::exists(entry.path() / kStateFile)) continue;
    int64_t step = 0;
    const char *first = name.data() + kPrefix.size(), *last = name.data() + name.size();
    const auto parsed = std::from_chars(first, last, step);
    if (parsed.ec == std::errc() && parsed.ptr == last &&
        checkpoint_path(run, step) == entry.path()) {
      steps.push_back(step);
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace

fs::path checkpoint_path(const fs::path& run, int64_t step) {
  return run / "checkpoints" / fmt::format("{}{:07}", kPrefix, step);
}

void save_checkpoint(const fs::path& run, int64_t step, const RunState& state, int64_t keep) {
  AtomicFolder folder(checkpoint_path(run, step));
  nlohmann::ordered_json json = {{"version", kVersion}};
  json.update(state.state);
  json["files"] = nlohmann::ordered_json::object();
  for (const auto& [name, tensors] : state.files) {
    json["files"][name] = write_safetensors(folder.path() / name, tensors);
  }
  write_file(folder.path() / kStateFile, json.dump(2) + "\n");
  folder.commit();
  std::vector<int64_t> steps = steps_of(run);
  while (static_cast<int64_t>(steps.size()) > keep) {
    std::error_code ignored;
    fs::remove_all(checkpoint_path(run, steps.front()), ignored);
    steps.erase(steps.begin());
  }
}

std::optional<int64_t> latest_checkpoint(const fs::path& run) {
  const std::vector<int64_t> steps = steps_of(run);
  if (steps.empty()) return std::nullopt;
  return steps.back();
}

nlohmann::ordered_json read_state(const fs::path& folder) {
  const fs::path path = folder / kStateFile;
  const auto state =
      nlohmann::ordered_json::parse(read_file(path, kLargestSettings), nullptr, false);
  if (!state.is_object() || !state.contains("files") || !state["files"].is_object() ||
      number_in(state, "version") != kVersion) {
    fail_damaged(path);
  }
  return state;
}

std::optional<int64_t> number_in(const nlohmann::ordered_json& object, const std::string& name) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<int64_t>();
}

SafetensorsFile open_checkpoint_file(const fs::path& folder, const nlohmann::ordered_json& state,
                                     const std::string& name) {
  const fs::path path = folder / name;
  const auto hash = state.at("files").find(name);
  if (hash == state.at("files").end() || fs::path(name).filename() != name || !hash->is_string() ||
      hash_of(MappedFile(path).text()) != hash->get<std::string>()) {
    fail_damaged(path);
  }
  return SafetensorsFile(path);
}

RunState load_checkpoint(const fs::path& run, int64_t step) {
  const fs::path folder = checkpoint_path(run, step);
  RunState state;
  state.state = read_state(folder);
  for (const auto& [name, hash] : state.state["files"].items()) {
    const SafetensorsFile file = open_checkpoint_file(folder, state.state, name);
    NamedTensors tensors;
    for (const auto& [tensor, entry] : file.entries())
      tensors.emplace_back(tensor, file.view(tensor));
    state.files.emplace_back(name, std::move(tensors));
  }
  return state;
}

}  // namespace twofour::checkpoint
