// bench decode: products of one or few tokens with weights that exceed the caches.
#include <memory>

#include <fmt/format.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>

#include "twofour/base/race.h"
#include "twofour/cli/bench/bandwidth.h"
#include "twofour/cli/bench/bench.h"
#include "twofour/cli/bench/contest.h"
#include "twofour/cli/bench/dense.h"
#include "twofour/cli/bench/rowwise.h"
#include "twofour/cli/json_output.h"
#include "twofour/sparse/product24.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::cli {
namespace {

struct DecodeBenchOptions : BenchOptions {
  int64_t tokens = 1, in = 4096, out = 11008, megabytes = 600;
  std::string model;
};

// Weights of one shape, enough that each has left the caches before it is used again.
struct Weights {
  std::vector<at::Tensor> dense;
  std::vector<sparse::Packed> packed;
  double dense_bytes = 0, packed_bytes = 0;
};

Weights make_weights(const DecodeBenchOptions& options, at::ScalarType dtype) {
  Weights weights;
  const at::Tensor first = weight24_along_rows(options.out, options.in, dtype);
  const double wanted = static_cast<double>(options.megabytes << 20);
  // The packed form is read in each pass, so it must exceed the caches too.
  while (weights.packed_bytes < wanted) {
    weights.dense.push_back(first.clone());
    sparse::Packed& packed = weights.packed.emplace_back();
    sparse::pack24(weights.dense.back(), packed);
    weights.dense_bytes += static_cast<double>(first.nbytes());
    weights.packed_bytes += static_cast<double>(packed.values.nbytes() + packed.positions.nbytes());
  }
  return weights;
}

at::Tensor rowwise_product(const at::Tensor& x, const at::Tensor& weight) {
  at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
  tensor::with_type(x.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    multiply_rowwise(static_cast<const T*>(weight.const_data_ptr()),
                     static_cast<const T*>(x.const_data_ptr()), y.size(1), x.size(1), y.size(0),
                     static_cast<T*>(y.mutable_data_ptr()));
  });
  return y;
}

// Each piece multiplies x with every weight in turn.
Race make_race(const Weights& weights, const at::Tensor& x, Json& left_out,
               std::vector<std::string>& dense_names) {
  Race race;
  std::vector<DenseProducts> dense;
  for (const at::Tensor& weight : weights.dense) dense.push_back(dense_products(x, weight, {}));
  left_out = dense.front().left_out;
  for (size_t i = 0; i < dense.front().all.size(); ++i) {
    std::vector<std::function<at::Tensor()>> runs;
    for (const DenseProducts& each : dense) runs.push_back(each.all[i].run);
    dense_names.push_back(dense.front().all[i].name);
    race.add("dense " + dense_names.back(), [runs = std::move(runs)] {
      for (const auto& run : runs) run();
    });
  }
  race.add("sparse", [&weights, x] {
    for (const sparse::Packed& packed : weights.packed) sparse::multiply_few(packed, x, {});
  });
  race.add("row-wise", [&weights, x] {
    for (const at::Tensor& weight : weights.dense) rowwise_product(x, weight);
  });
  race.add("read", [&weights] {
    for (const at::Tensor& weight : weights.dense) {
      stream_read(weight.const_data_ptr(), weight.nbytes());
    }
  });
  return race;
}

