#include "twofour/cli/bench/bandwidth.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include <fmt/format.h>

#include "twofour/base/parallel.h"
#include "twofour/base/progress.h"
#include "twofour/base/random.h"
#include "twofour/kernels/types.h"

namespace twofour::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kCopy = "copy";

}  // namespace

template <class T>
kernels::Buffer<T> random_values(size_t count) {
  kernels::Buffer<T> values(count);
  constexpr size_t kPeriod = size_t{1} << 20;
  const RandomStream stream = {7, 0, 0, 0};
  const size_t first = std::min(count, kPeriod);
  for (size_t i = 0; i < first; ++i) {
    const auto words = stream(static_cast<uint32_t>(i));
    // The sum of four uniform numbers approximates a Gaussian.
    float sum = -2.0f;
    for (int k = 0; k < 4; ++k) sum += uniform_from_bits(words[k]);
    kernels::store(sum, values[i]);
  }
  for (size_t done = first; done < count; done += kPeriod) {
    std::memcpy(values.data() + done, values.data(), std::min(kPeriod, count - done) * sizeof(T));
  }
  return values;
}

template kernels::Buffer<float> random_values<float>(size_t);
template kernels::Buffer<kernels::bfloat16> random_values<kernels::bfloat16>(size_t);
template kernels::Buffer<kernels::float16> random_values<kernels::float16>(size_t);

uint64_t stream_read(const void* data, size_t bytes) {
  const auto* words = static_cast<const uint64_t*>(data);
  std::atomic<uint64_t> total = 0;
  const auto count = static_cast<int64_t>(bytes / 64);
  parallel_for(0, count, /*grain=*/64, [&](int64_t first, int64_t last) {
    // Reads from several places at once, as a product reads several rows. One stream keeps too few
    // lines in flight to reach the memory's bandwidth.
    constexpr int64_t kPlaces = 4;
    const int64_t each = (last - first + kPlaces - 1) / kPlaces;
    uint64_t sums[8] = {};
    for (int64_t step = 0; step < each; ++step) {
      for (int64_t place = 0; place < kPlaces; ++place) {
        const uint64_t* line = words + 8 * std::min(first + place * each + step, last - 1);
        for (int i = 0; i < 8; ++i) sums[i] += line[i];
      }
    }
    for (const uint64_t sum : sums) total += sum;
  });
  return total;
}

void add_bandwidth_options(CLI::App& command, const char* columns_name, const char* columns_help,
                           BandwidthOptions& options) {
  add_size(command, "--megabytes", options.megabytes,
           "megabytes that the copy reads and writes, more than the caches hold");
  add_size(command, columns_name, options.columns, columns_help);
  add_bench_options(command, options);
}

BandwidthTable::BandwidthTable(size_t bytes) : from_(bytes / 2), to_(bytes / 2) {
  std::memset(from_.data(), 1, from_.size());
  race_.add(kCopy, [this] {
    parallel_for(
        0, static_cast<int64_t>(from_.size()), /*grain=*/4096, [this](int64_t first, int64_t last) {
          std::memcpy(to_.data() + first, from_.data() + first, static_cast<size_t>(last - first));
        });
  });
}

void BandwidthTable::add(const std::string& name, double bytes, std::function<void()> run) {
  rows_.push_back({name, bytes});
  race_.add(name, std::move(run));
}

Json BandwidthTable::run(int64_t rounds) {
  ProgressBar bar("measuring", static_cast<uint64_t>(rounds));
  race_.on_round([&](int64_t done) { bar.update(static_cast<uint64_t>(done)); });
  race_.run(rounds);
  const double copy = 2.0 * static_cast<double>(from_.size()) / race_.seconds(kCopy);
  Json kernels = Json::object();
  for (const Row& row : rows_) {
    const double rate = row.bytes / race_.seconds(row.name);
    kernels[row.name] = {
        {"ms", 1e3 * race_.seconds(row.name)}, {"gb_per_s", rate / 1e9}, {"share", rate / copy}};
  }
  return {{"copy_gb_per_s", copy / 1e9}, {"kernels", kernels}};
}

void print_bandwidth(const Json& report) {
  print_output("a copy moves {:.1f} GB/s\n", report["copy_gb_per_s"].get<double>());
  print_output("{:<28} {:>10} {:>8} {:>8}\n", "", "ms", "GB/s", "share");
  for (const auto& [name, row] : report["kernels"].items()) {
    print_output("{:<28} {:>10.3f} {:>8.1f} {:>8.2f}\n", name, row["ms"].get<double>(),
                 row["gb_per_s"].get<double>(), row["share"].get<double>());
  }
  for (const auto& [name, row] : report["kernels"].items()) {
    if (row["share"].get<double>() < 0.7) {
      print_output("not bound by memory here: {} moves less than 0.7 of a copy\n", name);
    }
  }
}

}  // namespace twofour::cli
