// Compares kernels that should be memory-bound with a copy of as many bytes in the same run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/base/race.h"
#include "twofour/cli/bench/bench.h"
#include "twofour/kernels/buffer.h"

namespace twofour::cli {

/// The options of a memory benchmark on matrices with `columns`.
struct BandwidthOptions : BenchOptions {
  BandwidthOptions() { rounds = 7; }
  int64_t megabytes = 600, columns = 4096;
};

/// Declares --megabytes, the number of columns under `columns_name`, and add_bench_options.
void add_bandwidth_options(CLI::App& command, const char* columns_name, const char* columns_help,
                           BandwidthOptions& options);

/// Random values of a type of the kernels, repeated after 2^20 entries: fast to make, and too many
/// for any branch predictor.
template <class T>
kernels::Buffer<T> random_values(size_t count);

/// The sum of all 8-byte words: a plain read of memory on all threads.
uint64_t stream_read(const void* data, size_t bytes);

class BandwidthTable {
 public:
  /// The copy reads and writes `bytes` together. Choose more than the caches hold.
  explicit BandwidthTable(size_t bytes);

  /// `bytes`: the bytes that the kernel reads and writes, each entry once.
  void add(const std::string& name, double bytes, std::function<void()> run);

  /// {copy_gb_per_s, kernels: {NAME: {ms, gb_per_s, share}}}, `share` of the copy's bandwidth.
  nlohmann::ordered_json run(int64_t rounds);

 private:
  struct Row {
    std::string name;
    double bytes;
  };
  kernels::Buffer<std::byte> from_, to_;
  Race race_;
  std::vector<Row> rows_;
};

/// The table as text, with a line for each kernel below 0.7 of the copy.
void print_bandwidth(const nlohmann::ordered_json& report);

}  // namespace twofour::cli
