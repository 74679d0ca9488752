#include "twofour/tensor/choice.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <map>
#include <mutex>
#include <string_view>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/fork.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/tensor/dtype.h"
#include "twofour/tensor/machine_key.h"

namespace twofour::tensor {
namespace {

using Json = nlohmann::json;

enum class Tuning { kOff, kOn, kRefresh };

Tuning tuning() {
  const char* value = std::getenv("TWOFOUR_TUNE");
  const std::string_view wanted = value ? value : "on";
  if (wanted == "off") return Tuning::kOff;
  if (wanted == "on") return Tuning::kOn;
  if (wanted == "refresh") return Tuning::kRefresh;
  fail_usage("TWOFOUR_TUNE is \"{}\": choose off, on or refresh", printable(wanted));
}

// The most processes that measure a choice again after a disturbance. A load that is always present
// is part of the machine.
constexpr int kMostAttempts = 5;

constexpr double kHopeless = 2;  // times the fastest time: not measured again

constexpr std::array kImplementations = {Implementation::kDense, Implementation::kOneDnn,
                                         Implementation::kMkl,   Implementation::kFloat32,
                                         Implementation::kPanel, Implementation::kFew};

std::optional<Implementation> implementation_named(const std::string& name) {
  for (const Implementation each : kImplementations) {
    if (name == name_of(each)) return each;
  }
  return {};
}

int64_t rounded(int64_t tokens) {
  for (int64_t size = 4;; size *= 2) {
    if (tokens <= 4) return tokens;
    if (tokens <= size) return size;
    if (tokens <= size / 2 * 3) return size / 2 * 3;
  }
}

// nullopt for invalid entries.
std::optional<Choice> choice_of(const Json& entry) {
  try {
    const auto implementation = implementation_named(entry.at("run").get<std::string>());
    if (!implementation) return {};
    return Choice{*implementation, entry.value("dense_ms", 0.0), entry.value("sparse_ms", 0.0),
                  entry.value("disturbed", 0)};
  } catch (const Json::exception&) {
    return {};
  }
}

Json entry_of(const Choice& choice) {
  Json entry = {{"run", name_of(choice.implementation)},
                {"dense_ms", choice.dense_ms},
                {"sparse_ms", choice.sparse_ms}};
  if (choice.disturbed > 0) entry["disturbed"] = choice.disturbed;
  return entry;
}

// The file's content: an empty object if it is absent, nullopt if it is damaged.
std::optional<Json> read_choices(const std::filesystem::path& file) {
  std::error_code error;
  if (file.empty() || !std::filesystem::exists(file, error)) return Json::object();
  try {
    Json content = Json::parse(read_file(file, kLargestSettings));
    if (content.is_object()) return content;
  } catch (const std::exception&) {
  }
  return {};
}

Json read_or_warn(const std::filesystem::path& file) {
  if (auto content = read_choices(file)) return *content;
  spdlog::warn("\"{}\" is damaged: measuring the products again", file.string());
  return Json::object();
}

bool counts_preparing(const ProductShape& shape) {
  return shape.in_training && shape.product != Product::kWeightGradient;
}

// A shape and its conditions as numbers, for the look-up of every product.
using QuickKey = std::array<int64_t, 8>;

QuickKey quick_key(const ProductShape& shape) {
  return {static_cast<int64_t>(shape.product),
          rounded(shape.tokens),
          shape.in,
          shape.out,
          static_cast<int64_t>(shape.dtype),
          counts_preparing(shape),
          static_cast<int64_t>(kernels::instruction_set()),
          thread_count()};
}

class Choices {
 public:
  std::optional<Implementation> find_quickly(const ProductShape& shape) const {
    const auto found = quick_.find(quick_key(shape));
    if (found == quick_.end()) return {};
    return found->second;
  }

