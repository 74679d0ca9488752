// bench block: forward and backward of a feed-forward block with all costs of 2:4: masks and their
// decay, packing, and the estimates of the gradients.
#include <map>
#include <memory>

#include <fmt/format.h>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include "twofour/base/race.h"
#include "twofour/cli/bench/bench.h"
#include "twofour/cli/bench/block_layers.h"
#include "twofour/cli/bench/contest.h"
#include "twofour/cli/json_output.h"
#include "twofour/tensor/accumulate.h"
#include "twofour/tensor/choice.h"
#include "twofour/train/methods.h"

namespace twofour::cli {
namespace {

using tensor::Implementation;
using tensor::Product;

struct BlockBenchOptions : BenchOptions {
  int64_t tokens = 1024, width = 768, feed_forward = 3072;
  std::string model, activation, method = "all";
};

const std::map<std::string, BlockMethod> kMethods = {
    {"dense", BlockMethod::kDense}, {"s-ste", BlockMethod::kSSte}, {"fst", BlockMethod::kFst}};

// A block and a recorded pass through it, so that each part can run alone.
struct Run {
  std::string name;
  Block block;
  at::Tensor x, dy;
  std::vector<at::Tensor> inputs, gradients;  // x and dz of each layer
  at::Tensor first, up, d_hidden;             // of the activation

