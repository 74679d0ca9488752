// bench soft-mask: a training pass of a linear layer whose mask is learned, against the dense one.
#include <fstream>
#include <memory>
#include <string>

#include <fmt/format.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/base/race.h"
#include "twofour/cli/bench/bench.h"
#include "twofour/cli/json_output.h"
#include "twofour/learn/options.h"
#include "twofour/sparse/linear24.h"
#include "twofour/tensor/accumulate.h"

namespace twofour::cli {
namespace {

struct SoftMaskBenchOptions : BenchOptions {
  int64_t tokens = 512, in = 4096, out = 4096;
  std::string pattern = "2:4", logits = "float32";
};

// A frozen layer with logits, its operands, and the same layer with a weight that is trained.
struct MaskedLayer {
  sparse::Linear masked, dense;
  at::Tensor x, dz;

  explicit MaskedLayer(const SoftMaskBenchOptions& options) {
    const at::ScalarType dtype = tensor::dtype_named(options.dtype);
    const sparse::Pattern pattern = learn::pattern_named(options.pattern);
    const kernels::Candidates candidates(pattern.kept, pattern.group);
    if (options.in % pattern.group != 0) {
      fail_usage("--in {} is not a multiple of {}", options.in, pattern.group);
    }
    masked.weight = at::randn({options.out, options.in}).mul_(0.02).to(dtype);
    const at::Tensor logits =
        at::randn({options.out, options.in / pattern.group, candidates.count()}).mul_(0.01);
    masked.soft_mask = std::make_shared<sparse::SoftMask>(
        candidates, logits.to(tensor::dtype_named(options.logits)));
    masked.soft_mask->options.noise = kernels::Noise::kDrawn;
    masked.soft_mask->regularisation = 1e-5;
    masked.soft_mask->logits.requires_grad_();
    tensor::gradient_of(masked.soft_mask->logits);
    dense.weight = masked.weight.clone().requires_grad_();
    tensor::gradient_of(dense.weight);
    x = at::randn({options.tokens, options.in}).to(dtype);
    dz = at::randn({options.tokens, options.out}).to(dtype);
  }

  void pass(const sparse::Linear& layer) const {
    at::Tensor input = x.detach().requires_grad_();
    torch::autograd::backward({sparse::linear(input, layer)}, {dz});
  }
};

// A size in /proc/self/status in bytes; 0 where there is none.
int64_t memory_figure(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes = 0;
    if (word == name + ":" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// The bytes by which a pass raises the resident set at its peak.
int64_t added_memory(const MaskedLayer& layer) {
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
  const int64_t before = memory_figure("VmRSS");
  layer.pass(layer.masked);
  return std::max<int64_t>(0, memory_figure("VmHWM") - before);
}

Json measure_soft_mask(const SoftMaskBenchOptions& options) {
  const MaskedLayer layer(options);
  const int64_t added = added_memory(layer);  // before anything is kept for later passes
  Race race;
  race.add("masked", [&] { layer.pass(layer.masked); });
  race.add("dense", [&] { layer.pass(layer.dense); });
  race.run(options.rounds);
  const double masked = race.seconds("masked"), dense = race.seconds("dense");
  return {{"tokens", options.tokens},   {"in", options.in},         {"out", options.out},
          {"pattern", options.pattern}, {"logits", options.logits}, {"masked_ms", 1e3 * masked},
          {"dense_ms", 1e3 * dense},    {"ratio", dense / masked},  {"added_bytes", added}};
}

}  // namespace

void add_bench_soft_mask(CLI::App& bench) {
  CLI::App& command = *bench.add_subcommand(
      "soft-mask",
      "forward and backward of a layer whose mask is learned, against the dense layer");
  auto options = std::make_shared<SoftMaskBenchOptions>();
  add_size(command, "--tokens", options->tokens, "rows of the input");
  add_size(command, "--in", options->in, "inputs of the layer");
  add_size(command, "--out", options->out, "outputs of the layer");
  command.add_option("--pattern", options->pattern, "of the masks, 1:2 to 4:8")->type_name("N:M");
  add_choice(command, "--logits", options->logits, {"float32", "bfloat16"}, "dtype of the logits");
  add_bench_options(command, *options);
  set_example(command, "twofour bench soft-mask --in 4096 --out 4096");
  on_run(command, [options] {
    Json report = report_head(*options);
    report.update(measure_soft_mask(*options));
    if (options->json) {
      print_json_line(report);
      return;
    }
    print_head(report);
    print_output("masked {:.1f} ms, dense {:.1f} ms, ratio {:.2f}; a pass adds {:.0f} MB\n",
                 report["masked_ms"].get<double>(), report["dense_ms"].get<double>(),
                 report["ratio"].get<double>(), report["added_bytes"].get<double>() / 1e6);
  });
}

}  // namespace twofour::cli
