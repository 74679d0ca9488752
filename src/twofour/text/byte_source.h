// Inside text/: sources of bytes in layers (a file, its decompression).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "twofour/base/file.h"

namespace twofour::text {

/// A stream of bytes whose beginning can be looked at before it is read.
class ByteSource {
 public:
  ByteSource() = default;
  virtual ~ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// Fills `out` from the start and returns how many bytes; 0 only at the end.
  size_t read(std::span<char> out);

  /// At least `size` of the bytes that read() gives next, fewer only at the end. Valid until the
  /// next call.
  std::string_view peek(size_t size);

  /// Drops the next `size` bytes, which peek() has shown.
  void skip(size_t size) { ahead_begin_ += size; }

 protected:
  virtual size_t produce(std::span<char> out) = 0;

 private:
  std::string ahead_;  // from ahead_begin_ on: seen but not read
  size_t ahead_begin_ = 0;
};

/// The bytes of a file, of a pipe, or of the standard input, which "-" names.
class FileSource : public ByteSource {
 public:
  /// Throws Error if it is missing, a folder, or unreadable.
  explicit FileSource(const fs::path& path);
  ~FileSource() override;

  /// For messages: the path in quotes, or "the standard input".
  const std::string& name() const { return name_; }
  /// Bytes read so far, and in all (0 = unknown).
  uint64_t position() const { return position_; }
  uint64_t size() const { return size_; }

 protected:
  size_t produce(std::span<char> out) override;

 private:
  std::string name_;
  int fd_;
  uint64_t size_ = 0, position_ = 0;
};

}  // namespace twofour::text
