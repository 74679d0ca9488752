#include "twofour/cli/fastest_dtype.h"

#include <fmt/format.h>

#include "twofour/base/log.h"
#include "twofour/sparse/dtype_times.h"
#include "twofour/tensor/dtype.h"

namespace twofour::cli {
namespace {

constexpr double kClearlySlower = 1.25;

std::optional<sparse::SparseUse> sparse_use(const train::Method& method) {
  if (!method.is_sparse()) return {};
  const bool is_transposable = method.forward_weight == train::ForwardWeight::kTransposable;
  return sparse::SparseUse{is_transposable ? sparse::Along::kBothSides : sparse::Along::kRows,
                           method.weight_gradient};
}

double ms_of(const std::vector<sparse::DtypeTime>& times, at::ScalarType dtype) {
  for (const sparse::DtypeTime& each : times) {
    if (each.dtype == dtype) return each.ms;
  }
  return 0;
}

// `auto` never chooses float16, which needs a loss scale.
std::vector<at::ScalarType> dtypes_to_compare(const std::string& asked) {
  std::vector<at::ScalarType> dtypes = {at::kFloat, at::kBFloat16};
  if (asked == "float16") dtypes.push_back(at::kHalf);
  return dtypes;
}

}  // namespace

void settle_dtype(CLI::App& command, train::TrainOptions& options) {
  const auto times =
      sparse::dtype_times(dtypes_to_compare(options.model.dtype), sparse_use(options.model.method));
  const at::ScalarType fastest = times.empty() ? at::kFloat : sparse::fastest_dtype(times);
  const char* name = tensor::dtype_name(fastest);
  if (options.model.dtype == "auto") {
    options.model.dtype = name;
    set_option(command, "dtype", name);
    spdlog::info("--dtype auto: {}{}", name,
                 times.empty() ? ", since TWOFOUR_TUNE=off forbids measuring" : "");
    return;
  }
  if (times.empty()) return;
  const double slower =
      ms_of(times, tensor::dtype_named(options.model.dtype)) / ms_of(times, fastest);
  if (slower < kClearlySlower) return;
  const std::string message =
      fmt::format("products of {} take {:.1f} times as long as those of {} on this machine ",
                  options.model.dtype, slower, name);
  if (options.model.dtype == "float32") {
    spdlog::info("{}(--dtype auto takes the fastest)", message);
  } else {
    spdlog::warn("{}(--dtype auto takes the fastest)", message);
  }
}

}  // namespace twofour::cli
