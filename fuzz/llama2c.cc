// A llama2.c model: an accepted one is written as version 0, tensor by tensor.
#include "twofour/checkpoint/llama2c.h"

#include <cstring>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto path = fuzz::file_with("model.bin", input);
  std::optional<checkpoint::Llama2cFile> file;
  const bool is_sound = fuzz::accepted([&] { file.emplace(path); });
  fuzz::check(is_sound ? checkpoint::is_llama2c(path) : true, "what is read is recognised");
  // A header may ask for RoPE tables of any length in a file (version 1) without any.
  if (!is_sound || file->header().context > 4096) return 0;
  const auto again = fuzz::file_with("again.bin", "");
  checkpoint::write_llama2c(again, file->header(),
                            [&](const std::string& name) { return file->tensor(name); });
  const checkpoint::Llama2cFile written(again);
  fuzz::check(written.header() == file->header(), "a header is written as it was");
  for (const std::string& name : file->names()) {
    const at::Tensor tensor = file->tensor(name), copy = written.tensor(name);
    fuzz::check(std::memcmp(copy.const_data_ptr(), tensor.const_data_ptr(), tensor.nbytes()) == 0,
                "a tensor is written as it was");
  }
  return 0;
}
