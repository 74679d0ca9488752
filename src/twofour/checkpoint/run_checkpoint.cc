#include "twofour/checkpoint/run_checkpoint.h"

#include <algorithm>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/hash.h"
#include "twofour/base/numbers.h"

namespace twofour::checkpoint {
namespace {

constexpr int kVersion = 1;
constexpr std::string_view kPrefix = "step-";
constexpr const char* kStateFile = "state.json";

// The steps of all folders with a checkpoint's name, oldest first.
std::vector<int64_t> named_steps(const fs::path& run) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    const auto step = parse_number<int64_t>(std::string_view(name).substr(kPrefix.size()));
    if (step && checkpoint_path(run, *step) == entry.path()) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

// `file` of a checkpoint's folder.
[[noreturn]] void fail_damaged(const fs::path& file) {
  const fs::path folder = file.parent_path(), run = folder.parent_path().parent_path();
  std::string remedy = "there is no older one: start again with another --out";
  for (const int64_t step : checkpoint_steps(run)) {
    if (checkpoint_path(run, step).filename() == folder.filename()) break;
    remedy = fmt::format("--resume-from {}{} goes on from the one before", kPrefix, step);
  }
  fail("cannot use the checkpoint: \"{}\" is {}; {}", file.string(),
       fs::exists(file) ? "damaged" : "missing", remedy);
}

}  // namespace

fs::path checkpoint_path(const fs::path& run, int64_t step) {
  return run / "checkpoints" / fmt::format("{}{:07}", kPrefix, step);
}

std::vector<int64_t> checkpoint_steps(const fs::path& run) {
  std::vector<int64_t> steps = named_steps(run);
  std::erase_if(steps,
                [&](int64_t step) { return !fs::exists(checkpoint_path(run, step) / kStateFile); });
  return steps;
}

std::optional<fs::path> set_aside_after(const fs::path& run, int64_t step) {
  std::vector<int64_t> steps = named_steps(run);
  std::erase_if(steps, [&](int64_t each) { return each <= step; });
  if (steps.empty()) return std::nullopt;
  fs::path aside;
  for (int number = 1; aside.empty() || fs::exists(aside); ++number) {
    aside = run / "checkpoints" / fmt::format("aside-{}", number);
  }
  make_folder(aside);
  for (const int64_t each : steps) {
    const fs::path from = checkpoint_path(run, each);
    std::error_code error;
    fs::rename(from, aside / from.filename(), error);
    if (error) {
      fail("cannot move \"{}\" into \"{}\": {}", from.string(), aside.string(), error.message());
    }
  }
  return aside;
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
  std::vector<int64_t> steps = checkpoint_steps(run);
  while (static_cast<int64_t>(steps.size()) > keep) {
    std::error_code ignored;
    fs::remove_all(checkpoint_path(run, steps.front()), ignored);
    steps.erase(steps.begin());
  }
}

std::optional<int64_t> latest_checkpoint(const fs::path& run) {
  const std::vector<int64_t> steps = checkpoint_steps(run);
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
      !fs::exists(path) || hash_of(MappedFile(path).text()) != hash->get<std::string>()) {
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
