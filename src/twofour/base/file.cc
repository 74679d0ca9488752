#include "twofour/base/file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "twofour/base/error.h"

namespace twofour {
namespace {

constexpr std::string_view kPartial = ".partial-";
constexpr size_t kBufferBytes = 1 << 20;
constexpr size_t kReadBytes = 1 << 12;

// A sibling of `target` that names this process, so that remove_abandoned knows whose it is.
fs::path temporary_name(const fs::path& target) {
  static std::atomic<int> serial{0};
  fs::path name = target;
  if (name.filename().empty()) name = name.parent_path();
  name += fmt::format("{}{}-{}", kPartial, getpid(), serial++);
  return name;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

int open_for_reading(const fs::path& path, struct stat& status, int flags = 0) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (fd < 0) fail("cannot read \"{}\": {}", path.string(), system_message(errno));
  if (fstat(fd, &status) != 0 || S_ISDIR(status.st_mode)) {
    close(fd);
    fail("cannot read \"{}\": it is a folder, expected a file", path.string());
  }
  return fd;
}

// Opening a pipe would wait for its writer.
int open_regular(const fs::path& path, struct stat& status) {
  const int fd = open_for_reading(path, status, O_NONBLOCK);
  if (S_ISREG(status.st_mode)) return fd;
  close(fd);
  fail("cannot read \"{}\": it is not a regular file", path.string());
}

std::string read_all(const Descriptor& file, const fs::path& path, const struct stat& status,
                     uint64_t limit) {
  const auto fail_too_large = [&](uint64_t size, const char* more) {
    fail("cannot read \"{}\": it holds {} bytes{}, expected at most {}", path.string(), size, more,
         limit);
  };
  const auto size = static_cast<uint64_t>(S_ISREG(status.st_mode) ? status.st_size : 0);
  if (size > limit) fail_too_large(size, "");
  // One byte more than the file, to reach its end. Files of /proc report a size of 0.
  std::string text(std::max<size_t>(size + 1, kReadBytes), '\0');
  size_t used = 0;
  for (;;) {
    if (used == text.size()) text.resize(2 * text.size());
    const ssize_t got = ::read(file.get(), text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read \"{}\": {}", path.string(), system_message(errno));
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used > limit) fail_too_large(limit, " and more");
  }
  text.resize(used);
  return text;
}

void sync_path(const fs::path& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || fsync(file.get()) != 0) {
    fail("cannot flush \"{}\" to the disk: {}", path.string(), system_message(errno));
  }
}

fs::path parent_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

// Follows links, because a rename onto a link would replace only the link.
fs::path behind_links(const fs::path& path) {
  return fs::is_symlink(path) && fs::exists(path) ? fs::canonical(path) : path;
}

// The process in "NAME.partial-PID-SERIAL" as temporary_name() makes it; 0 in any other name.
pid_t maker_of(const std::string& name) {
  const size_t at = name.rfind(kPartial);
  if (at == std::string::npos) return 0;
  const char* const end = name.data() + name.size();
  int pid = 0, serial = -1;
  const auto first = std::from_chars(name.data() + at + kPartial.size(), end, pid);
  if (first.ec != std::errc() || pid <= 0 || first.ptr == end || *first.ptr != '-') return 0;
  const auto second = std::from_chars(first.ptr + 1, end, serial);
  return second.ec == std::errc() && second.ptr == end && serial >= 0 ? pid : 0;
}

