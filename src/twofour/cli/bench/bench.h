// Shared code of the benchmarks. Each times 2:4 against its best alternative in one run and prints
// ratios (above 1: 2:4 is faster). With --json, the standard output is one object.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <ATen/core/Tensor.h>

#include "twofour/base/error.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/values.h"
#include "twofour/tensor/dtype.h"

namespace twofour::cli {

using Json = nlohmann::ordered_json;

// One function per file: adds `bench NAME`.
void add_bench_linear(CLI::App& bench);
void add_bench_block(CLI::App& bench);
void add_bench_mask(CLI::App& bench);
void add_bench_mvue(CLI::App& bench);
void add_bench_decode(CLI::App& bench);
void add_bench_soft_mask(CLI::App& bench);

struct BenchOptions {
  int64_t rounds = 15;
  std::string dtype = "bfloat16";
  bool json = false;
};

/// Declares --rounds, --dtype, --json and --threads.
void add_bench_options(CLI::App& command, BenchOptions& options);

/// Declares a size of at least 1.
CLI::Option* add_size(CLI::App& command, const char* name, int64_t& value, const char* help,
                      double most = kLargestSize);

/// Declares --model: the published model whose feed-forward layers are timed.
CLI::Option* add_bench_model(CLI::App& command, std::string& model, const char* help);

/// The feed-forward layers of such a model: [feed_forward, width] and back.
struct FeedForward {
  int64_t width, feed_forward;
};
FeedForward feed_forward_of(const std::string& model);

/// CPU, threads, instruction set and dtype: the beginning of every report.
Json report_head(const BenchOptions& options);
void print_head(const Json& report);

/// Throws Error (usage) if `value` of option `name` is not a multiple of four.
void check_groups(const char* name, int64_t value);

/// Two random weights [out, in]. One is 2:4 along its rows, made by the soft threshold. The other
/// is also 2:4 along its columns, made by a transposable mask (`out` a multiple of 4).
at::Tensor weight24_along_rows(int64_t out, int64_t in, at::ScalarType dtype);
at::Tensor weight24_along_both_sides(int64_t out, int64_t in, at::ScalarType dtype);

}  // namespace twofour::cli