  std::optional<Choice> find(const ProductShape& shape) {
    const std::string key = describe(shape);
    const auto found = made_.find({machine_key(), key});
    if (found != made_.end()) return found->second;
    const auto taken = taken_over_.find({machine_key(), key});
    if (taken != taken_over_.end()) return taken->second;
    if (tuning() != Tuning::kOn) return {};
    const auto kept = find_in_file(key);
    const bool is_final = kept && (kept->disturbed == 0 || kept->disturbed >= kMostAttempts);
    return is_final ? kept : std::nullopt;
  }

  // The number of processes that measured it without a good result.
  int attempts(const ProductShape& shape) {
    const auto kept = find_in_file(describe(shape));
    return kept ? kept->disturbed : 0;
  }

  // The measurement of an earlier process, disturbed or not.
  std::optional<Choice> find_in_file(const std::string& key) {
    if (!read_) file_ = read_or_warn(choices_file());
    read_ = true;
    const auto machine = file_.find(machine_key());
    if (machine == file_.end() || !machine->is_object() || !machine->contains(key)) return {};
    return choice_of((*machine)[key]);
  }

  // Keeps a choice for this process, and a measured one also for later processes.
  void keep(const ProductShape& shape, const Choice& choice, bool measured) {
    const bool is_new = made_.try_emplace({machine_key(), describe(shape)}, choice).second;
    quick_[quick_key(shape)] = choice.implementation;
    if (is_new && is_dense(choice.implementation) && choice.sparse_ms > 0) {
      spdlog::debug("dense: {}: {:.3g} ms, and {:.3g} ms on 2:4 kernels", describe(shape),
                    choice.dense_ms, choice.sparse_ms);
    }
    if (measured) write(shape, choice);
  }

  void forget_all() {
    made_.clear();
    taken_over_.clear();
    quick_.clear();
  }

  void forget_file() {
    read_ = false;
    writable_ = true;
  }

  // Replaces this process's choice by another's.
  void take_over(const std::string& machine, const std::string& shape, const Choice& choice) {
    made_.erase({machine, shape});
    taken_over_.insert_or_assign({machine, shape}, choice);
    quick_.clear();
  }

  using ByName = std::map<std::pair<std::string, std::string>, Choice>;  // machine, shape
  const ByName& made() const { return made_; }
  const ByName& taken_over() const { return taken_over_; }

 private:
  // Keeps the entries that other processes wrote since.
  void write(const ProductShape& shape, const Choice& choice) {
    const std::filesystem::path path = choices_file();
    if (path.empty() || !writable_) return;
    try {
      make_folder(path.parent_path());
      Json content = read_choices(path).value_or(Json::object());
      content[machine_key()][describe(shape)] = entry_of(choice);
      write_file(path, content.dump(1) + "\n");
    } catch (const std::exception& error) {
      writable_ = false;
      spdlog::warn("measured product times are not kept for later runs: {}", error.what());
    }
  }

