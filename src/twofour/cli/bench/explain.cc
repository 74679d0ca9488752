#include "twofour/cli/bench/explain.h"

#include <cstdlib>

#include <fmt/format.h>

#include "twofour/base/file.h"

namespace twofour::cli {
namespace {

std::string tuning() {
  const char* value = std::getenv("TWOFOUR_TUNE");
  return value ? value : "on";
}

// Whether `file`, built like choices_made(), holds this choice for the shape. A new measurement
// would have other times.
bool holds(const nlohmann::json& file, const std::string& shape) {
  const nlohmann::json made = tensor::choices_made();
  for (const auto& [machine, entries] : made.items()) {
    if (!entries.contains(shape)) continue;
    return file.contains(machine) && file[machine].contains(shape) &&
           file[machine][shape] == entries[shape];
  }
  return false;
}

}  // namespace

Explainer::Explainer() {
  std::error_code error;
  if (!std::filesystem::exists(tensor::choices_file(), error)) return;
  before_ = nlohmann::json::parse(read_file(tensor::choices_file(), kLargestSettings), nullptr,
                                  /*allow_exceptions=*/false);
}

nlohmann::ordered_json Explainer::explain(const tensor::ProductShape& shape) const {
  const auto made = tensor::choice_made(shape);
  nlohmann::ordered_json choice = {{"shape", tensor::describe(shape)},
                                   {"run", "dense"},
                                   {"dense_ms", nullptr},
                                   {"sparse_ms", nullptr},
                                   {"source", "only dense"},
                                   {"tune", tuning()},
                                   {"file", tensor::choices_file().string()}};
  if (!made) return choice;
  choice["run"] = tensor::name_of(made->implementation);
  if (shape.product == tensor::Product::kDenseInputGradient) return choice;
  if (tuning() == "off") {
    choice["source"] = "off";
    return choice;
  }
  choice["dense_ms"] = made->dense_ms;
  choice["sparse_ms"] = made->sparse_ms;
  const bool is_known = before_.is_object() && holds(before_, tensor::describe(shape));
  choice["source"] = tuning() == "on" && is_known ? "file" : "measured";
  return choice;
}

std::string explanation_of(const nlohmann::ordered_json& choice) {
  const std::string source = choice["source"];
  const std::string name = choice["run"];
  const std::string run = name == "dense"     ? "dense"
                          : name == "onednn"  ? "dense, by oneDNN"
                          : name == "mkl"     ? "dense, by MKL's 16-bit product"
                          : name == "float32" ? "dense, converted to float32"
                                              : fmt::format("2:4, {} kernels", name);
  if (source == "only dense") return run + ": no 2:4 kernel can compute it on this CPU";
  if (source == "off") return run + ": TWOFOUR_TUNE=off, nothing was measured";
  const std::string times =
      fmt::format("dense {:.3g} ms, 2:4 {:.3g} ms", choice["dense_ms"].get<double>(),
                  choice["sparse_ms"].get<double>());
  const std::string where = source == "file" ? "known from" : "measured now and kept in";
  return fmt::format("{}: {}, {} \"{}\" (TWOFOUR_TUNE={})", run, times, where,
                     choice["file"].get<std::string>(), choice["tune"].get<std::string>());
}

}  // namespace twofour::cli
