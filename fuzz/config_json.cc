// config.json: an accepted one is written so that it reads the same.
#include "twofour/checkpoint/model_config.h"
#include "twofour/checkpoint/model_weights.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  checkpoint::FolderConfig config;
  if (!fuzz::accepted([&] { config = checkpoint::parse_config(input, "config.json"); })) return 0;
  fuzz::accepted([&] { checkpoint::is_sparse24_bitmask(config.compression, "config.json"); });
  const auto json = checkpoint::config_json(config.model, config.special, at::kFloat);
  const auto again = checkpoint::parse_config(json.dump(), "again.json");
  fuzz::check(again.model == config.model, "a config is written as it was");
  return 0;
}
