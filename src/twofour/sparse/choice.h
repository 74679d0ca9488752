// Which implementation of a product runs. The first time a shape is met, all that can compute it
// are timed in turn; the fastest is kept, in a file also for later runs. 2:4 is never used where
// dense is faster. A choice that was measured while something else ran stays for the process, and
// later ones measure it again.
//
// TWOFOUR_TUNE=off: nothing is measured or read; 2:4 products always run on 2:4 kernels, dense ones
// on ATen's. on (default): as above. refresh: every shape is measured anew, once a process.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <c10/core/ScalarType.h>

#include "twofour/base/race.h"

namespace twofour::sparse {

/// The products of a linear layer (see linear24.h). kDenseInputGradient: of a W̃ that no 2:4 kernel
/// of this CPU takes on that side; which dense product is fastest is still a choice. kPlain…: of a
/// layer without a 2:4 weight or estimate. kAttention: softmax(q kᵀ) v with its gradient, `in` the
/// width of a head, `out` the heads of all sequences.
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

/// Dense: kDense, ATen; kOneDnn, oneDNN (onednn.h), with a reordered weight where Weight24 keeps
/// one; kMkl and kFloat32, 16-bit operands in mixed_product.h. 2:4: kPanel,
/// kernels/products/many_tokens/product24.h; kFew, kernels/products/few_tokens/few24.h, of a weight
/// gradient kernels/training/rank_update.h.
enum class Implementation { kDense, kOneDnn, kMkl, kFloat32, kPanel, kFew };

inline bool is_dense(Implementation implementation) {
  return implementation != Implementation::kPanel && implementation != Implementation::kFew;
}

struct ProductShape {
  Product product;
  /// x [tokens, in], weight [out, in]. Up to 4 tokens each count is its own; more are rounded up to
  /// 2 or 3 times a power of two, so that prompts of any length need few measurements.
  int64_t tokens, in, out;
  c10::ScalarType dtype;
  /// The weight is another one in every step: what a product takes counts preparing the weight for
  /// it. Nothing to a weight gradient, which reads none.
  bool in_training = false;
};

/// One way to compute a product. `run` may be called any number of times and must leave no trace.
struct Candidate {
  Implementation implementation;
  std::function<void()> run;
};

struct Choice {
  Implementation implementation;
  double dense_ms = 0, sparse_ms = 0;  ///< of the fastest of each; 0 where none was measured
  /// How many processes have measured it, all while something else ran; 0: it was measured well.
  int disturbed = 0;
};

/// The implementation to run; `candidates` is asked for only when they have to be measured. Where
/// nothing may be measured the last of them runs: a 2:4 one, if there is one, or ATen's. The first
/// time that dense is chosen over 2:4 for a shape, the log says so, with the two times.
Implementation choose(const ProductShape& shape,
                      const std::function<std::vector<Candidate>()>& candidates);

/// Whether TWOFOUR_TUNE lets choose() measure.
bool measures_choices();

/// What choose() has answered for a shape in this process; empty before.
std::optional<Choice> choice_made(const ProductShape& shape);

/// The file of measured choices: products.json in twofour's folder under XDG_CACHE_HOME or
/// ~/.cache. Entries are kept by machine_key().
std::filesystem::path choices_file();

/// All choices that this process has made. A checkpoint holds them: another implementation would
/// sum in another order, so that a resumed run would differ in the last bits.
nlohmann::json choices_made();

/// Takes over what choices_made() gave, for every shape in it. Ignores what it does not know.
void use_choices(const nlohmann::json& choices);

const char* name_of(Product product);
const char* name_of(Implementation implementation);

/// "forward, 1024 tokens, 768 -> 3072, bfloat16", tokens rounded.
std::string describe(const ProductShape& shape);

/// For tests: what choose() measures by from now on; reads the file again, as a new process would.
void set_race_clock(RaceClock clock);
void forget_choices_file();

}  // namespace twofour::sparse
