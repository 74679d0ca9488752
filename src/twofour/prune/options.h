// The options of one-shot pruning. A method is a score; everything after it is an option that any
// method can have.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <c10/core/ScalarType.h>

#include "twofour/prune/calibration.h"
#include "twofour/sparse/pruning.h"

namespace twofour::prune {

enum class Method { kMagnitude, kWanda, kSparseGpt, kRia };
Method method_named(const std::string& name);

/// "2:4", or the share of zeros of an unstructured pattern, as "0.5". Throws Error (usage) for any
/// other text and for a pattern that sparse::check() refuses.
sparse::Pattern pattern_named(const std::string& text);
std::string name_of(const sparse::Pattern& pattern);

/// The weights of a chosen mask.
enum class Weights {
  kUntouched,  ///< the mask is only stored beside the dense weights
  kMasked,     ///< W ⊙ mask
  kUpdated,    ///< SparseGPT's update of the kept weights
  kAdmm,       ///< least error for the mask, by ADMM
  kExact       ///< the same exactly
};

/// Layers whose name contains a match of the regular expression have this pattern; none: they stay
/// dense.
struct LayerRule {
  std::string match;
  std::optional<sparse::Pattern> pattern;
};

/// The inputs on which a block's layers are judged.
enum class Inputs {
  kSequential,  ///< those that the pruned blocks before it produce
  kDense        ///< those of the dense model
};

struct PruneOptions {
  std::filesystem::path out;
  Method method = Method::kSparseGpt;
  sparse::Pattern pattern;
  Weights weights = Weights::kUpdated;

  /// Regular expressions on the names of weights ("model.layers.0.mlp.up_proj.weight"), found
  /// anywhere in them. A layer is pruned if one of `include` (empty: all) and none of `exclude`
  /// matches; the first matching rule replaces the pattern.
  std::vector<std::string> include, exclude;
  std::vector<LayerRule> rules;
  /// Only blocks from first to second are pruned.
  std::optional<std::pair<int64_t, int64_t>> blocks;

  /// No files: no layer is observed, which only magnitude allows.
  CalibrationOptions calibration;
  Inputs inputs = Inputs::kSequential;
  at::ScalarType dtype = at::kFloat;  ///< of activations and of the weights that they meet
  /// Beyond these bytes, activations are kept in a file beside the output.
  uint64_t most_bytes = uint64_t{4} << 30;

  at::ScalarType sums = at::kFloat;  ///< of the Gram matrices: float32 or float64
  double damping = 0.01;             ///< of the Hessian, relative to its mean diagonal
  int64_t block_columns = 128;       ///< of SparseGPT
  double ria_power = 0.5;
  bool permute = false;  ///< permute channels inside a block before the masks are chosen
  bool swaps = false;    ///< improve masks by exact swaps
  int64_t admm_iterations = 20;
  /// Passes that train a block's kept weights to give the dense block's output; 0: none. The rate
  /// is relative to the root mean square of a layer's kept weights.
  int64_t reconstruct_passes = 0;
  double reconstruct_rate = 1e-2;

  uint64_t largest_shard = uint64_t{5} << 30;
  bool resume = false;
  std::string version;  ///< of the program, for the record
};

/// Every setting that has an effect on the result, by the name of its option.
nlohmann::ordered_json settings_of(const PruneOptions& options);

}  // namespace twofour::prune
