#include "twofour/model/presets.h"

#include "twofour/base/error.h"

namespace twofour::model {
namespace {

struct Preset {
  std::string_view name;
  int64_t layers, heads, width;
};

constexpr Preset kGpt2Presets[] = {
    {"gpt2-124m", 12, 12, 768},
    {"gpt2-350m", 24, 16, 1024},
    {"gpt2-774m", 36, 20, 1280},
    {"gpt2-1558m", 48, 25, 1600},
};

// The published feed-forward width of 1B is 5461; a 2:4 pattern needs a multiple of 4.
constexpr Preset kLlamaPresets[] = {
    {"llama-60m", 8, 8, 512},
    {"llama-130m", 12, 12, 768},
    {"llama-350m", 24, 16, 1024},
    {"llama-1b", 24, 32, 2048},
};

template <class Config>
ModelConfig resized(Config config, const Preset& preset) {
  config.layers = preset.layers;
  config.heads = preset.heads;
  config.width = preset.width;
  config.feed_forward = config.usual_feed_forward(preset.width);
  return config;
}

LlamaConfig llama_of(const Preset& preset) {
  LlamaConfig config;
  config.context = 1024;
  config.key_value_heads = preset.heads;
  config.head_width = preset.width / preset.heads;
  return config;
}

}  // namespace

ModelConfig preset(std::string_view name) {
  for (const Preset& preset : kGpt2Presets) {
    if (preset.name == name) return resized(Gpt2Config(), preset);
  }
  for (const Preset& preset : kLlamaPresets) {
    if (preset.name == name) return resized(llama_of(preset), preset);
  }
  fail_usage("unknown model \"{}\": choose one of {}", printable(name),
             fmt::join(preset_names(), ", "));
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kGpt2Presets) names.emplace_back(preset.name);
  for (const Preset& preset : kLlamaPresets) names.emplace_back(preset.name);
  return names;
}

}  // namespace twofour::model
