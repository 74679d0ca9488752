// A safetensors file: every returned tensor lies in the file, and is written back unchanged.
#include "twofour/checkpoint/safetensors.h"

#include <cstring>

#include "twofour/base/file.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto path = fuzz::file_with("model.safetensors", input);
  std::optional<checkpoint::SafetensorsFile> file;
  if (!fuzz::accepted([&] { file.emplace(path); })) return 0;
  checkpoint::NamedTensors tensors;
  for (const auto& [name, entry] : file->entries()) {
    tensors.emplace_back(name, file->view(name));
    file->release(name);
  }
  const auto again = fuzz::file_with("again.safetensors", "");
  checkpoint::write_safetensors(again, tensors, file->metadata());
  const checkpoint::SafetensorsFile written(again);
  fuzz::check(written.metadata() == file->metadata(), "metadata is written as it was");
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor copy = written.view(name);
    fuzz::check(
        copy.sizes() == tensor.sizes() && copy.scalar_type() == tensor.scalar_type() &&
            (tensor.nbytes() == 0 ||
             std::memcmp(copy.const_data_ptr(), tensor.const_data_ptr(), tensor.nbytes()) == 0),
        "a tensor is written as it was");
  }
  return 0;
}
