// bench: sparse against dense in one run, as a ratio.
#include <algorithm>
#include <chrono>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/cli/command.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/sparse/accumulate.h"
#include "twofour/sparse/dtype.h"
#include "twofour/sparse/product24.h"
#include "twofour/sparse/soft_threshold.h"

namespace twofour::cli {
namespace {

using Json = nlohmann::ordered_json;

struct LinearBenchOptions {
  int64_t tokens = 1024, in = 768, out = 3072, rounds = 15;
  std::string dtype = "bfloat16";
  bool json = false;
};

// The shortest time of each of several pieces of work that take turns.
class Race {
 public:
  void add(std::string name, std::function<void()> work) {
    runners_.push_back({std::move(name), std::move(work), 1e30});
  }
  void run(int64_t rounds) {
    for (int64_t round = 0; round <= rounds; ++round) {  // the first one warms up
      for (Runner& runner : runners_) {
        const auto start = std::chrono::steady_clock::now();
        runner.work();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        if (round > 0) runner.seconds = std::min(runner.seconds, took.count());
      }
    }
  }
  double seconds(const std::string& name) const {
    for (const Runner& runner : runners_) {
      if (runner.name == name) return runner.seconds;
    }
    fail("nothing named {} ran", name);
  }

 private:
  struct Runner {
    std::string name;
    std::function<void()> work;
    double seconds;
  };
  std::vector<Runner> runners_;
};

at::Tensor sparse_weight(int64_t out, int64_t in, at::ScalarType dtype) {
  at::Tensor weight = at::zeros({out, in}, at::TensorOptions().dtype(dtype));
  at::Tensor mask = at::zeros({(out * in + 7) / 8}, at::TensorOptions().dtype(at::kByte));
  sparse::soft_threshold24(at::randn({out, in}), 1.5, weight, mask);
  return weight;
}

Json measure_linear(const LinearBenchOptions& options) {
  const at::ScalarType dtype = sparse::dtype_named(options.dtype);
  const auto [tokens, in, out] = std::tuple(options.tokens, options.in, options.out);
  const at::Tensor weight = sparse_weight(out, in, dtype);
  const at::Tensor x = at::randn({tokens, in}).to(dtype), dz = at::randn({tokens, out}).to(dtype);
  const at::Tensor bias = at::randn({out}).to(dtype);
  at::Tensor gradient = at::zeros({out, in});
  kernels::Panel24 panel = sparse::empty_panel(dtype, out, in);
  kernels::Panel24 estimate = sparse::empty_panel(dtype, out, tokens);
  sparse::fill_panel(weight, panel);

  Race race;
  race.add("dense", [&] { at::addmm(bias, x, weight.t()); });
  race.add("sparse", [&] { sparse::multiply_transposed(panel, x, bias); });
  race.add("packing", [&] { sparse::fill_panel(weight, panel); });
  race.add("dense gradient", [&] {
    if (dtype == at::kFloat) {
      gradient.addmm_(dz.t(), x);
    } else {
      sparse::accumulate(at::mm(dz.t(), x), gradient);
    }
  });
  race.add("sparse gradient", [&] { sparse::multiply_add(estimate, x, gradient); });
  race.add("mvue", [&] { sparse::fill_panel_mvue(dz, {1, 2, 3, 4}, estimate); });
  race.run(options.rounds);

  const double flops = 2.0 * static_cast<double>(tokens * in * out);
  const double forward = race.seconds("dense") / race.seconds("sparse");
  const double backward =
      race.seconds("dense gradient") / (race.seconds("sparse gradient") + race.seconds("mvue"));
  return {{"tokens", tokens},
          {"in", in},
          {"out", out},
          {"dtype", options.dtype},
          {"threads", thread_count()},
          {"instruction_set", kernels::name_of(kernels::instruction_set())},
          {"dense_gflops", flops / race.seconds("dense") / 1e9},
          {"forward_ratio", forward},
          {"weight_gradient_ratio", backward},
          {"dense_ms", 1e3 * race.seconds("dense")},
          {"sparse_ms", 1e3 * race.seconds("sparse")},
          {"packing_ms", 1e3 * race.seconds("packing")},
          {"dense_gradient_ms", 1e3 * race.seconds("dense gradient")},
          {"sparse_gradient_ms", 1e3 * race.seconds("sparse gradient")},
          {"mvue_ms", 1e3 * race.seconds("mvue")}};
}

void check(const LinearBenchOptions& options) {
  if (options.in % 4 != 0) fail_usage("--in {} is not a multiple of 4, as 2:4 needs", options.in);
}

void print_linear(const Json& result) {
  const auto ms = [&](const char* name) { return result[name].get<double>(); };
  fmt::print("{} tokens, {} -> {}, {}, {} threads, {}\n", result["tokens"].dump(),
             result["in"].dump(), result["out"].dump(), result["dtype"].get<std::string>(),
             result["threads"].dump(), result["instruction_set"].get<std::string>());
  fmt::print("{:<18} {:>10} {:>10} {:>8}\n", "", "dense ms", "2:4 ms", "ratio");
  fmt::print("{:<18} {:>10.3f} {:>10.3f} {:>7.2f}x\n", "forward", ms("dense_ms"), ms("sparse_ms"),
             ms("forward_ratio"));
  fmt::print("{:<18} {:>10.3f} {:>10.3f} {:>7.2f}x  (MVUE {:.3f} ms of it)\n", "weight gradient",
             ms("dense_gradient_ms"), ms("sparse_gradient_ms") + ms("mvue_ms"),
             ms("weight_gradient_ratio"), ms("mvue_ms"));
  fmt::print("{:<18} {:>10} {:>10.3f}\n", "packing the weight", "", ms("packing_ms"));
  for (const auto& [name, ratio] : {std::pair{"forward product", "forward_ratio"},
                                    {"weight gradient with MVUE", "weight_gradient_ratio"}}) {
    if (ms(ratio) < 1.0) fmt::print("2:4 does not pay here: the {} is slower than dense\n", name);
  }
}

}  // namespace

void add_bench(CLI::App& program) {
  CLI::App& bench =
      *program.add_subcommand("bench", "sparse against dense on this machine, as a ratio");
  bench.require_subcommand(1);
  CLI::App& command = *bench.add_subcommand(
      "linear", "the products of one 2:4 linear layer against ATen's dense ones");
  auto options = std::make_shared<LinearBenchOptions>();
  const auto size = [&](const char* name, int64_t& value, const char* help) {
    command.add_option(name, value, help)->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  };
  size("--tokens", options->tokens, "rows of x");
  size("--in", options->in, "columns of x and of the weight, a multiple of 4");
  size("--out", options->out, "rows of the weight");
  size("--rounds", options->rounds, "the fastest of so many counts");
  for (CLI::Option* option : command.get_options()) option->capture_default_str();
  command.add_option("--dtype", options->dtype, "float32 or bfloat16")->capture_default_str();
  command.add_flag("--json", options->json, "print one JSON object");
  add_threads_option(command);
  on_run(command, [options] {
    check(*options);
    const Json result = measure_linear(*options);
    if (options->json) {
      fmt::print("{}\n", result.dump());
    } else {
      print_linear(result);
    }
  });
}

}  // namespace twofour::cli
