// model.safetensors.index.json beside two shards: an accepted one gives whole shards.
#include <ATen/ops/arange.h>

#include "twofour/checkpoint/weight_files.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto index = fuzz::file_with("model.safetensors.index.json", input);
  static const bool prepared = [&] {
    const at::Tensor tensor = at::arange(3, at::kFloat);
    checkpoint::write_safetensors(index.parent_path() / "1.safetensors",
                                  {{"a", tensor}, {"b", tensor}});
    checkpoint::write_safetensors(index.parent_path() / "2.safetensors", {{"c", tensor}});
    return true;
  }();
  fuzz::check(prepared, "two shards");
  fuzz::accepted([&] {
    const checkpoint::WeightFiles files(index.parent_path());
    fuzz::check(files.contains("a") == files.contains("b"), "no tensor of a shard is left out");
    for (const std::string& name : files.names()) {
      fuzz::check(files.view(name).numel() == 3, "tensors are the shards'");
    }
  });
  return 0;
}
