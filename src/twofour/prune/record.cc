#include "twofour/prune/record.h"

namespace twofour::prune {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

std::optional<double> optional_number(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || found->is_null()) return std::nullopt;
  return found->get<double>();
}

}  // namespace

Totals totals_of(const std::vector<LayerResult>& layers) {
  Totals totals;
  for (const LayerResult& layer : layers) {
    totals.weights += layer.rows * layer.columns;
    totals.zeros += layer.zeros;
  }
  return totals;
}

Json layer_json(const LayerResult& layer) {
  Json json = {{"name", layer.name},
               {"pattern", name_of(layer.pattern)},
               {"shape", {layer.rows, layer.columns}},
               {"zeros", layer.zeros},
               {"error", or_null(layer.error)}};
  if (layer.is_permuted) json["permuted"] = true;
  if (layer.swaps > 0) json["swaps"] = layer.swaps;
  if (layer.damping) json["damping"] = *layer.damping;
  return json;
}

LayerResult layer_from_json(const nlohmann::json& json) {
  LayerResult layer;
  layer.name = json.at("name").get<std::string>();
  layer.pattern = pattern_named(json.at("pattern").get<std::string>());
  layer.rows = json.at("shape").at(0).get<int64_t>();
  layer.columns = json.at("shape").at(1).get<int64_t>();
  layer.zeros = json.at("zeros").get<int64_t>();
  layer.error = optional_number(json, "error");
  layer.damping = optional_number(json, "damping");
  layer.is_permuted = json.value("permuted", false);
  layer.swaps = json.value("swaps", int64_t{0});
  return layer;
}

Json layers_json(const std::vector<LayerResult>& layers, const std::vector<SkippedLayer>& skipped) {
  Json json = {{"layers", Json::array()}, {"skipped", Json::array()}};
  for (const LayerResult& layer : layers) json["layers"].push_back(layer_json(layer));
  for (const SkippedLayer& layer : skipped) {
    json["skipped"].push_back({{"name", layer.name}, {"reason", layer.reason}});
  }
  const Totals totals = totals_of(layers);
  json["totals"] = {
      {"layers", layers.size()}, {"weights", totals.weights}, {"zeros", totals.zeros}};
  return json;
}

}  // namespace twofour::prune
