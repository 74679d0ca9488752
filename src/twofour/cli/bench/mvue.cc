// bench mvue: the 2:4 estimates of a gradient against the speed of memory.
#include "twofour/kernels/mvue/mvue.h"

#include <memory>

#include <fmt/format.h>

#include "twofour/cli/bench/bandwidth.h"
#include "twofour/cli/bench/bench.h"
#include "twofour/cli/json_output.h"
#include "twofour/kernels/products/many_tokens/panel24.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::cli {
namespace {

constexpr RandomStream kMvueStream = {1, 2, 3, 4};

template <class T>
Json measure_type(const BandwidthOptions& options) {
  const size_t bytes = static_cast<size_t>(options.megabytes) << 20;
  const int64_t features = options.columns;
  const int64_t row_bytes = features * static_cast<int64_t>(sizeof(T));
  const int64_t tokens = std::max<int64_t>(4, static_cast<int64_t>(bytes / 2) / row_bytes / 4 * 4);
  const auto count = static_cast<size_t>(tokens * features);
  const kernels::Buffer<T> dz = random_values<T>(count);
  kernels::Buffer<T> out(count);
  kernels::Panel24 panel(kernels::panel_kind<T>(), features, tokens);

  BandwidthTable table(bytes);
  const double in_bytes = static_cast<double>(count * sizeof(T));
  const auto add = [&](const char* name, kernels::Mvue kind) {
    table.add(name, 2 * in_bytes, [&, kind] {
      kernels::mvue24(dz.data(), tokens, features, features, kMvueStream, out.data(), kind);
    });
  };
  add("approximate", kernels::Mvue::kApproximate);
  add("exact", kernels::Mvue::kExact);
  table.add("approximate into the panel", in_bytes + static_cast<double>(panel.bytes()),
            [&] { kernels::fill_panel_mvue(dz.data(), features, kMvueStream, panel); });
  Json report = {{"tokens", tokens}, {"features", features}};
  report.update(table.run(options.rounds));
  return report;
}

}  // namespace

void add_bench_mvue(CLI::App& bench) {
  CLI::App& command = *bench.add_subcommand(
      "mvue", "the 2:4 estimates of a gradient against a copy of the same bytes");
  auto options = std::make_shared<BandwidthOptions>();
  add_bandwidth_options(command, "--features", "columns of the gradient", *options);
  set_example(command, "twofour bench mvue --features 4096");
  on_run(command, [options] {
    Json report = report_head(*options);
    tensor::with_type(tensor::dtype_named(options->dtype), [&](auto* type) {
      report.update(measure_type<tensor::Pointee<decltype(type)>>(*options));
    });
    if (options->json) {
      print_json_line(report);
    } else {
      print_head(report);
      print_bandwidth(report);
    }
  });
}

}  // namespace twofour::cli
