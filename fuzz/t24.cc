// A .t24: an accepted, sound one is written again with the same masks. The checksums are made right
// first, because no input would guess them.
#include "twofour/checkpoint/t24.h"

#include <cstring>

#include "twofour/base/hash.h"

#include "fuzz.h"

namespace {

// The places of the header's checksum and of each mask's, as far as the file has them.
void set_checksums(std::string& content, const twofour::checkpoint::T24File* file) {
  const auto set = [&](uint64_t first, uint64_t last) {
    if (first > last || last > content.size() || content.size() - last < 16) return;
    const std::string sum = twofour::checksum_of({content.data() + first, last - first});
    content.replace(last, 16, sum);
  };
  if (file) {
    for (const auto& [name, entry] : file->entries()) set(entry.first, entry.last);
  } else if (content.size() >= 32) {
    const uint64_t size = content.size();
    std::memcpy(content.data() + 24, &size, sizeof size);
    uint64_t header_bytes;
    std::memcpy(&header_bytes, content.data() + 16, sizeof header_bytes);
    if (header_bytes >= 16) set(0, header_bytes - 16);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  using checkpoint::T24File;
  std::string content(reinterpret_cast<const char*>(data), size);
  const auto open = [&](const auto& use) {
    return fuzz::accepted([&] { use(T24File(fuzz::file_with("masks.t24", content))); });
  };
  if (size % 4 != 0) {  // a quarter of the lengths keep their checksums
    set_checksums(content, nullptr);
    if (!open([&](const T24File& file) { set_checksums(content, &file); })) return 0;
  }
  std::vector<checkpoint::T24Mask> masks;
  const bool is_sound = open([&](const T24File& file) {
    for (const auto& [name, entry] : file.entries()) {
      masks.push_back({name, entry.rows, entry.columns, entry.kept, entry.group,
                       [mask = file.read(name)] { return mask; }});
    }
  });
  if (!is_sound) return 0;
  const auto again = fuzz::file_with("again.t24", "");
  checkpoint::write_t24(again, masks);
  const T24File written(again);
  for (const auto& mask : masks) {
    fuzz::check(written.read(mask.weight).equal(mask.make()), "a mask is written as it was");
  }
  return 0;
}
