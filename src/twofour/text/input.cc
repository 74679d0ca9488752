#include "twofour/text/input.h"

#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"

namespace twofour::text {

struct Input::Source {
  explicit Source(const fs::path& path) : path(path) {
    check_readable(path);
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail("cannot read \"{}\": {}", path.string(), system_message(errno));
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
      size = static_cast<uint64_t>(status.st_size);
    }
  }
  virtual ~Source() { close(fd); }

  virtual size_t read(std::span<char> out) { return read_file(out); }

  size_t read_file(std::span<char> out) {
    for (;;) {
      const ssize_t got = ::read(fd, out.data(), out.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("cannot read \"{}\": {}", path.string(), system_message(errno));
      position += static_cast<uint64_t>(got);
      return static_cast<size_t>(got);
    }
  }

  [[noreturn]] void fail_damaged(const char* what) const {
    fail("cannot read \"{}\": the compressed data {} near byte {}", path.string(), what, position);
  }

  fs::path path;
  int fd = -1;
  uint64_t size = 0, position = 0;
};

namespace {

constexpr size_t kChunk = 1 << 16;

class GzipSource : public Input::Source {
 public:
  explicit GzipSource(const fs::path& path) : Source(path), buffer_(kChunk) {
    inflateInit2(&stream_, 15 + 16);  // 16: a gzip header is required
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  size_t read(std::span<char> out) override {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    while (stream_.avail_out == out.size()) {
      if (stream_.avail_in == 0) {
        stream_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
        stream_.avail_in = static_cast<uInt>(read_file(buffer_));
        if (stream_.avail_in == 0) {
          if (inside_) fail_damaged("ends early");
          return 0;
        }
      }
      if (!inside_) inflateReset(&stream_);
      inside_ = true;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) {
        inside_ = false;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        fail_damaged("is damaged");
      }
    }
    return out.size() - stream_.avail_out;
  }

 private:
  std::vector<char> buffer_;
  z_stream stream_{};
  bool inside_ = false;
};

class ZstdSource : public Input::Source {
 public:
  explicit ZstdSource(const fs::path& path)
      : Source(path), buffer_(kChunk), stream_(ZSTD_createDStream()) {}
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }

  size_t read(std::span<char> out) override {
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    while (output.pos == 0) {
      if (input_.pos == input_.size) {
        input_ = {buffer_.data(), read_file(buffer_), 0};
        if (input_.size == 0) {
          if (inside_) fail_damaged("ends early");
          return 0;
        }
      }
      const size_t hint = ZSTD_decompressStream(stream_, &output, &input_);
      if (ZSTD_isError(hint)) fail_damaged("is damaged");
      inside_ = hint != 0;
    }
    return output.pos;
  }

 private:
  std::vector<char> buffer_;
  ZSTD_DStream* stream_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool inside_ = false;
};

}  // namespace

Input::Input(const fs::path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".gz") {
    source_ = std::make_unique<GzipSource>(path);
  } else if (extension == ".zst") {
    source_ = std::make_unique<ZstdSource>(path);
  } else {
    source_ = std::make_unique<Source>(path);
  }
}

Input::~Input() = default;
Input::Input(Input&&) noexcept = default;

size_t Input::read(std::span<char> out) { return source_->read(out); }
uint64_t Input::file_position() const { return source_->position; }
uint64_t Input::file_size() const { return source_->size; }

}  // namespace twofour::text
