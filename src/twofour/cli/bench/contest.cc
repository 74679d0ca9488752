#include "twofour/cli/bench/contest.h"

#include <limits>
#include <utility>

#include "twofour/base/progress.h"

namespace twofour::cli {

using Json = nlohmann::ordered_json;

void run_race(Race& race, int64_t rounds) {
  ProgressBar bar("measuring", static_cast<uint64_t>(rounds));
  race.on_round([&](int64_t done) { bar.update(static_cast<uint64_t>(done)); });
  race.run(rounds, /*most=*/100 * rounds, /*seconds=*/0.02 * static_cast<double>(rounds));
}

Contest::Contest(DenseProducts dense) : left_out_(std::move(dense.left_out)) {
  for (DenseProduct& each : dense.all) {
    dense_.push_back(each.name);
    race_.add("dense " + each.name, [run = std::move(each.run)] { run(); });
  }
}

void Contest::add_sparse(const std::string& name, std::function<void()> run) {
  sparse_.push_back(name);
  race_.add("sparse " + name, std::move(run));
}

void Contest::add_chosen(std::function<void()> run) {
  has_chosen_ = true;
  race_.add("chosen", std::move(run));
}

void Contest::add_part(const std::string& name, std::function<void()> run) {
  parts_.push_back(name);
  race_.add("part " + name, std::move(run));
}

std::pair<std::string, double> Contest::fastest(const std::vector<std::string>& names,
                                                const char* kind, Json& times) const {
  std::pair<std::string, double> best = {"", std::numeric_limits<double>::infinity()};
  for (const std::string& name : names) {
    const double ms = milliseconds(std::string(kind) + " " + name);
    times[name] = ms;
    if (ms < best.second) best = {name, ms};
  }
  return best;
}

Json Contest::run(int64_t rounds) {
  run_race(race_, rounds);
  Json dense = Json::object(), sparse = Json::object();
  const auto [dense_name, dense_ms] = fastest(dense_, "dense", dense);
  const auto [sparse_name, sparse_ms] = fastest(sparse_, "sparse", sparse);
  Json report = {{"dense", dense},       {"left_out", left_out_}, {"fastest_dense", dense_name},
                 {"dense_ms", dense_ms}, {"sparse", sparse},      {"fastest_sparse", nullptr},
                 {"sparse_ms", nullptr}, {"ratio", nullptr}};
  if (!sparse_.empty()) {
    report["fastest_sparse"] = sparse_name;
    report["sparse_ms"] = sparse_ms;
    report["ratio"] = dense_ms / sparse_ms;
  }
  if (has_chosen_) {
    report["chosen_ms"] = milliseconds("chosen");
    report["chosen_ratio"] = dense_ms / milliseconds("chosen");
  }
  for (const std::string& part : parts_) report[part + "_ms"] = milliseconds("part " + part);
  return report;
}

}  // namespace twofour::cli
