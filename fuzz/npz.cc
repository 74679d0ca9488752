// An .npz: an accepted, sound one is written again, array by array.
#include "twofour/checkpoint/npz.h"

#include <cstring>

#include "twofour/base/file.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto path = fuzz::file_with("masks.npz", input);
  checkpoint::NamedTensors arrays;
  const bool is_sound = fuzz::accepted([&] {
    const checkpoint::NpzFile file(path);
    for (const auto& [name, entry] : file.entries()) arrays.emplace_back(name, file.read(name));
  });
  if (!is_sound) return 0;
  const auto again = fuzz::file_with("again.npz", "");
  // A name may be invalid UTF-8 in an archive without an encoding.
  if (!fuzz::accepted([&] { checkpoint::write_npz(again, arrays, size % 2 == 0); })) return 0;
  const checkpoint::NpzFile written(again);
  for (const auto& [name, array] : arrays) {
    const at::Tensor dense = array.contiguous(), copy = written.read(name);
    fuzz::check(
        copy.sizes() == dense.sizes() && copy.scalar_type() == dense.scalar_type() &&
            (dense.nbytes() == 0 ||
             std::memcmp(copy.const_data_ptr(), dense.const_data_ptr(), dense.nbytes()) == 0),
        "an array is written as it was");
  }
  return 0;
}
