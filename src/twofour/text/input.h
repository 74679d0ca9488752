// Bytes of a file that may be compressed, in constant memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace twofour::text {

/// A plain file or pipe, a .gz (any number of members) or a .zst (any number of frames), by the end
/// of its name. Throws Error naming the file for what cannot be opened, is damaged or ends early.
class Input {
 public:
  explicit Input(const std::filesystem::path& path);
  ~Input();
  Input(Input&&) noexcept;

  /// Fills `out` from the start and returns how many bytes; 0 only at the end.
  size_t read(std::span<char> out);

  /// Bytes of the file itself used so far and in all (0 = unknown), for a progress bar.
  uint64_t file_position() const;
  uint64_t file_size() const;

  struct Source;

 private:
  std::unique_ptr<Source> source_;
};

}  // namespace twofour::text
