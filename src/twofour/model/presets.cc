#include "twofour/model/presets.h"

#include "twofour/base/error.h"

namespace twofour::model {
namespace {

struct Preset {
  std::string_view name;
  int64_t layers, heads, width;
};

constexpr Preset kPresets[] = {
    {"gpt2-124m", 12, 12, 768},
    {"gpt2-350m", 24, 16, 1024},
    {"gpt2-774m", 36, 20, 1280},
    {"gpt2-1558m", 48, 25, 1600},
};

}  // namespace

Gpt2Config preset(std::string_view name) {
  for (const Preset& preset : kPresets) {
    if (preset.name != name) continue;
    Gpt2Config config;
    config.layers = preset.layers;
    config.heads = preset.heads;
    config.width = preset.width;
    config.feed_forward = 4 * preset.width;
    return config;
  }
  fail_usage("unknown model \"{}\": choose one of {}", printable(name),
             fmt::join(preset_names(), ", "));
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

}  // namespace twofour::model
