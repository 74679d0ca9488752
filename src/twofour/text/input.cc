#include "twofour/text/input.h"

#include <algorithm>
#include <array>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/text/byte_source.h"
#include "twofour/text/decompress.h"

namespace twofour::text {
namespace {

using namespace std::string_view_literals;

std::string lower_case(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

bool names_compression(const std::string& extension) {
  constexpr std::array kNames = {".gz", ".gzip", ".tgz", ".zst", ".zstd"};
  return std::find(kNames.begin(), kNames.end(), extension) != kNames.end();
}

// Text in UTF-16 or UTF-32, by its byte-order mark or by the zeros that ASCII characters have there
// (as Python's json tells them apart).
const char* wide_encoding(std::string_view start) {
  if (start.starts_with("\xff\xfe\0\0"sv) || start.starts_with("\0\0\xfe\xff"sv)) return "UTF-32";
  if (start.starts_with("\xff\xfe"sv) || start.starts_with("\xfe\xff"sv)) return "UTF-16";
  if (start.size() < 4) return nullptr;
  const auto zeros = [&](bool a, bool b, bool c, bool d) {
    return (start[0] == 0) == a && (start[1] == 0) == b && (start[2] == 0) == c &&
           (start[3] == 0) == d;
  };
  if (zeros(true, false, true, false) || zeros(false, true, false, true)) return "UTF-16";
  if (zeros(true, true, true, false) || zeros(false, true, true, true)) return "UTF-32";
  return nullptr;
}

bool is_tar(std::string_view start) {
  constexpr size_t kMagic = 257;
  return start.size() > kMagic && start.substr(kMagic).starts_with("ustar");
}

}  // namespace

Input::Input(const std::filesystem::path& path)
    : file_(std::make_unique<FileSource>(path)),
      decompressed_(make_decompressor(*file_)),
      text_(decompressed_ ? *decompressed_ : *file_) {
  suffix_ = lower_case(path.extension().string());
  if (names_compression(suffix_)) {
    if (!decompressed_ && file_->size() > 0) {
      spdlog::warn("{}: not compressed in spite of its name", name());
    }
    suffix_ = lower_case(path.stem().extension().string());
  }
  const std::string_view start = peek(512);
  if (decompressed_ && (start.starts_with(kGzipMagic) || start.starts_with(kZstdMagic))) {
    fail("cannot read {}: it is compressed twice: decompress it once, as with gzip -d or zstd -d",
         name());
  }
  if (is_tar(start)) {
    fail("cannot read {}: it is a tar archive: tar -xOf FILE | twofour … -", name());
  }
  if (const char* encoding = wide_encoding(start)) {
    fail("cannot read {}: it is {}, expected UTF-8: iconv -f {} -t UTF-8 FILE | twofour … -",
         name(), encoding, encoding);
  }
  if (start.starts_with("\xef\xbb\xbf")) text_.skip(3);
}

Input::~Input() = default;
Input::Input(Input&&) noexcept = default;

size_t Input::read(std::span<char> out) { return text_.read(out); }
std::string_view Input::peek(size_t size) { return text_.peek(size); }
const std::string& Input::name() const { return file_->name(); }
uint64_t Input::file_position() const { return file_->position(); }
uint64_t Input::file_size() const { return file_->size(); }

}  // namespace twofour::text
