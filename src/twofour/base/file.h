// Files are read in one piece or mapped, and written so that a reader sees the old content or the
// new. Every function throws Error naming the path and the reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace twofour {

namespace fs = std::filesystem;

/// A whole regular file mapped read-only. Throws for a missing file, a directory, no permission.
/// An empty file gives an empty view.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const fs::path& path() const { return path_; }

  /// Lets the whole pages inside bytes [first, last) leave memory. They can be read again.
  void release(size_t first, size_t last) const;

 private:
  fs::path path_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Limits for files that are read whole, so that a wrong name (a link to /dev/zero, a file of
/// weights) is refused before it fills the memory. Each is over ten times the largest public file.
inline constexpr uint64_t kLargestSettings = uint64_t{64} << 20;     ///< config.json and the like
inline constexpr uint64_t kLargestVocabulary = uint64_t{512} << 20;  ///< tokenizer.json: 34 MB
inline constexpr uint64_t kLargestLog = uint64_t{4} << 30;           ///< 300 bytes a step
inline constexpr uint64_t kLargestText = uint64_t{4} << 30;          ///< a text that is read whole

/// The content of a regular file as bytes. Throws as MappedFile does, and for more than `limit`
/// bytes.
std::string read_file(const fs::path& path, uint64_t limit);

/// The same for a file or a pipe, such as a shell's <(…). Waits for a pipe's writer.
std::string read_file_or_pipe(const fs::path& path, uint64_t limit);

/// Throws unless `path` can be opened for reading as a regular file.
void check_readable(const fs::path& path);

/// Writes a file beside its final place; commit() makes it appear there, flushed to the disk.
/// Destroyed without commit(), it leaves what was there before untouched and removes its own part.
class AtomicFile {
 public:
  explicit AtomicFile(const fs::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws when the disk is full or the write fails otherwise.
  void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Overwrites bytes already written (a header whose counts are known only at the end).
  void write_at(uint64_t offset, const void* data, size_t size);
  uint64_t bytes_written() const { return bytes_written_; }
  void commit();

 private:
  void flush();
  fs::path path_, temporary_;
  int fd_ = -1;
  uint64_t bytes_written_ = 0;
  std::string buffer_;
};

/// `text` as the whole content of `path`, atomically.
void write_file(const fs::path& path, std::string_view text);

/// A folder that appears complete or not at all: fill path() (a temporary sibling of the target),
/// then commit(), which flushes every file in it and renames it into place. An existing target is
/// replaced only then; until then it stays as it is. Destroyed without commit(), it leaves no
/// trace.
class AtomicFolder {
 public:
  explicit AtomicFolder(const fs::path& target);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const fs::path& path() const { return temporary_; }
  void commit();

 private:
  fs::path target_, temporary_;
  bool committed_ = false;
};

/// Flushes every file of the folder `from` and gives it the name `to`, at once; an existing folder
/// of that name disappears.
void move_into_place(const fs::path& from, const fs::path& to);

/// The same, but throws if anything has that name, which stays as it is.
void move_to_new_place(const fs::path& from, const fs::path& to);

/// Whether anything has that name, also a link to nothing or a name that cannot be looked up.
bool is_taken(const fs::path& path);

/// Creates a folder and its parents; throws when it cannot, or when a file is in the way.
void make_folder(const fs::path& path);

/// Removes what AtomicFile and AtomicFolder of killed processes left in `folder` (names that end in
/// ".partial-PID-SERIAL", PID of no living process). Other names stay.
void remove_abandoned(const fs::path& folder);

}  // namespace twofour