void write_fully(int fd, const char* data, size_t size, const fs::path& path) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("cannot write \"{}\": {}; what was there before is unchanged", path.string(),
           system_message(errno));
    }
    data += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  struct stat status;
  const Descriptor file(open_regular(path, status));
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) fail("cannot map \"{}\": {}", path.string(), system_message(errno));
  data_ = static_cast<std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_) munmap(data_, size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::release(size_t first, size_t last) const {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  // The mapping begins on a page, and its last page holds nothing else.
  const size_t begin = (first + page - 1) / page * page;
  const size_t end = last >= size_ ? (size_ + page - 1) / page * page : last / page * page;
  if (begin < end) madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

std::string read_file(const fs::path& path, uint64_t limit) {
  struct stat status;
  const Descriptor file(open_regular(path, status));
  return read_all(file, path, status, limit);
}

std::string read_file_or_pipe(const fs::path& path, uint64_t limit) {
  struct stat status;
  const Descriptor file(open_for_reading(path, status));
  return read_all(file, path, status, limit);
}

void check_readable(const fs::path& path) {
  struct stat status;
  close(open_regular(path, status));
}

AtomicFile::AtomicFile(const fs::path& path)
    : path_(behind_links(path)), temporary_(temporary_name(path_)) {
  if (fs::is_directory(path_)) {
    fail("cannot write \"{}\": it is a folder, expected a file name", path.string());
  }
  // The rename of commit() would replace the device by a file.
  if (fs::exists(path_) && !fs::is_regular_file(path_)) {
    fail("cannot write \"{}\": it is a device or a pipe, expected a file name", path.string());
  }
  make_folder(parent_of(path_));
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("cannot write \"{}\": {}", path.string(), system_message(errno));
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t size) {
  if (buffer_.size() + size > kBufferBytes) flush();
  if (size >= kBufferBytes) {
    write_fully(fd_, static_cast<const char*>(data), size, path_);
  } else {
    buffer_.append(static_cast<const char*>(data), size);
  }
  bytes_written_ += size;
}

void AtomicFile::write_at(uint64_t offset, const void* data, size_t size) {
  flush();
  if (lseek(fd_, static_cast<off_t>(offset), SEEK_SET) < 0) {
    fail("cannot write \"{}\": {}", path_.string(), system_message(errno));
  }
  write_fully(fd_, static_cast<const char*>(data), size, path_);
  lseek(fd_, 0, SEEK_END);
}

void AtomicFile::flush() {
  write_fully(fd_, buffer_.data(), buffer_.size(), path_);
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  const bool flushed = fsync(fd_) == 0 && close(fd_) == 0;
  const int error = errno;
  fd_ = -1;
  if (!flushed || rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int reason = flushed ? errno : error;
    unlink(temporary_.c_str());
    fail("cannot write \"{}\": {}; what was there before is unchanged", path_.string(),
         system_message(reason));
  }
  sync_path(parent_of(path_));
}

void write_file(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

AtomicFolder::AtomicFolder(const fs::path& target)
    : target_(behind_links(target)), temporary_(temporary_name(target_)) {
  if (target_.filename().empty()) target_ = target_.parent_path();
  if (fs::exists(target_) && !fs::is_directory(target_)) {
    fail("cannot write the folder \"{}\": a file of that name is in the way", target_.string());
  }
  make_folder(parent_of(target_));
  std::error_code error;
  if (!fs::create_directory(temporary_, error)) {
    fail("cannot write the folder \"{}\": {}", target_.string(),
         error ? error.message() : "its temporary folder is in the way");
  }
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  move_into_place(temporary_, target_);
  committed_ = true;
}

namespace {

void sync_folder(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) sync_path(entry.path());
  sync_path(folder);
}

}  // namespace

bool is_taken(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() != fs::file_type::not_found;
}

void move_to_new_place(const fs::path& from, const fs::path& to) {
  sync_folder(from);
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) {
    fail("cannot name the folder \"{}\", which stays \"{}\": {}", to.string(), from.string(),
         system_message(errno));
  }
  sync_path(parent_of(to));
}

void move_into_place(const fs::path& from, const fs::path& to) {
  sync_folder(from);
  // A folder cannot be renamed over one that holds files, but the two can change places at once.
  const bool replaces = fs::exists(to);
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(),
                replaces ? RENAME_EXCHANGE : RENAME_NOREPLACE) != 0) {
    fail("cannot write the folder \"{}\": {}", to.string(), system_message(errno));
  }
  sync_path(parent_of(to));
  std::error_code ignored;
  if (replaces) fs::remove_all(from, ignored);
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path)) {
    fail("cannot make the folder \"{}\": {}", path.string(),
         error ? error.message() : "a file of that name is in the way");
  }
}

void remove_abandoned(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> abandoned;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const pid_t pid = maker_of(entry.path().filename().string());
    if (pid != 0 && kill(pid, 0) != 0 && errno == ESRCH) abandoned.push_back(entry.path());
  }
  for (const fs::path& path : abandoned) fs::remove_all(path, error);
}

}  // namespace twofour
