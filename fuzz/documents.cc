// A file of documents, compressed or not, is recognised, decompressed and read.
#include "twofour/text/documents.h"

#include "twofour/base/utf8.h"

#include "fuzz.h"

namespace {

// A zstd frame may ask for 2 GiB, which is valid but more than a fuzzer allows.
bool asks_for_a_large_window(std::string_view file) {
  constexpr std::string_view kMagic = "\x28\xb5\x2f\xfd";
  for (size_t at = file.find(kMagic); at != file.npos; at = file.find(kMagic, at + 1)) {
    if (at + 6 > file.size()) continue;
    const auto flags = static_cast<unsigned char>(file[at + 4]);
    const auto window = static_cast<unsigned char>(file[at + 5]);
    if ((flags & 0x20) != 0 ? flags >> 6 >= 2 : window >> 3 > 16) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  if (asks_for_a_large_window(content)) return 0;
  constexpr size_t kMost = size_t{16} << 20;  // a few bytes may unpack to gigabytes
  for (const char* name : {"a", "a.json"}) {
    const auto path = fuzz::file_with(name, content);
    fuzz::accepted([&] {
      text::DocumentReader reader(text::Input(path), {});
      size_t bytes = 0;
      for (text::Part part; bytes < kMost && reader.next(part); bytes += part.text.size()) {
        fuzz::check(find_invalid_utf8(part.text) == std::string_view::npos, "a text is UTF-8");
      }
    });
  }
  return 0;
}
