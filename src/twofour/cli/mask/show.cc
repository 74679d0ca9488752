#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/mask/commands.h"
#include "twofour/cli/mask/masks.h"
#include "twofour/cli/model_option.h"
#include "twofour/report/table.h"
#include "twofour/sparse/mask_pattern.h"
#include "twofour/text/regex.h"

namespace twofour::cli {
namespace {

struct MaskShowFlags {
  std::string path, layer;
  ModelOption model;
  bool json = false;
};

// A layer as it is shown. Layers without a mask keep every entry.
struct ShownLayer {
  std::string name;
  std::vector<int64_t> shape;  // [out, in], or [entries]
  std::string pattern = "dense";
  int64_t entries = 0, kept = 0;
  std::vector<double> density;  // of equal strips of columns
};

constexpr int64_t kStrips = 24;

std::string percent(int64_t part, int64_t whole) {
  return whole == 0 ? "-"
                    : fmt::format("{:.1f} %",
                                  100 * static_cast<double>(part) / static_cast<double>(whole));
}

// The share of kept entries in equal parts of [rows, columns]: [row_parts, column_parts].
std::vector<double> densities(std::span<const uint8_t> mask, int64_t columns, int64_t row_parts,
                              int64_t column_parts) {
  const int64_t rows = static_cast<int64_t>(mask.size()) / columns;
  std::vector<int64_t> kept(static_cast<size_t>(row_parts * column_parts)), all(kept);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t first = row * row_parts / rows * column_parts;
    for (int64_t column = 0; column < columns; ++column) {
      const auto part = static_cast<size_t>(first + column * column_parts / columns);
      kept[part] += mask[static_cast<size_t>(row * columns + column)];
      ++all[part];
    }
  }
  std::vector<double> shares;
  for (size_t i = 0; i < kept.size(); ++i) {
    shares.push_back(static_cast<double>(kept[i]) / static_cast<double>(all[i]));
  }
  return shares;
}

// A blank where nothing is kept, a full block where everything is, and between them heights.
std::string blocks(std::span<const double> densities) {
  constexpr const char* kBlocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string text;
  for (const double density : densities) {
    const double height = std::clamp(std::round(8 * density), 1.0, 7.0);
    text += kBlocks[density == 0 ? 0 : density == 1 ? 8 : static_cast<size_t>(height)];
  }
  return text;
}

std::vector<std::string> picture(std::span<const uint8_t> mask, int64_t columns) {
  constexpr int64_t kMostRows = 24, kMostColumns = 72;
  const int64_t rows = static_cast<int64_t>(mask.size()) / columns;
  const int64_t row_parts = std::min(rows, kMostRows), parts = std::min(columns, kMostColumns);
  const std::vector<double> shares = densities(mask, columns, row_parts, parts);
  std::vector<std::string> lines;
  for (int64_t row = 0; row < row_parts; ++row) {
    lines.push_back(blocks(
        std::span(shares).subspan(static_cast<size_t>(row * parts), static_cast<size_t>(parts))));
  }
  return lines;
}

ShownLayer shown_layer(const MaskSet& set, const std::string& name, const at::Tensor& mask) {
  ShownLayer layer;
  layer.name = name;
  layer.shape = set.shapes.at(name);
  layer.entries = layer.kept = c10::multiply_integers(layer.shape);
  if (!mask.defined()) return layer;
  const at::Tensor kept = unpacked(mask, layer.entries);
  const std::span entries(kept.const_data_ptr<uint8_t>(), static_cast<size_t>(layer.entries));
  layer.kept = std::count(entries.begin(), entries.end(), uint8_t{1});
  const bool has_shape = layer.shape.size() == 2;
  const int64_t columns = layer.shape.back();
  layer.pattern =
      has_shape ? sparse::pattern_of_mask(entries.data(), layer.shape[0], columns) : "?";
  if (has_shape && layer.entries > 0) {
    layer.density = densities(entries, columns, 1, std::min(columns, kStrips));
  }
  return layer;
}

// The masks, and the model's linear layers without one.
std::vector<std::pair<std::string, at::Tensor>> all_layers(const MaskSet& set) {
  std::vector<std::pair<std::string, at::Tensor>> layers = set.masks;
  for (const std::string& name : set.linears) {
    const auto is_it = [&](const auto& layer) { return layer.first == name; };
    if (std::none_of(set.masks.begin(), set.masks.end(), is_it))
      layers.emplace_back(name, at::Tensor());
  }
  return layers;
}

std::vector<std::pair<std::string, at::Tensor>> chosen_layers(const MaskSet& set,
                                                              const MaskShowFlags& flags) {
  const auto all = all_layers(set);
  if (flags.layer.empty()) return all;
  const text::Regex pattern = text::regex_of_option("--layer", flags.layer);
  std::vector<std::pair<std::string, at::Tensor>> chosen;
  for (const auto& layer : all) {
    if (pattern.search(layer.first, 0)) chosen.push_back(layer);
  }
  if (chosen.empty()) {
    fail_usage("--layer \"{}\" matches none of the {} layers of \"{}\", such as \"{}\"",
               printable(flags.layer), all.size(), set.place,
               all.empty() ? "" : printable(all[0].first));
  }
  return chosen;
}

void print_shown_json(const MaskShowFlags& flags, const std::vector<ShownLayer>& layers,
                      int64_t entries, int64_t kept) {
  nlohmann::ordered_json json = {{"path", flags.path}, {"layers", nlohmann::ordered_json::array()}};
  for (const ShownLayer& layer : layers) {
    const bool has_shape = layer.shape.size() == 2;
    json["layers"].push_back(
        {{"name", layer.name},
         {"shape", has_shape ? nlohmann::ordered_json(layer.shape) : nlohmann::ordered_json()},
         {"entries", layer.entries},
         {"zeros", layer.entries - layer.kept},
         {"pattern",
          has_shape ? nlohmann::ordered_json(layer.pattern) : nlohmann::ordered_json()}});
  }
  json["entries"] = entries;
  json["zeros"] = entries - kept;
  print_json_line(json);
}

void print_shown_table(const std::vector<ShownLayer>& layers, int64_t entries, int64_t kept) {
  report::Table table{{"layer", "pattern", "shape", "zeros", "", "kept by columns"}, {}};
  for (const ShownLayer& layer : layers) {
    table.rows.push_back({printable(layer.name, 80), layer.pattern, shape_text(layer.shape),
                          fmt::format("{}", layer.entries - layer.kept),
                          percent(layer.entries - layer.kept, layer.entries),
                          blocks(layer.density)});
  }
  table.rows.push_back({count_of_layers(layers.size()), "", shape_text({entries}),
                        fmt::format("{}", entries - kept), percent(entries - kept, entries), ""});
  print_output("{}", report::to_text(table));
}

void print_picture(const ShownLayer& layer, const at::Tensor& mask) {
  if (!mask.defined() || layer.shape.size() != 2 || layer.entries == 0) return;
  const at::Tensor kept = unpacked(mask, layer.entries);
  print_output("\n");
  for (const std::string& line : picture(
           {kept.const_data_ptr<uint8_t>(), static_cast<size_t>(layer.entries)}, layer.shape[1])) {
    print_output("|{}|\n", line);
  }
}

void run_mask_show(const MaskShowFlags& flags) {
  const MaskSet set = open_masks(flags.path, config_of(flags.model.path, flags.model.is_strict));
  const auto chosen = chosen_layers(set, flags);
  std::vector<ShownLayer> layers;
  int64_t entries = 0, kept = 0;
  bool lacks_shape = false;
  for (const auto& [name, mask] : chosen) {
    layers.push_back(shown_layer(set, name, mask));
    entries += layers.back().entries;
    kept += layers.back().kept;
    lacks_shape |= layers.back().shape.size() != 2;
  }
  if (lacks_shape) {
    spdlog::info("\"{}\" holds no shapes; --model DIR gives them", flags.path);
  }
  if (flags.json) {
    print_shown_json(flags, layers, entries, kept);
    return;
  }
  print_shown_table(layers, entries, kept);
  if (layers.size() == 1) print_picture(layers[0], chosen[0].second);
}

}  // namespace

void add_mask_show(CLI::App& group) {
  CLI::App& command =
      *group.add_subcommand("show", "density and pattern of each layer, and a picture of one");
  auto flags = std::make_shared<MaskShowFlags>();
  command
      .add_option(
          "path", flags->path,
          ".t24, masks.safetensors, MaskLLM's .npz, or a model folder (without masks, its zeros)")
      ->required()
      ->type_name("PATH");
  add_model_options(command, flags->model);
  command
      .add_option("--layer", flags->layer,
                  "only layers in whose name this regular expression is found; a single one is "
                  "drawn as a picture")
      ->type_name("REGEX");
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print one JSON object");
  set_example(command, "twofour mask show run/model");
  on_run(command, [flags] { run_mask_show(*flags); });
}

}  // namespace twofour::cli