Json measure_decode(const DecodeBenchOptions& options) {
  const at::ScalarType dtype = tensor::dtype_named(options.dtype);
  const Weights weights = make_weights(options, dtype);
  const at::Tensor x = at::randn({options.tokens, options.in}).to(dtype);
  Json left_out, dense = Json::object();
  std::vector<std::string> dense_names;
  Race race = make_race(weights, x, left_out, dense_names);
  run_race(race, options.rounds);

  const auto count = static_cast<double>(weights.dense.size());
  const auto milliseconds = [&](const std::string& name) {
    return 1e3 * race.seconds(name) / count;
  };
  std::string fastest = dense_names.front();
  for (const std::string& name : dense_names) {
    dense[name] = milliseconds("dense " + name);
    if (dense[name] < dense[fastest]) fastest = name;
  }
  const double read_rate = weights.dense_bytes / race.seconds("read");
  const double sparse_rate = weights.packed_bytes / race.seconds("sparse");
  Json report = report_head(options);
  report["tokens"] = options.tokens;
  report["in"] = options.in;
  report["out"] = options.out;
  report["weights"] = weights.dense.size();
  report["dense"] = dense;
  report["left_out"] = left_out;
  report["fastest_dense"] = fastest;
  report["dense_ms"] = dense[fastest];
  report["rowwise_agrees"] =
      agrees(rowwise_product(x, weights.dense[0]), at::mm(x, weights.dense[0].t()));
  report["rowwise_ms"] = milliseconds("row-wise");
  report["sparse_ms"] = milliseconds("sparse");
  report["ratio"] = dense[fastest].get<double>() / milliseconds("sparse");
  report["ratio_to_rowwise"] = milliseconds("row-wise") / milliseconds("sparse");
  report["sparse_gb_per_s"] = sparse_rate / 1e9;
  report["dense_gb_per_s"] = weights.dense_bytes / count / dense[fastest].get<double>() / 1e6;
  report["read_gb_per_s"] = read_rate / 1e9;
  report["share_of_read"] = sparse_rate / read_rate;
  return report;
}

void print_decode(const Json& report) {
  const auto number = [&](const char* key) { return report[key].get<double>(); };
  print_head(report);
  print_output("{} tokens, {} weights of {} -> {} in turn; a plain read moves {:.1f} GB/s\n",
               report["tokens"].dump(), report["weights"].dump(), report["in"].dump(),
               report["out"].dump(), number("read_gb_per_s"));
  print_output("2:4       {:>8.3f} ms  {:>6.1f} GB/s, {:.2f} of the read\n", number("sparse_ms"),
               number("sparse_gb_per_s"), number("share_of_read"));
  print_output("dense     {:>8.3f} ms  {:>6.1f} GB/s  2:4 is {:.2f}x ({})\n", number("dense_ms"),
               number("dense_gb_per_s"), number("ratio"),
               report["fastest_dense"].get<std::string>());
  print_output("row-wise  {:>8.3f} ms  {:>13}2:4 is {:.2f}x\n", number("rowwise_ms"), "",
               number("ratio_to_rowwise"));
  for (const auto& [name, key] :
       {std::pair{"the dense product", "ratio"}, {"row-wise dot products", "ratio_to_rowwise"}}) {
    if (number(key) < 1.0) print_output("2:4 does not pay here: it is slower than {}\n", name);
  }
}

}  // namespace

void add_bench_decode(CLI::App& bench) {
  CLI::App& command = *bench.add_subcommand(
      "decode", "products of one or few tokens against dense and row-wise ones");
  auto options = std::make_shared<DecodeBenchOptions>();
  options->rounds = 7;
  add_size(command, "--tokens", options->tokens, "rows of x", 64);
  CLI::Option* in =
      add_size(command, "--in", options->in, "columns of the weight, a multiple of 4");
  CLI::Option* out = add_size(command, "--out", options->out, "rows of the weight");
  add_bench_model(command, options->model, "the feed-forward layer of a published model")
      ->excludes(in)
      ->excludes(out);
  add_size(command, "--megabytes", options->megabytes,
           "megabytes of packed weights, used in turn, more than the caches hold");
  add_bench_options(command, *options);
  set_example(command, "twofour bench decode --model llama2-7b");
  on_run(command, [options] {
    if (!options->model.empty()) {
      const FeedForward sizes = feed_forward_of(options->model);
      options->in = sizes.width;
      options->out = sizes.feed_forward;
    }
    check_groups("--in", options->in);
    const Json report = measure_decode(*options);
    if (options->json) {
      print_json_line(report);
    } else {
      print_decode(report);
    }
  });
}

}  // namespace twofour::cli
