// Chooses the implementation of a product. At the first use of a shape, all implementations are
// timed in turn, and the fastest is kept, also in a file for later runs. 2:4 is never used if dense
// is faster. A choice that was measured while other work ran holds for the process only; later
// processes measure it again.
//
// TWOFOUR_TUNE=off: nothing is measured or read; 2:4 products always run on 2:4 kernels, dense ones
// on ATen's. on (default): as above. refresh: each process measures every shape once.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <c10/core/ScalarType.h>

#include "twofour/base/race.h"

namespace twofour::tensor {

/// The products of a linear layer (see linear24.h). kDenseInputGradient: for a W̃ that no 2:4
/// kernel of this CPU can use on that side; only dense implementations are compared. kPlain…: for a
/// layer without a 2:4 weight or estimate. kAttention: softmax(q kᵀ) v with its gradient; `in` is
/// the width of a head, `out` the heads of all sequences.
enum class Product {
  kForward,
  kInputGradient,
  kWeightGradient,
  kDenseInputGradient,
  kPlainForward,
  kPlainInputGradient,
  kPlainWeightGradient,
  kAttention
};

/// Dense: kDense, ATen; kOneDnn, oneDNN (onednn.h), with a reordered weight if Weight24 keeps one;
/// kMkl and kFloat32, 16-bit operands in mixed_product.h. 2:4: kPanel,
/// kernels/products/many_tokens/product24.h; kFew, kernels/products/few_tokens/few24.h, for a
/// weight gradient kernels/training/rank_update.h.
enum class Implementation { kDense, kOneDnn, kMkl, kFloat32, kPanel, kFew };

inline bool is_dense(Implementation implementation) {
  return implementation != Implementation::kPanel && implementation != Implementation::kFew;
}

struct ProductShape {
  Product product;
  /// x [tokens, in], weight [out, in]. Up to 4 tokens each count is separate; more are rounded up
  /// to 2 or 3 times a power of two, so that prompts of any length need few measurements.
  int64_t tokens, in, out;
  c10::ScalarType dtype;
  /// The weight changes in every step, so the time of a product includes preparing the weight. No
  /// effect on a weight gradient, which reads no weight.
  bool in_training = false;
};

/// One way to compute a product. `run` may be called any number of times without side effects.
struct Candidate {
  Implementation implementation;
  std::function<void()> run;
};

struct Choice {
  Implementation implementation;
  double dense_ms = 0, sparse_ms = 0;  ///< of the fastest of each; 0 if none was measured
  /// Number of processes that measured it, all under disturbance; 0: the measurement is good.
  int disturbed = 0;
};

/// The implementation to run. `candidates` is only called if they must be measured. If measuring is
/// not allowed, the last one runs: a 2:4 one, if there is one, or ATen's. The first time that dense
/// is chosen over 2:4 for a shape, the log has a line with both times.
Implementation choose(const ProductShape& shape,
                      const std::function<std::vector<Candidate>()>& candidates);

/// Whether TWOFOUR_TUNE allows measuring.
bool measures_choices();

/// The choice for a shape in this process; nullopt before choose().
std::optional<Choice> choice_made(const ProductShape& shape);

/// The file of measured choices: products.json in twofour's folder under XDG_CACHE_HOME or
/// ~/.cache. Its entries have the key machine_key().
std::filesystem::path choices_file();

/// All choices of this process, for a checkpoint. Another implementation would sum in another
/// order, and a resumed run would differ in the last bits.
nlohmann::json choices_made();

/// Begins anew: later calls of choose() take what the file holds, or measure. For a process that
/// has done other work before the one whose choices a checkpoint records.
void forget_choices_made();

/// Adopts all choices from choices_made(). Ignores unknown entries.
void use_choices(const nlohmann::json& choices);

const char* name_of(Product product);
const char* name_of(Implementation implementation);

/// "forward, 1024 tokens, 768 -> 3072, bfloat16", tokens rounded.
std::string describe(const ProductShape& shape);

/// For tests: replaces the clock of choose(), and reads the file again, as a new process would.
void set_race_clock(RaceClock clock);
void forget_choices_file();

}  // namespace twofour::tensor
