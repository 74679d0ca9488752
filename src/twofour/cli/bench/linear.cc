// bench linear: the products of one 2:4 linear layer, each against the fastest dense library.
#include <memory>
#include <optional>

#include <fmt/format.h>

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "twofour/cli/bench/bench.h"
#include "twofour/cli/bench/contest.h"
#include "twofour/cli/bench/explain.h"
#include "twofour/cli/json_output.h"
#include "twofour/kernels/products/few_tokens/few24.h"
#include "twofour/sparse/linear24.h"
#include "twofour/sparse/mvue.h"
#include "twofour/tensor/accumulate.h"

namespace twofour::cli {
namespace {

using sparse::Along;
using tensor::Product;

constexpr RandomStream kStream = {1, 2, 3, 4};

struct LinearBenchOptions : BenchOptions {
  int64_t tokens = 1024, in = 768, out = 3072;
  std::string model, layer = "up";
  bool explain = false;
};

// A layer and the operands of its three products.
struct Layer {
  at::Tensor rows, both;  // W̃ 2:4 along rows, and along both sides
  at::Tensor bias, x, dz, gradient;
  c10::intrusive_ptr<sparse::Weight24> rows24 = c10::make_intrusive<sparse::Weight24>(Along::kRows);
  c10::intrusive_ptr<sparse::Weight24> both24 =
      c10::make_intrusive<sparse::Weight24>(Along::kBothSides);
};

// Its groups lie along the output.
bool has_input_gradient(const LinearBenchOptions& options) { return options.out % 4 == 0; }

Layer random_layer(const LinearBenchOptions& options) {
  const at::ScalarType dtype = tensor::dtype_named(options.dtype);
  const auto [tokens, in, out] = std::tuple(options.tokens, options.in, options.out);
  Layer layer;
  layer.rows = weight24_along_rows(out, in, dtype);
  if (has_input_gradient(options)) layer.both = weight24_along_both_sides(out, in, dtype);
  layer.bias = at::randn({out}).to(dtype);
  layer.x = at::randn({tokens, in}).to(dtype);
  layer.dz = at::randn({tokens, out}).to(dtype);
  layer.gradient = at::zeros({out, in});
  return layer;
}

Json measure_forward(const Layer& layer, int64_t rounds) {
  Contest contest(dense_products(layer.x, layer.rows, layer.bias));
  contest.add_sparse("panel", [&] {
    sparse::multiply_transposed(layer.rows24->panel(layer.rows), layer.x, layer.bias);
  });
  if (layer.x.size(0) <= kernels::kFewTokens) {
    contest.add_sparse("few", [&] {
      sparse::multiply_few(layer.rows24->packed(layer.rows), layer.x, layer.bias);
    });
  }
  contest.add_chosen(
      [&] { sparse::forward_product(layer.x, layer.rows, layer.bias, layer.rows24.get()); });
  return contest.run(rounds);
}

Json measure_input_gradient(const at::Tensor& dz, const at::Tensor& weight,
                            sparse::Weight24& weight24, int64_t rounds) {
  Contest contest(dense_products(dz, weight.t(), {}));
  if (weight24.has_transposed(weight)) {
    contest.add_sparse(
        "panel", [&] { sparse::multiply_transposed(weight24.transposed_panel(weight), dz, {}); });
  }
  contest.add_chosen([&] { sparse::input_gradient_product(dz, weight, &weight24); });
  return contest.run(rounds);
}

Json measure_weight_gradient(const Layer& layer, int64_t rounds) {
  at::Tensor gradient = layer.gradient;
  kernels::Panel24 estimate =
      sparse::empty_panel(layer.dz.scalar_type(), layer.dz.size(1), layer.dz.size(0));
  Contest contest(dense_gradient_products(layer.dz, layer.x, gradient));
  contest.add_sparse("panel", [&] {
    sparse::fill_panel_mvue(layer.dz, kStream, estimate);
    sparse::multiply_add(estimate, layer.x, gradient);
  });
  if (layer.x.size(0) <= kernels::kFewTokens) {
    contest.add_sparse("few", [&] {
      tensor::accumulate_outer(sparse::mvue24(layer.dz, kStream), layer.x, gradient);
    });
  }
  contest.add_chosen(
      [&] { sparse::add_estimated_weight_gradient(layer.dz, layer.x, kStream, gradient); });
  contest.add_part("mvue", [&] { sparse::fill_panel_mvue(layer.dz, kStream, estimate); });
  return contest.run(rounds);
}

// The cost of packing before every product, as with one micro-batch per step.
Json measure_packing(const Layer& layer, const Json& products, int64_t rounds) {
  const auto fresh = [&](sparse::Weight24& weight24, auto pack) {
    return [&weight24, pack] {
      weight24.changed();
      pack();
    };
  };
  Race race;
  race.add("panel", fresh(*layer.rows24, [&] { layer.rows24->panel(layer.rows); }));
  race.add("packed", fresh(*layer.rows24, [&] { layer.rows24->packed(layer.rows); }));
  if (layer.both.defined()) {
    race.add("transposed panel",
             fresh(*layer.both24, [&] { layer.both24->transposed_panel(layer.both); }));
  }
  run_race(race, rounds);
  const auto ratio = [](const Json& product, double packing_ms) {
    return product["dense_ms"].get<double>() / (product["sparse_ms"].get<double>() + packing_ms);
  };
  const double panel_ms = 1e3 * race.seconds("panel");
  Json report = {{"panel_ms", panel_ms},
                 {"packed_ms", 1e3 * race.seconds("packed")},
                 {"forward_ratio", ratio(products["forward"], panel_ms)}};
  if (layer.both.defined()) {
    const double transposed_ms = 1e3 * race.seconds("transposed panel");
    report["transposed_panel_ms"] = transposed_ms;
    report["input_gradient_ratio"] = ratio(products["input_gradient_both_sides"], transposed_ms);
  }
  return report;
}

// The products with a weight that changes every step. Their choice includes its preparation.
void choose_for_training(const Layer& layer) {
  sparse::Weight24 rows24(Along::kRows, /*in_training=*/true);
  sparse::Weight24 both24(Along::kBothSides, /*in_training=*/true);
  sparse::forward_product(layer.x, layer.rows, layer.bias, &rows24);
  if (!layer.both.defined()) return;
  sparse::input_gradient_product(layer.dz, layer.rows, &rows24);
  sparse::input_gradient_product(layer.dz, layer.both, &both24);
}

Json measure_linear(const LinearBenchOptions& options) {
  const at::ScalarType dtype = tensor::dtype_named(options.dtype);
  const Explainer explainer;
  const Layer layer = random_layer(options);
  Json products = {{"forward", measure_forward(layer, options.rounds)}};
  if (has_input_gradient(options)) {
    products["input_gradient_rows"] =
        measure_input_gradient(layer.dz, layer.rows, *layer.rows24, options.rounds);
    products["input_gradient_both_sides"] =
        measure_input_gradient(layer.dz, layer.both, *layer.both24, options.rounds);
  }
  products["weight_gradient"] = measure_weight_gradient(layer, options.rounds);
  if (options.explain) choose_for_training(layer);
  const auto explain = [&](const char* name, Product product) {
    tensor::ProductShape shape = {product, options.tokens, options.in, options.out, dtype};
    products[name]["choice"] = explainer.explain(shape);
    if (!options.explain) return;
    shape.in_training = true;
    products[name]["choice_in_training"] = explainer.explain(shape);
  };
  explain("forward", Product::kForward);
  if (has_input_gradient(options)) {
    explain("input_gradient_rows", sparse::input_gradient_choice(layer.rows, *layer.rows24));
    explain("input_gradient_both_sides", sparse::input_gradient_choice(layer.both, *layer.both24));
  }
  explain("weight_gradient", Product::kWeightGradient);

  Json report = report_head(options);
  report["tokens"] = options.tokens;
  report["in"] = options.in;
  report["out"] = options.out;
  const double flops = 2.0 * static_cast<double>(options.tokens * options.in * options.out);
  report["dense_gflops"] = flops / products["forward"]["dense_ms"].get<double>() / 1e6;
  report["products"] = products;
  report["packing"] = measure_packing(layer, products, options.rounds);
  return report;
}

const char* title_of(const std::string& product) {
  if (product == "forward") return "forward product";
  if (product == "input_gradient_rows") return "input gradient (2:4 along rows)";
  if (product == "input_gradient_both_sides") return "input gradient (transposable)";
  return "weight gradient with MVUE";
}

void print_products(const Json& products) {
  print_output("{:<32} {:>10} {:>10} {:>8} {:>10} {:>8}  {}\n", "", "dense ms", "2:4 ms", "ratio",
               "chosen ms", "ratio", "fastest");
  for (const auto& [name, product] : products.items()) {
    const auto number = [&, &one = product](const char* key, const char* unit) {
      return one[key].is_null() ? std::string("-")
                                : fmt::format("{:.3f}{}", one[key].get<double>(), unit);
    };
    const std::string sparse_name =
        product["fastest_sparse"].is_null() ? "no 2:4 kernel" : product["fastest_sparse"];
    print_output("{:<32} {:>10} {:>10} {:>8} {:>10} {:>8}  {}, {}\n", title_of(name),
                 number("dense_ms", ""), number("sparse_ms", ""), number("ratio", "x"),
                 number("chosen_ms", ""), number("chosen_ratio", "x"),
                 product["fastest_dense"].get<std::string>(), sparse_name);
  }
}

void print_packing(const Json& packing) {
  print_output(
      "packing the weight: panel {:.3f} ms, for few tokens {:.3f} ms; forward with it {:.2f}x\n",
      packing["panel_ms"].get<double>(), packing["packed_ms"].get<double>(),
      packing["forward_ratio"].get<double>());
  if (packing.contains("transposed_panel_ms")) {
    print_output("  transposed panel {:.3f} ms; input gradient (transposable) with it {:.2f}x\n",
                 packing["transposed_panel_ms"].get<double>(),
                 packing["input_gradient_ratio"].get<double>());
  }
}

void print_products(const Json& report, bool explain) {
  print_head(report);
  print_output("{} tokens, {} -> {}; the fastest dense product reaches {:.0f} Gflop/s\n",
               report["tokens"].dump(), report["in"].dump(), report["out"].dump(),
               report["dense_gflops"].get<double>());
  const Json& products = report["products"];
  print_products(products);
  print_packing(report["packing"]);
  for (const auto& [name, product] : products.items()) {
    if (!explain) continue;
    print_output("{}: {}\n", title_of(name), explanation_of(product["choice"]));
    if (product["choice"]["shape"] == product["choice_in_training"]["shape"]) continue;
    print_output("{}, in training, where the weight is prepared anew in every step: {}\n",
                 title_of(name), explanation_of(product["choice_in_training"]));
  }
  for (const auto& [name, product] : products.items()) {
    if (product["ratio"].is_null()) {
      print_output("2:4 does not pay here: the {} has no 2:4 kernel on this CPU, it runs dense\n",
                   title_of(name));
    } else if (product["ratio"].get<double>() < 1.0) {
      print_output("2:4 does not pay here: the {} is slower than dense\n", title_of(name));
    }
  }
}

}  // namespace

void add_bench_linear(CLI::App& bench) {
  CLI::App& command = *bench.add_subcommand(
      "linear", "the products of one 2:4 linear layer against the fastest dense ones");
  auto options = std::make_shared<LinearBenchOptions>();
  add_size(command, "--tokens", options->tokens, "rows of x");
  CLI::Option* in =
      add_size(command, "--in", options->in, "columns of x and of the weight, a multiple of 4");
  CLI::Option* out = add_size(command, "--out", options->out, "rows of the weight");
  add_bench_model(command, options->model, "a feed-forward layer of a published model")
      ->excludes(in)
      ->excludes(out);
  add_choice(command, "--layer", options->layer, {"up", "down"},
             "layer of --model: up (width to feed-forward) or down");
  command.add_flag(
      "--explain", options->explain,
      "explain which implementation runs each product, for a constant weight and in training");
  add_bench_options(command, *options);
  set_example(command, "twofour bench linear --in 4096 --out 11008 --dtype bfloat16");
  on_run(command, [options] {
    if (!options->model.empty()) {
      const FeedForward sizes = feed_forward_of(options->model);
      options->in = options->layer == "up" ? sizes.width : sizes.feed_forward;
      options->out = options->layer == "up" ? sizes.feed_forward : sizes.width;
    }
    check_groups("--in", options->in);
    const Json report = measure_linear(*options);
    if (options->json) {
      print_json_line(report);
    } else {
      print_products(report, options->explain);
    }
  });
}

}  // namespace twofour::cli
