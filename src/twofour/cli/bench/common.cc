#include <fstream>

#include <fmt/format.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/parallel.h"
#include "twofour/cli/bench/bench.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/masks/mask.h"
#include "twofour/model/presets.h"
#include "twofour/sparse/masks.h"
#include "twofour/sparse/soft_threshold.h"

namespace twofour::cli {
namespace {

constexpr const char* kLlama2 = "llama2-7b";

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

}  // namespace

void add_bench_options(CLI::App& command, BenchOptions& options) {
  add_dtype(command, "--dtype", options.dtype, "dtype of weights and activations");
  add_size(command, "--rounds", options.rounds, "minimum number of rounds; the fastest counts");
  add_threads_option(command);
  command.add_flag("--json", options.json, "print one JSON object");
}

CLI::Option* add_size(CLI::App& command, const char* name, int64_t& value, const char* help,
                      double most) {
  return add_number(command, name, value, between(1, most), help);
}

CLI::Option* add_bench_model(CLI::App& command, std::string& model, const char* help) {
  std::vector<std::string> names = model::preset_names();
  names.emplace_back(kLlama2);
  return add_choice(command, "--model", model, names, help);
}

FeedForward feed_forward_of(const std::string& model) {
  if (model == kLlama2) return {4096, 11008};  // Touvron et al. 2023, arXiv 2307.09288
  const model::Sizes sizes = model::sizes_of(model::preset(model));
  return {sizes.width, sizes.feed_forward};
}

Json report_head(const BenchOptions& options) {
  return {{"cpu", cpu_name()},
          {"threads", thread_count()},
          {"instruction_set", kernels::name_of(kernels::instruction_set())},
          {"dtype", options.dtype},
          {"rounds", options.rounds}};
}

void print_head(const Json& report) {
  print_output("{}, {}, {} threads, {}\n", report["dtype"].get<std::string>(),
               report["cpu"].get<std::string>(), report["threads"].get<int>(),
               report["instruction_set"].get<std::string>());
}

void check_groups(const char* name, int64_t value) {
  if (value % 4 != 0) fail_usage("{} {} is not a multiple of 4, as 2:4 needs", name, value);
}

at::Tensor weight24_along_rows(int64_t out, int64_t in, at::ScalarType dtype) {
  at::Tensor weight = at::zeros({out, in});
  at::Tensor mask = at::zeros({(out * in + 7) / 8}, at::TensorOptions().dtype(at::kByte));
  sparse::soft_threshold24(at::randn({out, in}), 1.5, weight, mask);
  return weight.to(dtype);
}

at::Tensor weight24_along_both_sides(int64_t out, int64_t in, at::ScalarType dtype) {
  const at::Tensor master = at::randn({out, in});
  at::Tensor mask = at::zeros({(out * in + 7) / 8}, at::TensorOptions().dtype(at::kByte));
  sparse::search_mask(master, sparse::MaskSearch::kTransposable, mask);
  at::Tensor weight = at::empty({out, in}, at::TensorOptions().dtype(dtype));
  sparse::masked_weight(master, mask, weight);
  return weight;
}

}  // namespace twofour::cli
