#include "twofour/cli/mask/masks.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/masks_of_model.h"
#include "twofour/cli/model_option.h"
#include "twofour/sparse/masks.h"

namespace twofour::cli {
namespace {

using checkpoint::WeightShapes;

MaskSet read_file_of_masks(const fs::path& path, const std::optional<model::ModelConfig>& config) {
  MaskSet set{path.string(), {}, {}, {}};
  set.shapes =
      config ? checkpoint::parameter_shapes(*config) : checkpoint::shapes_in_mask_file(path);
  set.masks = checkpoint::read_masks(path, set.shapes);
  if (config) set.linears = checkpoint::linear_names(*config);
  return set;
}

void check_shapes(const MaskSet& set, const WeightShapes& expected) {
  for (const auto& [name, mask] : set.masks) {
    const auto shape = expected.find(name);
    if (shape == expected.end()) {
      fail("\"{}\" holds a mask of \"{}\", but the model has no such weight", set.place,
           printable(name));
    }
    if (shape->second != set.shapes.at(name)) {
      fail("\"{}\": the mask of \"{}\" is for {}, but the weight is {}", set.place, name,
           shape_text(set.shapes.at(name)), shape_text(shape->second));
    }
  }
}

// Layers in the model's order, so that layer 2 comes before layer 10.
void sort_as_model(MaskSet& set) {
  const auto place = [&](const std::string& name) {
    return std::find(set.linears.begin(), set.linears.end(), name);
  };
  std::stable_sort(set.masks.begin(), set.masks.end(), [&](const auto& left, const auto& right) {
    return place(left.first) < place(right.first);
  });
}

}  // namespace

MaskSet open_masks(const std::string& path, const std::optional<model::ModelConfig>& config) {
  const bool is_bare_folder = fs::exists(fs::path(path) / "masks.safetensors") &&
                              !fs::exists(fs::path(path) / "config.json");
  if (is_bare_folder || (fs::exists(path) && !fs::is_directory(path))) {
    MaskSet set = read_file_of_masks(
        is_bare_folder ? fs::path(path) / "masks.safetensors" : fs::path(path), config);
    sort_as_model(set);
    return set;
  }
  if (checkpoint::mask_format_named(path) && !fs::exists(path)) {
    fail("cannot read \"{}\": No such file or directory", path);
  }
  const checkpoint::ModelFolder folder = open_model({path, false});
  const model::ModelConfig& own = folder.config().model;
  MaskSet set{path, checkpoint::stored_masks(folder), checkpoint::parameter_shapes(own),
              checkpoint::linear_names(own)};
  if (set.masks.empty()) set.masks = checkpoint::masks_of_zeros(folder);
  if (config) check_shapes(set, checkpoint::parameter_shapes(*config));
  sort_as_model(set);
  return set;
}

std::optional<model::ModelConfig> config_of(const std::string& path, bool is_strict) {
  if (path.empty()) return std::nullopt;
  return open_model({path, is_strict}).config().model;
}

void require_masks(const MaskSet& set) {
  if (!set.masks.empty()) return;
  fail("\"{}\" holds no masks, nor linear layers with zeros", set.place);
}

MaskSet masks_for(const std::string& place, const model::ModelConfig& config) {
  MaskSet set = open_masks(place, config);
  require_masks(set);
  set.linears = checkpoint::linear_names(config);
  const std::set<std::string> linears(set.linears.begin(), set.linears.end());
  for (const auto& [name, mask] : set.masks) {
    if (linears.contains(name)) continue;
    fail("\"{}\" holds a mask of \"{}\", which is not the weight of a linear layer", set.place,
         printable(name));
  }
  const std::vector<std::string> dense = without_mask(set);
  if (!dense.empty()) {
    spdlog::info("{} linear {} no mask and {} as before: \"{}\"{}", dense.size(),
                 dense.size() == 1 ? "layer has" : "layers have",
                 dense.size() == 1 ? "stays" : "stay", dense[0],
                 dense.size() == 1 ? "" : fmt::format(" and {} more", dense.size() - 1));
  }
  return set;
}

std::vector<std::string> without_mask(const MaskSet& set) {
  std::set<std::string> masked;
  for (const auto& [name, mask] : set.masks) masked.insert(name);
  std::vector<std::string> names;
  for (const std::string& name : set.linears) {
    if (!masked.contains(name)) names.push_back(name);
  }
  return names;
}

at::Tensor unpacked(const at::Tensor& mask, int64_t entries) {
  return sparse::unpacked_mask(mask, {entries});
}

std::string shape_text(const std::vector<int64_t>& shape) {
  if (shape.size() == 1) return fmt::format("{} entries", shape[0]);
  return fmt::format("{}", fmt::join(shape, " x "));
}

std::string count_of_layers(size_t count) {
  return fmt::format("{} {}", count, count == 1 ? "layer" : "layers");
}

void check_mask_file(const std::string& path, bool force) {
  if (!checkpoint::mask_format_named(path)) {
    fail_usage("--out \"{}\" must end in {}", path, checkpoint::kMaskEndings);
  }
  if (fs::is_directory(path)) fail_usage("\"{}\" is a folder: choose another --out", path);
  if (fs::exists(path) && !force) {
    fail_usage("\"{}\" exists: choose another --out, or replace it with --force", path);
  }
}

}  // namespace twofour::cli
