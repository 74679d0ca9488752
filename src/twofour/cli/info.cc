#include <cmath>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <ATen/ops/count_nonzero.h>
#include <torch/headeronly/version.h>

#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/model_option.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/sparse/dtype_times.h"
#include "twofour/sparse/pattern.h"
#include "twofour/tensor/dtype.h"

namespace twofour::cli {
namespace {

using Json = nlohmann::ordered_json;

Json machine() {
  Json sets = Json::array();
#if defined(__x86_64__)
  const auto add = [&](const char* name, bool has) {
    if (has) sets.push_back(name);
  };
  add("avx2", __builtin_cpu_supports("avx2"));
  add("fma", __builtin_cpu_supports("fma"));
  add("avx512f", __builtin_cpu_supports("avx512f"));
  add("avx512bw", __builtin_cpu_supports("avx512bw"));
  add("avx512vnni", __builtin_cpu_supports("avx512vnni"));
  add("avx512bf16", __builtin_cpu_supports("avx512bf16"));
#endif
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  Json dtype_ms = Json::object();
  const auto times = sparse::dtype_times({at::kFloat, at::kBFloat16, at::kHalf});
  for (const sparse::DtypeTime& each : times) {
    dtype_ms[tensor::dtype_name(each.dtype)] = std::round(100 * each.ms) / 100;
  }
  const Json fastest = times.empty() ? Json() : tensor::dtype_name(sparse::fastest_dtype(times));
  return {{"version", TWOFOUR_VERSION}, {"libtorch", TORCH_VERSION},
          {"threads", thread_count()},  {"memory_gib", memory / (1 << 30)},
          {"instruction_sets", sets},   {"kernels", kernels::name_of(kernels::instruction_set())},
          {"dtype_ms", dtype_ms},       {"fastest_dtype", fastest},
          {"devices", {"cpu"}}};
}

// Loads one tensor at a time, so the model need not fit into memory.
Json describe_model(const ModelOption& model) {
  const checkpoint::ModelFolder folder = open_model(model);
  Json layers = Json::array();
  int64_t entries = 0, zeros = 0, bytes = 0;
  folder.for_each([&](const std::string& name, const at::Tensor& tensor) {
    // ATen cannot count in 8-bit floats.
    const at::Tensor countable = tensor.element_size() == 1 ? tensor.to(at::kFloat) : tensor;
    const int64_t zero = tensor.numel() - at::count_nonzero(countable).item<int64_t>();
    Json layer = {{"name", name},
                  {"shape", tensor.sizes().vec()},
                  {"dtype", tensor::dtype_name(tensor.scalar_type())},
                  {"zeros", zero},
                  {"non_finite", checkpoint::count_non_finite(tensor)}};
    const bool groups = tensor.dim() == 2 && tensor.size(1) % 4 == 0;
    layer["violations_2_4"] = groups ? Json(sparse::violations24(tensor)) : Json();
    layers.push_back(std::move(layer));
    entries += tensor.numel();
    zeros += zero;
    bytes += tensor.numel() * static_cast<int64_t>(tensor.element_size());
  });
  Json info = {
      {"model", model.path},   {"architecture", model::model_type_of(folder.config().model)},
      {"parameters", entries}, {"memory_bytes", bytes},
      {"zeros", zeros},        {"tensors", layers}};
  if (const auto& step = folder.place().step) info["step"] = *step;
  return info;
}

void print_model(const Json& model) {
  print_line("{}: {}, {} parameters, {:.1f} MB, {:.1f} % zeros", model["model"].get<std::string>(),
             model["architecture"].get<std::string>(), model["parameters"].get<int64_t>(),
             model["memory_bytes"].get<double>() / 1e6,
             100 * model["zeros"].get<double>() / model["parameters"].get<double>());
  print_output("{:<44} {:>16} {:<13} {:>8}  {}\n", "tensor (linears as [out, in])", "shape",
               "dtype", "zeros", "2:4");
  for (const Json& layer : model["tensors"]) {
    const auto shape = layer["shape"].get<std::vector<int64_t>>();
    int64_t entries = 1;
    for (const int64_t size : shape) entries *= size;
    const Json& violations = layer["violations_2_4"];
    const bool none = violations.is_null();
    const std::string pattern = none ? ""
                                : violations == 0
                                    ? "yes"
                                    : fmt::format("{} groups break it", violations.dump());
    print_output("{:<44} {:>16} {:<13} {:>6.1f} %  {}\n", layer["name"].get<std::string>(),
                 fmt::format("{}", fmt::join(shape, " x ")), layer["dtype"].get<std::string>(),
                 100 * layer["zeros"].get<double>() / static_cast<double>(entries), pattern);
    if (layer["non_finite"] != 0) {
      spdlog::warn("\"{}\" holds {} values that are not finite", layer["name"].get<std::string>(),
                   layer["non_finite"].dump());
    }
  }
}

void run_info(const ModelOption& model, bool json) {
  Json info = model.path.empty() ? machine() : describe_model(model);
  if (json) {
    print_json_line(info);
  } else if (!model.path.empty()) {
    print_model(info);
  } else {
    for (const auto& [key, value] : info.items()) {
      print_output("{:<18} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
}

}  // namespace

void add_info(CLI::App& program) {
  CLI::App& command = *program.add_subcommand(
      "info", "this machine and build; with --model, its layers and sparsity");
  auto model = std::make_shared<ModelOption>();
  auto json = std::make_shared<bool>(false);
  add_model_options(command, *model);
  command.add_flag("--json", *json, "print one JSON object");
  add_threads_option(command);
  set_example(command, "twofour info --model run/model");
  on_run(command, [model, json] { run_info(*model, *json); });
}

}  // namespace twofour::cli
