#include <bit>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/mask/commands.h"
#include "twofour/cli/mask/masks.h"
#include "twofour/cli/model_option.h"
#include "twofour/report/table.h"

namespace twofour::cli {
namespace {

struct MaskDiffFlags {
  std::string left, right;
  ModelOption model;
  bool json = false;
};

// Counts of entries.
struct Overlap {
  int64_t entries = 0, in_both = 0, in_either = 0;

  int64_t flips() const { return in_either - in_both; }
  // Jaccard's index; 1 for two masks that keep nothing.
  double jaccard() const {
    return in_either == 0 ? 1 : static_cast<double>(in_both) / static_cast<double>(in_either);
  }
  double equal_share() const {
    return entries == 0 ? 1 : 1 - static_cast<double>(flips()) / static_cast<double>(entries);
  }
  Overlap& operator+=(const Overlap& other) {
    entries += other.entries;
    in_both += other.in_both;
    in_either += other.in_either;
    return *this;
  }
  nlohmann::ordered_json json() const {
    return {{"entries", entries},   {"kept_in_both", in_both}, {"kept_in_either", in_either},
            {"jaccard", jaccard()}, {"flips", flips()},        {"equal", equal_share()}};
  }
};

struct LayerOverlap {
  std::string name;
  Overlap overlap;
};

struct MaskDifference {
  std::vector<LayerOverlap> layers;
  Overlap total;
  std::vector<std::string> only_left, only_right;
};

// The entries of the layer in both; a shape that is known wins over a number of whole bytes.
int64_t common_entries(const std::string& name, const MaskSet& left, const MaskSet& right) {
  const std::vector<int64_t>&a = left.shapes.at(name), &b = right.shapes.at(name);
  const int64_t of_a = c10::multiply_integers(a), of_b = c10::multiply_integers(b);
  const bool fits = a.size() == b.size() ? a == b : (of_a + 7) / 8 == (of_b + 7) / 8;
  if (!fits) {
    fail("the masks of \"{}\" differ in size: {} in \"{}\", {} in \"{}\"", printable(name),
         shape_text(a), left.place, shape_text(b), right.place);
  }
  return b.size() == 2 ? of_b : of_a;
}

Overlap overlap_of(const at::Tensor& left, const at::Tensor& right, int64_t entries) {
  Overlap overlap{entries, 0, 0};
  const auto *a = left.const_data_ptr<uint8_t>(), *b = right.const_data_ptr<uint8_t>();
  for (int64_t i = 0; i < left.numel(); ++i) {
    overlap.in_both += std::popcount(static_cast<uint8_t>(a[i] & b[i]));
    overlap.in_either += std::popcount(static_cast<uint8_t>(a[i] | b[i]));
  }
  return overlap;
}

MaskDifference difference_of(const MaskSet& left, const MaskSet& right) {
  MaskDifference difference;
  std::map<std::string, at::Tensor> rest(right.masks.begin(), right.masks.end());
  for (const auto& [name, mask] : left.masks) {
    const auto found = rest.find(name);
    if (found == rest.end()) {
      difference.only_left.push_back(name);
      continue;
    }
    const int64_t entries = common_entries(name, left, right);
    difference.layers.push_back({name, overlap_of(mask, found->second, entries)});
    difference.total += difference.layers.back().overlap;
    rest.erase(found);
  }
  for (const auto& [name, mask] : rest) difference.only_right.push_back(name);
  return difference;
}

void print_difference(const MaskDiffFlags& flags, const MaskDifference& difference) {
  report::Table table{{"layer", "", "kept in both", "in either", "Jaccard", "flips", "equal"}, {}};
  const auto add = [&](const std::string& name, const Overlap& overlap) {
    table.rows.push_back(
        {name, "", fmt::format("{}", overlap.in_both), fmt::format("{}", overlap.in_either),
         fmt::format("{:.4f}", overlap.jaccard()), fmt::format("{}", overlap.flips()),
         fmt::format("{:.2f} %", 100 * overlap.equal_share())});
  };
  for (const LayerOverlap& layer : difference.layers) add(printable(layer.name, 80), layer.overlap);
  add(count_of_layers(difference.layers.size()), difference.total);
  print_output("{}", report::to_text(table));
  for (const auto& [place, names] : {std::pair(&flags.left, &difference.only_left),
                                     std::pair(&flags.right, &difference.only_right)}) {
    for (const std::string& name : *names) {
      print_line("only in {}: {}", *place, printable(name, 80));
    }
  }
}

void print_difference_json(const MaskDiffFlags& flags, const MaskDifference& difference) {
  nlohmann::ordered_json json = {{"a", flags.left}, {"b", flags.right}};
  json["layers"] = nlohmann::ordered_json::array();
  for (const LayerOverlap& layer : difference.layers) {
    nlohmann::ordered_json row = {{"name", layer.name}};
    row.update(layer.overlap.json());
    json["layers"].push_back(std::move(row));
  }
  json["total"] = difference.total.json();
  json["only_in_a"] = difference.only_left;
  json["only_in_b"] = difference.only_right;
  print_json_line(json);
}

void run_mask_diff(const MaskDiffFlags& flags) {
  const auto config = config_of(flags.model.path, flags.model.is_strict);
  const MaskSet left = open_masks(flags.left, config), right = open_masks(flags.right, config);
  require_masks(left);
  require_masks(right);
  const MaskDifference difference = difference_of(left, right);
  if (difference.layers.empty()) {
    fail("\"{}\" and \"{}\" have masks of no common layer, such as \"{}\" and \"{}\"", flags.left,
         flags.right, printable(difference.only_left[0]), printable(difference.only_right[0]));
  }
  flags.json ? print_difference_json(flags, difference) : print_difference(flags, difference);
}

}  // namespace

void add_mask_diff(CLI::App& group) {
  CLI::App& command = *group.add_subcommand("diff", "the overlap of two masks by layer");
  auto flags = std::make_shared<MaskDiffFlags>();
  for (const auto& [name, value] : {std::pair("a", &flags->left), std::pair("b", &flags->right)}) {
    command
        .add_option(
            name, *value,
            ".t24, masks.safetensors, MaskLLM's .npz, or a model folder (without masks, its zeros)")
        ->required()
        ->type_name(name[0] == 'a' ? "A" : "B");
  }
  add_model_options(command, flags->model);
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print one JSON object");
  set_example(command, "twofour mask diff wanda/masks.safetensors magnitude/masks.safetensors");
  on_run(command, [flags] { run_mask_diff(*flags); });
}

}  // namespace twofour::cli
