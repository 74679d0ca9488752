// Compares the times of a product's dense and 2:4 implementations in one run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/base/race.h"
#include "twofour/cli/bench/dense.h"

namespace twofour::cli {

/// The rounds of a race: at least `rounds`, and more for short pieces, so that another process that
/// takes a core for milliseconds does not decide it.
void run_race(Race& race, int64_t rounds);

class Contest {
 public:
  explicit Contest(DenseProducts dense);

  /// Another way to compute the product on 2:4 kernels.
  void add_sparse(const std::string& name, std::function<void()> run);

  /// The implementation that tensor::choose selects for a layer.
  void add_chosen(std::function<void()> run);

  /// Times a part of a 2:4 way separately; the report has it as NAME_ms.
  void add_part(const std::string& name, std::function<void()> run);

  /// Runs all of them in turn and reports, with times in ms:
  ///   dense {NAME: ms}, left_out {NAME: why}, fastest_dense, dense_ms
  ///   sparse {NAME: ms}, fastest_sparse, sparse_ms, ratio    null if no 2:4 kernel can
  ///   chosen_ms, chosen_ratio                                dense_ms / chosen_ms
  nlohmann::ordered_json run(int64_t rounds);

 private:
  double milliseconds(const std::string& piece) const { return 1e3 * race_.seconds(piece); }
  std::pair<std::string, double> fastest(const std::vector<std::string>& names, const char* kind,
                                         nlohmann::ordered_json& times) const;

  Race race_;
  nlohmann::ordered_json left_out_;
  std::vector<std::string> dense_, sparse_, parts_;
  bool has_chosen_ = false;
};

}  // namespace twofour::cli
