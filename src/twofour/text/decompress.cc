#include "twofour/text/decompress.h"

#include <algorithm>
#include <array>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"

namespace twofour::text {
namespace {

using namespace std::string_view_literals;

constexpr size_t kChunk = 1 << 16;

class GzipSource : public ByteSource {
 public:
  explicit GzipSource(FileSource& file) : file_(file), buffer_(kChunk) {
    // 16: a gzip header is required.
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~GzipSource() override { inflateEnd(&stream_); }

 protected:
  size_t produce(std::span<char> out) override {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    while (stream_.avail_out == out.size() && (inside_ || next_member())) {
      if (stream_.avail_in == 0 && !fill()) fail_gzip("ends early");
      const int status = inflate(&stream_, Z_NO_FLUSH);
      inside_ = status != Z_STREAM_END;
      if (status == Z_MEM_ERROR) throw std::bad_alloc();
      if (status != Z_OK && status != Z_BUF_ERROR && inside_) {
        fail_gzip(fmt::format("is damaged ({})", stream_.msg ? stream_.msg : "no deflate data"));
      }
    }
    return out.size() - stream_.avail_out;
  }

 private:
  bool fill() {
    stream_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_in = static_cast<uInt>(file_.read(buffer_));
    return stream_.avail_in > 0;
  }

  // Whether a member begins here. The bytes of its magic number may come from two reads.
  bool at_member() {
    if (stream_.avail_in == 1) {
      buffer_[0] = static_cast<char>(*stream_.next_in);
      stream_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
      stream_.avail_in += static_cast<uInt>(file_.read(std::span(buffer_).subspan(1)));
    }
    const std::string_view start(reinterpret_cast<const char*>(stream_.next_in),
                                 std::min<size_t>(stream_.avail_in, kGzipMagic.size()));
    return kGzipMagic.starts_with(start);
  }

  // After a member comes another, the end, or bytes that gzip ignores: zeros (of tapes and padding)
  // silently, others with a warning.
  bool next_member() {
    if (ended_) return false;
    for (;; ++stream_.next_in, --stream_.avail_in) {
      if (stream_.avail_in == 0 && !fill()) return false;
      if (*stream_.next_in != 0) break;
    }
    inside_ = at_member();
    if (inside_) {
      inflateReset(&stream_);
    } else {
      ended_ = true;
      spdlog::warn("{}: what stands behind its gzip data is no gzip data, and ignored",
                   file_.name());
    }
    return inside_;
  }

  [[noreturn]] void fail_gzip(std::string_view what) const {
    fail("cannot read {}: near byte {} its gzip data {}", file_.name(),
         file_.position() - stream_.avail_in, what);
  }

  FileSource& file_;
  std::vector<char> buffer_;
  z_stream stream_{};
  bool inside_ = false, ended_ = false;
};

// The window size in a frame's header; 0 if it has none (RFC 8878, 3.1.1.1).
uint64_t window_of(std::string_view frame) {
  if (!frame.starts_with(kZstdMagic) || frame.size() < 6 || (frame[4] & 0x20) != 0) return 0;
  const auto descriptor = static_cast<unsigned char>(frame[5]);
  const uint64_t base = uint64_t{1} << (10 + (descriptor >> 3));
  return base + base / 8 * (descriptor & 7);
}

class ZstdSource : public ByteSource {
 public:
  explicit ZstdSource(FileSource& file)
      : file_(file), buffer_(kChunk), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
    // As in "zstd -d --long=31", the maximum of the format's implementation.
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kLargestWindowLog);
    const uint64_t window = window_of(file.peek(6));
    if (window > kUsualWindow && window <= kLargestWindow) {
      spdlog::info("{}: a zstd window of {} MiB of memory", file.name(), window >> 20);
    }
  }
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }

 protected:
  size_t produce(std::span<char> out) override {
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    while (output.pos == 0) {
      if (input_.pos == input_.size) {
        input_ = {buffer_.data(), file_.read(buffer_), 0};
        if (input_.size == 0) {
          if (inside_) refuse("ends early");
          break;
        }
      }
      // Takes its last byte of input only when all output fitted.
      const size_t hint = ZSTD_decompressStream(stream_, &output, &input_);
      if (ZSTD_isError(hint)) fail_zstd(ZSTD_getErrorCode(hint));
      inside_ = hint != 0;
    }
    return output.pos;
  }

 private:
  static constexpr int kLargestWindowLog = 31;
  static constexpr uint64_t kUsualWindow = uint64_t{1} << 27;
  static constexpr uint64_t kLargestWindow = uint64_t{1} << kLargestWindowLog;

