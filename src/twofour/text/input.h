// The text of a file, a pipe or the standard input, decompressed, in constant memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace twofour::text {

class ByteSource;
class FileSource;

/// A plain file or one compressed by gzip or zstd; the content decides, not the name. "-" is the
/// standard input. A UTF-8 byte-order mark at the start is skipped. Throws Error naming the file if
/// it cannot be opened, is damaged, ends early, has another compression, or is UTF-16 or UTF-32.
class Input {
 public:
  explicit Input(const std::filesystem::path& path);
  ~Input();
  Input(Input&&) noexcept;

  /// Fills `out` from the start and returns how many bytes; 0 only at the end.
  size_t read(std::span<char> out);
  /// At least `size` of the bytes that read() gives next, fewer only where the text ends. Valid
  /// until the next call.
  std::string_view peek(size_t size);

  /// For messages: the path in quotes, or "the standard input".
  const std::string& name() const;
  /// The extension of the file's name without ".gz" and the like: ".jsonl" of x.jsonl.zst, "" if
  /// there is none.
  const std::string& suffix() const { return suffix_; }

  /// Bytes of the file itself used so far and in all (0 = unknown), for a progress bar.
  uint64_t file_position() const;
  uint64_t file_size() const;

 private:
  std::string suffix_;
  std::unique_ptr<FileSource> file_;
  std::unique_ptr<ByteSource> decompressed_;  // null where the file is the text
  ByteSource& text_;
};

}  // namespace twofour::text
