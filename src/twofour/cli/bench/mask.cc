// bench mask: masks, forward weights, packing and FP8 rounding against the speed of memory.
#include "twofour/kernels/masks/mask.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/cli/bench/bandwidth.h"
#include "twofour/cli/bench/bench.h"
#include "twofour/cli/json_output.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/kernels/packed24/packed24.h"
#include "twofour/sparse/float8.h"
#include "twofour/sparse/masks.h"
#include "twofour/sparse/soft_threshold.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::cli {
namespace {

// The operands and results of the kernels. The weight and its like are about half of --megabytes.
template <class T>
struct Matrices {
  Matrices(int64_t row_count, int64_t column_count)
      : rows(row_count),
        columns(column_count),
        count(static_cast<size_t>(rows * columns)),
        weight(random_values<T>(count)),
        master(random_values<float>(count)),
        out(count),
        gradient(count),
        mask(count),
        other(count),
        bits((count + 7) / 8) {
    std::memset(gradient.data(), 0, count * sizeof(float));
    kernels::magnitude_mask(weight.data(), rows, columns, columns, 2, 4, mask.data());
    kernels::magnitude_mask(weight.data(), rows, columns, columns, 2, 4, other.data());
    kernels::pack_mask(mask.data(), static_cast<int64_t>(count), bits.data());
  }