  ByName made_, taken_over_;
  std::map<QuickKey, Implementation> quick_;  // a subset of made_
  Json file_;
  bool read_ = false, writable_ = true;
};

// Never held while a product runs.
ForkMutex& choices_mutex = *new ForkMutex;

// Only one measurement at a time, because two would disturb each other.
std::atomic<int> measuring = 0;

Choices& choices() {
  static Choices all;
  return all;
}

RaceClock& race_clock() {
  static RaceClock clock = RaceClock::of_process();
  return clock;
}

Choice measure(const std::vector<Candidate>& candidates) {
  Race race(race_clock());
  for (const Candidate& each : candidates) race.add(name_of(each.implementation), each.run);
  race.leave_out_slower_than(kHopeless);
  const bool has_sparse = std::any_of(candidates.begin(), candidates.end(), [](const auto& each) {
    return !is_dense(each.implementation);
  });
  race.run(/*least=*/3, /*most=*/25, /*seconds=*/has_sparse ? 0.15 : 0.05);
  constexpr double kNever = std::numeric_limits<double>::infinity();
  Choice choice{Implementation::kDense, kNever, kNever};
  for (const Candidate& each : candidates) {
    const double ms = 1e3 * race.seconds(name_of(each.implementation));
    if (ms < std::min(choice.dense_ms, choice.sparse_ms)) {
      choice.implementation = each.implementation;
    }
    double& fastest = is_dense(each.implementation) ? choice.dense_ms : choice.sparse_ms;
    fastest = std::min(fastest, ms);
  }
  for (double* ms : {&choice.dense_ms, &choice.sparse_ms}) {
    if (*ms == kNever) *ms = 0;
  }
  choice.disturbed = race.was_disturbed();
  return choice;
}

// An earlier choice, of this process or another.
std::optional<Implementation> known_choice(const ProductShape& shape) {
  const std::lock_guard lock(choices_mutex);
  if (const auto quick = choices().find_quickly(shape)) return *quick;
  const auto known = choices().find(shape);
  if (!known) return {};
  choices().keep(shape, *known, /*measured=*/false);
  return known->implementation;
}

}  // namespace

const char* name_of(Product product) {
  constexpr std::array kNames = {
      "forward",       "input gradient",       "weight gradient",       "dense input gradient",
      "plain forward", "plain input gradient", "plain weight gradient", "attention"};
  return kNames[static_cast<size_t>(product)];
}

const char* name_of(Implementation implementation) {
  constexpr std::array kNames = {"dense", "onednn", "mkl", "float32", "panel", "few"};
  return kNames[static_cast<size_t>(implementation)];
}

std::string describe(const ProductShape& shape) {
  return fmt::format("{}, {} tokens, {} -> {}, {}{}", name_of(shape.product), rounded(shape.tokens),
                     shape.in, shape.out, dtype_name(shape.dtype),
                     counts_preparing(shape) ? ", in training" : "");
}

void set_race_clock(RaceClock clock) { race_clock() = std::move(clock); }

void forget_choices_file() {
  const std::lock_guard lock(choices_mutex);
  choices().forget_file();
}

std::filesystem::path choices_file() {
  const auto folder = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  std::filesystem::path base = folder("XDG_CACHE_HOME");
  if (base.empty() && !folder("HOME").empty()) base = folder("HOME") / ".cache";
  return base.empty() ? base : base / "twofour" / "products.json";
}

Implementation choose(const ProductShape& shape,
                      const std::function<std::vector<Candidate>()>& candidates) {
  if (const auto known = known_choice(shape)) return *known;
  const Turn turn(measuring);
  if (const auto known = known_choice(shape)) return *known;  // measured in the meantime
  const std::vector<Candidate> all = candidates();
  const bool off = tuning() == Tuning::kOff;
  Choice choice = off ? Choice{all.back().implementation} : measure(all);
  const std::lock_guard lock(choices_mutex);
  if (choice.disturbed > 0) {
    choice.disturbed += choices().attempts(shape);
    spdlog::debug("measured under disturbance, not final: {}", describe(shape));
  }
  choices().keep(shape, choice, /*measured=*/!off);
  return choice.implementation;
}

bool measures_choices() { return tuning() != Tuning::kOff; }

std::optional<Choice> choice_made(const ProductShape& shape) {
  const std::lock_guard lock(choices_mutex);
  const auto& made = choices().made();
  const auto found = made.find({machine_key(), describe(shape)});
  if (found == made.end()) return {};
  return found->second;
}

nlohmann::json choices_made() {
  const std::lock_guard lock(choices_mutex);
  Json all = Json::object();
  for (const auto* part : {&choices().taken_over(), &choices().made()}) {
    for (const auto& [key, choice] : *part) all[key.first][key.second] = entry_of(choice);
  }
  return all;
}

void forget_choices_made() {
  const std::lock_guard lock(choices_mutex);
  choices().forget_all();
}

void use_choices(const nlohmann::json& stored) {
  const std::lock_guard lock(choices_mutex);
  for (const auto& [machine, entries] : stored.items()) {
    for (const auto& [shape, entry] : entries.items()) {
      if (const auto choice = choice_of(entry)) {
        choices().take_over(machine, shape, *choice);
      }
    }
  }
}

}  // namespace twofour::tensor
