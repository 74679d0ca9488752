// Which implementation of a product runs. The first time a shape is met, all that can compute it
// are timed in turn; the fastest is kept, in a file also for later runs. 2:4 is never used where
// dense is faster.
//
// TWOFOUR_TUNE=off: nothing is measured or read; 2:4 products always run on 2:4 kernels.
// on (default): as above. refresh: every shape is measured anew, once a process.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <c10/core/ScalarType.h>

namespace twofour::sparse {

/// The products of a linear layer (see linear24.h). kDenseInputGradient: of a W̃ that no 2:4 kernel
/// of this CPU takes on that side; which dense product is fastest is still a choice.
enum class Product { kForward, kInputGradient, kWeightGradient, kDenseInputGradient };

/// kDense: ATen. kOneDnn: oneDNN with a reordered weight (onednn.h), dense too. kPanel:
/// kernels/product24.h. kFew: kernels/few24.h; of a weight gradient kernels/rank_update.h.
enum class Implementation { kDense, kOneDnn, kPanel, kFew };

inline bool is_dense(Implementation implementation) {
  return implementation == Implementation::kDense || implementation == Implementation::kOneDnn;
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
};

/// The implementation to run; `candidates` is asked for only when they have to be measured. Where
/// nothing may be measured the last of them runs: a 2:4 one, if there is one. The first time that
/// dense is chosen over 2:4 for a shape, the log says so, with the two times.
Implementation choose(const ProductShape& shape,
                      const std::function<std::vector<Candidate>()>& candidates);

/// What choose() has answered for a shape in this process; empty before.
std::optional<Choice> choice_made(const ProductShape& shape);

/// The file of measured choices: products.json in twofour's folder under XDG_CACHE_HOME or
/// ~/.cache. Entries are kept by CPU, instruction set, revision of the kernels, libtorch and thread
/// count.
std::filesystem::path choices_file();

/// All choices that this process has made. A checkpoint holds them: another implementation would
/// sum in another order, so that a resumed run would differ in the last bits.
nlohmann::json choices_made();

/// Takes over what choices_made() gave, for every shape in it. Ignores what it does not know.
void use_choices(const nlohmann::json& choices);

const char* name_of(Product product);
const char* name_of(Implementation implementation);

/// "forward, 1024 tokens, 768 -> 3072, BFloat16", tokens rounded.
std::string describe(const ProductShape& shape);

}  // namespace twofour::sparse