  int64_t rows, columns;
  size_t count;
  kernels::Buffer<T> weight;
  kernels::Buffer<float> master;
  kernels::Buffer<T> out;
  kernels::Buffer<float> gradient;
  kernels::Buffer<uint8_t> mask, other, bits;
  kernels::Packed24<T> packed;
};

// The operators for Python, with one byte per mask entry.
template <class T>
void add_operators(BandwidthTable& table, Matrices<T>& m) {
  const double entries = static_cast<double>(m.count), weight = entries * sizeof(T);
  const auto magnitude = [&](const char* name, int kept, int group) {
    table.add(name, weight + entries, [&m, kept, group] {
      kernels::magnitude_mask(m.weight.data(), m.rows, m.columns, m.columns, kept, group,
                              m.other.data());
    });
  };
  magnitude("magnitude 2:4", 2, 4);
  magnitude("magnitude 1:4", 1, 4);
  magnitude("magnitude 4:8", 4, 8);
  table.add("transposable 2:4", weight + entries, [&m] {
    kernels::transposable_mask24(m.weight.data(), m.rows, m.columns, m.columns, m.other.data());
  });
  table.add("apply", 2 * weight + entries, [&m] {
    kernels::apply_mask(m.weight.data(), m.rows, m.columns, m.columns, m.mask.data(), m.out.data());
  });
  const auto count = static_cast<int64_t>(m.count);
  table.add("flips", 2 * entries,
            [&m, count] { kernels::mask_flips(m.mask.data(), m.other.data(), count); });
  table.add("pack bits", entries * 9 / 8,
            [&m, count] { kernels::pack_mask(m.mask.data(), count, m.bits.data()); });
  table.add("packing", weight + entries + weight / 2 + entries / 8, [&m] {
    kernels::pack24_into(m.weight.data(), m.rows, m.columns, m.columns, m.mask.data(), m.packed);
  });
}

// The kernels of a training step: float32 masters, W̃ in the dtype, and masks of bits.
template <class T>
void add_training_kernels(BandwidthTable& table, Matrices<T>& m, at::ScalarType dtype) {
  const double entries = static_cast<double>(m.count), weight = entries * sizeof(T);
  const auto tensor = [&](auto* values, at::ScalarType type) {
    return at::from_blob(values, {m.rows, m.columns}, at::TensorOptions().dtype(type));
  };
  const at::Tensor master = tensor(m.master.data(), at::kFloat);
  at::Tensor out = tensor(m.out.data(), dtype), gradient = tensor(m.gradient.data(), at::kFloat);
  at::Tensor bits = at::from_blob(m.bits.data(), {static_cast<int64_t>(m.bits.size())}, at::kByte);
  // The old mask bits are compared, then replaced.
  table.add("soft threshold", 4 * entries + weight + entries / 4,
            [=]() mutable { sparse::soft_threshold24(master, 1.5, out, bits); });
  table.add("beta", 4 * entries, [=] { sparse::soft_threshold_scale(master); });
  table.add("magnitude weight", 4 * entries + weight + entries / 4,
            [=]() mutable { sparse::magnitude24(master, out, bits); });
  table.add("masked weight", 4 * entries + weight + entries / 8,
            [=]() mutable { sparse::masked_weight(master, bits, out); });
  table.add("masked decay", 12 * entries + entries / 8,
            [=]() mutable { sparse::add_masked_decay(master, bits, 1e-4, gradient); });
  table.add("transposable search", 4 * entries + entries / 4, [=]() mutable {
    sparse::search_mask(master, sparse::MaskSearch::kTransposable, bits);
  });
  const at::Tensor values = tensor(m.weight.data(), dtype);
  for (const auto& [name, format] : {std::pair{"FP8 E4M3 rounding", kernels::Float8::kE4M3},
                                     {"FP8 E5M2 rounding", kernels::Float8::kE5M2}}) {
    // Read once for the scale and once to round.
    table.add(name, 3 * weight, [=, format = format] { sparse::to_float8(values, format); });
  }
}

// The 90 patterns with two entries in every row and column, as convolution kernels.
at::Tensor transposable_patterns() {
  constexpr int kRows[] = {0b0011, 0b0101, 0b0110, 0b1001, 0b1010, 0b1100};
  at::Tensor patterns = at::zeros({90, 1, 4, 4});
  int64_t found = 0;
  for (int code = 0; code < 6 * 6 * 6 * 6; ++code) {
    const int rows[] = {kRows[code % 6], kRows[code / 6 % 6], kRows[code / 36 % 6],
                        kRows[code / 216]};
    int columns[4] = {};
    for (int bit = 0; bit < 16; ++bit) columns[bit % 4] += rows[bit / 4] >> (bit % 4) & 1;
    if (std::any_of(columns, columns + 4, [](int kept) { return kept != 2; })) continue;
    float* pattern = patterns.mutable_data_ptr<float>() + 16 * found++;
    for (int bit = 0; bit < 16; ++bit) {
      pattern[bit] = static_cast<float>(rows[bit / 4] >> (bit % 4) & 1);
    }
  }
  return patterns;
}

// The published search (arXiv 2404.01847, section 4.1) against the kernel, on a float32 matrix
// small enough that the 90 sums of each block fit in memory.
Json measure_search(const BandwidthOptions& options) {
  const int64_t rows = 1024, columns = std::min<int64_t>(options.columns / 4 * 4, 4096);
  const at::Tensor weight = at::randn({rows, columns}), patterns = transposable_patterns();
  kernels::Buffer<uint8_t> mask(static_cast<size_t>(rows * columns));
  Race race;
  race.add("convolution", [&] {
    const at::Tensor image = weight.abs().view({1, 1, rows, columns});
    const at::Tensor best = at::argmax(at::conv2d(image, patterns, {}, /*stride=*/4), 1);
    patterns.view({90, 16}).index_select(0, best.view({-1}));
  });
  race.add("kernel", [&] {
    kernels::transposable_mask24(weight.const_data_ptr<float>(), rows, columns, columns,
                                 mask.data());
  });
  race.run(std::min<int64_t>(options.rounds, 5));
  return {{"rows", rows},
          {"columns", columns},
          {"convolution_ms", 1e3 * race.seconds("convolution")},
          {"kernel_ms", 1e3 * race.seconds("kernel")},
          {"ratio", race.seconds("convolution") / race.seconds("kernel")}};
}

Json measure_mask(const BandwidthOptions& options) {
  const at::NoGradGuard no_gradients;
  const size_t bytes = static_cast<size_t>(options.megabytes) << 20;
  Json report = report_head(options);
  tensor::with_type(tensor::dtype_named(options.dtype), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    const int64_t row_bytes = options.columns * static_cast<int64_t>(sizeof(T));
    const int64_t rows = std::max<int64_t>(4, static_cast<int64_t>(bytes / 2) / row_bytes / 4 * 4);
    Matrices<T> matrices(rows, options.columns);
    BandwidthTable table(bytes);
    add_operators(table, matrices);
    add_training_kernels(table, matrices, tensor::dtype_named(options.dtype));
    report["rows"] = rows;
    report["columns"] = options.columns;
    report.update(table.run(options.rounds));
  });
  report["transposable_search"] = measure_search(options);
  return report;
}

}  // namespace

void add_bench_mask(CLI::App& bench) {
  CLI::App& command = *bench.add_subcommand(
      "mask", "masks, forward weights, packing and FP8 rounding against a copy of the same bytes");
  auto options = std::make_shared<BandwidthOptions>();
  add_bandwidth_options(command, "--in", "columns of the matrix, a multiple of 8", *options);
  set_example(command, "twofour bench mask --dtype float32");
  on_run(command, [options] {
    if (options->columns % 8 != 0) {
      fail_usage("--in {} is not a multiple of 8, as 4:8 needs", options->columns);
    }
    const Json report = measure_mask(*options);
    if (options->json) {
      print_json_line(report);
      return;
    }
    print_head(report);
    print_bandwidth(report);
    const Json& search = report["transposable_search"];
    print_output(
        "transposable search: {:.1f}x a convolution with the 90 patterns ({:.1f} ms, {:.2f} ms)\n",
        search["ratio"].get<double>(), search["convolution_ms"].get<double>(),
        search["kernel_ms"].get<double>());
  });
}

}  // namespace twofour::cli
