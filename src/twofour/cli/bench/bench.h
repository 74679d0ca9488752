// What the benchmarks share. Each times 2:4 against its best alternative in one run, prints ratios
// (above 1: 2:4 is faster), and with --json one object, the only thing on the standard output.
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

// One function a file: adds `bench NAME`.
void add_bench_linear(CLI::App& bench);
void add_bench_block(CLI::App& bench);
void add_bench_mask(CLI::App& bench);
void add_bench_mvue(CLI::App& bench);
void add_bench_decode(CLI::App& bench);

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

/// Declares --model: the published model whose feed-forward layers are meant.
CLI::Option* add_bench_model(CLI::App& command, std::string& model, const char* help);

/// The feed-forward layers of such a model: [feed_forward, width] and back.
struct FeedForward {
  int64_t width, feed_forward;
};
FeedForward feed_forward_of(const std::string& model);

/// CPU, threads, instruction set and dtype: how every report begins.
Json report_head(const BenchOptions& options);
void print_head(const Json& report);

/// Throws Error (usage) where `value` of option `name` cannot be divided into groups of four.
void check_groups(const char* name, int64_t value);

/// A random weight [out, in] that is 2:4 along its rows, as the soft threshold makes it, and one
/// that is 2:4 along its columns too, as a transposable mask makes it (`out` a multiple of 4).
at::Tensor weight24_along_rows(int64_t out, int64_t in, at::ScalarType dtype);
at::Tensor weight24_along_both_sides(int64_t out, int64_t in, at::ScalarType dtype);

}  // namespace twofour::cli