  void step() {
    block.refresh();
    torch::autograd::grad({block.forward(x)}, {x}, {dy});
    if (block.method == BlockMethod::kFst) block.decay_gradients();
  }
};

std::unique_ptr<Run> make_run(const std::string& name, const BlockBenchOptions& options,
                              BlockActivation activation) {
  const at::ScalarType dtype = tensor::dtype_named(options.dtype);
  const auto random = [&](int64_t columns) {
    return at::randn({options.tokens, columns}).to(dtype);
  };
  auto run = std::make_unique<Run>(
      Run{name,
          Block(kMethods.at(name), activation, options.width, options.feed_forward, dtype),
          random(options.width),
          random(options.width).mul_(0.01),
          {},
          {},
          random(options.feed_forward),
          {},
          random(options.feed_forward)});
  run->x.requires_grad_();
  run->first.requires_grad_();
  if (activation == BlockActivation::kSwiglu) {
    run->up = random(options.feed_forward).requires_grad_();
  }
  for (const BlockLayer& layer : run->block.layers) {
    run->inputs.push_back(random(layer.linear.weight.size(1)));
    run->gradients.push_back(random(layer.linear.weight.size(0)));
  }
  return run;
}

const at::Tensor& forward_weight(const sparse::Linear& linear) {
  return linear.forward_weight.defined() ? linear.forward_weight : linear.weight;
}

Implementation chosen(Product product, const Run& run, const sparse::Linear& linear) {
  const auto choice =
      tensor::choice_made({product, run.x.size(0), linear.weight.size(1), linear.weight.size(0),
                           run.x.scalar_type(), /*in_training=*/true});
  return choice ? choice->implementation : Implementation::kDense;
}

// Training prepares the operands of the chosen kernels anew in every step.
void pack(const Run& run) {
  for (const BlockLayer& layer : run.block.layers) {
    const sparse::Linear& linear = layer.linear;
    if (!linear.weight24) continue;
    linear.weight24->changed();
    const at::Tensor& weight = linear.forward_weight;
    const Implementation forward = chosen(Product::kForward, run, linear);
    if (forward == Implementation::kPanel) linear.weight24->panel(weight);
    if (forward == Implementation::kFew) linear.weight24->packed(weight);
    if (forward == Implementation::kOneDnn) linear.weight24->ordered(weight, run.x.size(0));
    const Implementation backward =
        chosen(sparse::input_gradient_choice(weight, *linear.weight24), run, linear);
    if (backward == Implementation::kPanel) linear.weight24->transposed_panel(weight);
    if (backward == Implementation::kOneDnn) {
      linear.weight24->ordered_transposed(weight, run.x.size(0));
    }
  }
}

void run_activation(const Run& run) {
  std::vector<at::Tensor> inputs = {run.first};
  if (run.up.defined()) inputs.push_back(run.up);
  torch::autograd::grad({run.block.activate(run.first, run.up)}, inputs, {run.d_hidden});
}

void add_weight_gradients(Run& run) {
  for (size_t i = 0; i < run.inputs.size(); ++i) {
    sparse::Linear& linear = run.block.layers[i].linear;
    at::Tensor& gradient = linear.weight.mutable_grad();
    if (linear.weight_gradient == sparse::WeightGradient::kMvue) {
      sparse::add_estimated_weight_gradient(run.gradients[i], run.inputs[i], linear.stream,
                                            gradient);
    } else {
      sparse::add_weight_gradient_product(run.gradients[i], run.inputs[i], gradient);
    }
  }
}

void add_bias_gradients(Run& run) {
  for (size_t i = 0; i < run.gradients.size(); ++i) {
    const at::Tensor& bias = run.block.layers[i].linear.bias;
    if (!bias.defined()) continue;
    tensor::add_to_gradient(bias, run.gradients[i].sum(0, /*keepdim=*/false, at::kFloat));
  }
}

// Each part of a step as a separate piece of the race, `NAME PART`.
void add_parts(Race& race, Run& run, std::vector<kernels::Panel24>& estimates) {
  const auto add = [&](const char* part, auto work) {
    race.add(run.name + " " + part, [work] {
      const at::NoGradGuard no_gradients;
      work();
    });
  };
  add("weights", [&run] { run.block.refresh(); });
  add("packing", [&run] { pack(run); });
  add("forward", [&run] {
    for (size_t i = 0; i < run.inputs.size(); ++i) {
      const sparse::Linear& linear = run.block.layers[i].linear;
      sparse::forward_product(run.inputs[i], forward_weight(linear), linear.forward_bias,
                              linear.weight24.get());
    }
  });
  race.add(run.name + " activation", [&run] { run_activation(run); });
  add("input_gradient", [&run] {
    for (size_t i = 0; i < run.inputs.size(); ++i) {
      const sparse::Linear& linear = run.block.layers[i].linear;
      sparse::input_gradient_product(run.gradients[i], forward_weight(linear),
                                     linear.weight24.get());
    }
  });
  add("weight_gradient", [&run] { add_weight_gradients(run); });
  add("bias_gradient", [&run] { add_bias_gradients(run); });
  if (run.block.method == BlockMethod::kDense) return;
  if (run.block.method == BlockMethod::kFst) add("decay", [&run] { run.block.decay_gradients(); });
  for (const at::Tensor& dz : run.gradients) {
    estimates.push_back(sparse::empty_panel(dz.scalar_type(), dz.size(1), dz.size(0)));
  }
  add("mvue", [&run, &estimates] {
    for (size_t i = 0; i < run.gradients.size(); ++i) {
      sparse::fill_panel_mvue(run.gradients[i], run.block.layers[i].linear.stream, estimates[i]);
    }
  });
}

Json report_of(const Race& race, const Run& run) {
  const auto ms = [&](const std::string& piece) {
    return 1e3 * race.seconds(run.name + " " + piece);
  };
  Json parts = Json::object();
  double sum = 0;
  for (const char* part : {"weights", "packing", "forward", "activation", "input_gradient",
                           "weight_gradient", "bias_gradient"}) {
    parts[part] = ms(part);
    sum += ms(part);
  }
  if (run.block.method == BlockMethod::kFst) {
    parts["decay"] = ms("decay");
    sum += ms("decay");
  }
  double total = 1e3 * race.seconds(run.name);
  parts["rest"] = total - sum;  // autograd's own work, and noise
  if (run.block.method != BlockMethod::kDense) parts["mvue_of_weight_gradient"] = ms("mvue");
  if (run.block.method == BlockMethod::kFst) {
    const double search =
        ms("search") / static_cast<double>(train::method_named("fst").mask_interval);
    parts["search"] = search;
    total += search;
  }
  Json chosen_kernels = Json::object();
  if (run.block.method != BlockMethod::kDense) {
    for (const Product product :
         {Product::kForward, Product::kInputGradient, Product::kWeightGradient}) {
      Json layers = Json::array();
      for (const BlockLayer& layer : run.block.layers) {
        const Product asked =
            product == Product::kInputGradient
                ? sparse::input_gradient_choice(layer.linear.forward_weight, *layer.linear.weight24)
                : product;
        layers.push_back(tensor::name_of(chosen(asked, run, layer.linear)));
      }
      chosen_kernels[tensor::name_of(product)] = layers;
    }
  }
  return {{"ms", total}, {"ratio", nullptr}, {"parts_ms", parts}, {"chosen", chosen_kernels}};
}

Json measure_block(const BlockBenchOptions& options, BlockActivation activation) {
  std::vector<std::string> names = {"dense"};
  for (const char* name : {"s-ste", "fst"}) {
    if (options.method == name || options.method == "all") names.push_back(name);
  }
  std::vector<std::unique_ptr<Run>> runs;
  std::map<std::string, std::vector<kernels::Panel24>> estimates;
  Race race;
  for (const std::string& name : names) {
    Run& run = *runs.emplace_back(make_run(name, options, activation));
    race.add(name, [&run] { run.step(); });
    add_parts(race, run, estimates[name]);
    if (run.block.method == BlockMethod::kFst) {
      race.add(name + " search", [&run] { run.block.search_masks(); });
    }
  }
  run_race(race, options.rounds);
  Json methods = Json::object();
  for (const auto& run : runs) methods[run->name] = report_of(race, *run);
  for (const std::string& name : names) {
    methods[name]["ratio"] =
        methods["dense"]["ms"].get<double>() / methods[name]["ms"].get<double>();
  }
  Json report = report_head(options);
  report["tokens"] = options.tokens;
  report["width"] = options.width;
  report["feed_forward"] = options.feed_forward;
  report["activation"] = options.activation;
  report["methods"] = methods;
  return report;
}

void print_block(const Json& report) {
  print_head(report);
  print_output("{} tokens, {} -> {} -> {}, {}: ms of a step, forward and backward\n",
               report["tokens"].dump(), report["width"].dump(), report["feed_forward"].dump(),
               report["width"].dump(), report["activation"].get<std::string>());
  const Json& methods = report["methods"];
  for (const auto& [name, method] : methods.items()) {
    print_output("{:<6} {:>9.3f} ms {:>6.2f}x ", name, method["ms"].get<double>(),
                 method["ratio"].get<double>());
    for (const auto& [part, ms] : method["parts_ms"].items()) {
      print_output(" {} {:.3f}", part, ms.get<double>());
    }
    print_output("\n");
  }
  for (const auto& [name, method] : methods.items()) {
    for (const auto& [product, layers] : method["chosen"].items()) {
      print_output("{}: {} runs on {}\n", name, product, layers.dump());
    }
    if (method["ratio"].get<double>() < 1.0) {
      print_output("2:4 does not pay here: a step of {} is slower than a dense one\n", name);
    }
  }
}

}  // namespace

void add_bench_block(CLI::App& bench) {
  CLI::App& command = *bench.add_subcommand(
      "block", "forward and backward of a feed-forward block, including all costs of 2:4");
  auto options = std::make_shared<BlockBenchOptions>();
  add_size(command, "--tokens", options->tokens, "rows of x");
  CLI::Option* width = add_size(command, "--width", options->width, "a multiple of 4");
  CLI::Option* feed_forward =
      add_size(command, "--feed-forward", options->feed_forward, "a multiple of 4");
  add_bench_model(command, options->model, "the sizes of a published model")
      ->excludes(width)
      ->excludes(feed_forward);
  add_choice(command, "--activation", options->activation, {"gelu", "swiglu"},
             "gelu (GPT-2) or swiglu (LLaMA); default: the model's, else gelu");
  add_choice(command, "--method", options->method, {"s-ste", "fst", "dense", "all"},
             "s-ste, fst, dense, or all; dense always runs");
  add_bench_options(command, *options);
  set_example(command, "twofour bench block --model gpt2-124m --tokens 2048");
  on_run(command, [options] {
    if (!options->model.empty()) {
      const FeedForward sizes = feed_forward_of(options->model);
      options->width = sizes.width;
      options->feed_forward = sizes.feed_forward;
    }
    check_groups("--width", options->width);
    check_groups("--feed-forward", options->feed_forward);
    if (options->activation.empty()) {
      options->activation = options->model.starts_with("llama") ? "swiglu" : "gelu";
    }
    const Json report =
        measure_block(*options, options->activation == "gelu" ? BlockActivation::kGelu
                                                              : BlockActivation::kSwiglu);
    if (options->json) {
      print_json_line(report);
    } else {
      print_block(report);
    }
  });
}

}  // namespace twofour::cli