  [[noreturn]] void fail_zstd(ZSTD_ErrorCode code) const {
    switch (code) {
      case ZSTD_error_memory_allocation:
        refuse("needs more memory than there is");
      case ZSTD_error_frameParameter_windowTooLarge:
        refuse("needs a window of more than 2 GiB, the most that zstd -d --long=31 reads too");
      case ZSTD_error_dictionary_wrong:
      case ZSTD_error_dictionary_corrupted:
        refuse(
            "needs the dictionary that it was compressed with: zstd -D DICTIONARY -dc FILE | "
            "twofour … -");
      case ZSTD_error_prefix_unknown:
        refuse("is followed by bytes that are no zstd data");
      case ZSTD_error_version_unsupported:
      case ZSTD_error_frameParameter_unsupported:
        refuse("uses features that this zstd does not know");
      case ZSTD_error_checksum_wrong:
        refuse("is damaged: a checksum does not hold");
      default:
        refuse(fmt::format("is damaged ({})", ZSTD_getErrorString(code)));
    }
  }

  [[noreturn]] void refuse(std::string_view what) const {
    fail("cannot read {}: near byte {} its zstd data {}", file_.name(),
         file_.position() - (input_.size - input_.pos), what);
  }

  FileSource& file_;
  std::vector<char> buffer_;
  ZSTD_DStream* stream_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool inside_ = false;
};

bool is_zstd(std::string_view start) {
  const bool skippable =
      start.size() >= 4 && (start[0] & 0xf0) == 0x50 && start.substr(1, 3) == "\x2a\x4d\x18"sv;
  return start.starts_with(kZstdMagic) || skippable;
}

struct OtherKind {
  std::string_view magic;
  const char *name, *unpack;
};

constexpr std::array kOtherKinds = {
    OtherKind{"BZh"sv, "bzip2", "bzip2 -dc"},
    OtherKind{"\xfd"
              "7zXZ\0"sv,
              "xz", "xz -dc"},
    OtherKind{"\x04\x22\x4d\x18"sv, "lz4", "lz4 -dc"},
    OtherKind{"\x1f\x9d"sv, "compress", "gzip -dc"},
    OtherKind{"\x1f\xa0"sv, "lzh", "gzip -dc"},
    OtherKind{"\x1f\x1e"sv, "pack", "gzip -dc"},
    OtherKind{"LZIP"sv, "lzip", "lzip -dc"},
    OtherKind{"PK\x03\x04"sv, "zip", "unzip -p"},
    OtherKind{"7z\xbc\xaf\x27\x1c"sv, "7-Zip", "7z x -so"},
};

// "BZh" and "LZIP" may begin a text, so the bytes after them count too.
bool is_of(const OtherKind& kind, std::string_view start) {
  if (!start.starts_with(kind.magic)) return false;
  if (kind.magic == "BZh") {
    const std::string_view block = start.substr(std::min<size_t>(4, start.size()));
    return block.starts_with("\x31\x41\x59\x26\x53\x59"sv) ||
           block.starts_with("\x17\x72\x45\x38\x50\x90"sv);
  }
  return kind.magic != "LZIP" || (start.size() > 4 && start[4] == 1);
}

// Tables of data set libraries, Arrow also as a stream. An Arrow file could pass for a text.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kTables = {
    {{"PAR1", "Parquet"}, {"ARROW1\0\0"sv, "Arrow"}, {"\xff\xff\xff\xff", "Arrow (a stream)"}}};

void refuse_other_kinds(FileSource& file) {
  const std::string_view start = file.peek(16);
  for (const OtherKind& kind : kOtherKinds) {
    if (!is_of(kind, start)) continue;
    fail("cannot read {}: {} is not supported: unpack it first, {} FILE | twofour … -", file.name(),
         kind.name, kind.unpack);
  }
  for (const auto& [magic, name] : kTables) {
    if (!start.starts_with(magic)) continue;
    fail("cannot read {}: {} is not supported: write it as JSON lines first", file.name(), name);
  }
}

}  // namespace

std::unique_ptr<ByteSource> make_decompressor(FileSource& file) {
  const std::string_view start = file.peek(4);
  if (start.starts_with(kGzipMagic)) return std::make_unique<GzipSource>(file);
  if (is_zstd(start)) return std::make_unique<ZstdSource>(file);
  refuse_other_kinds(file);
  return nullptr;
}

}  // namespace twofour::text
