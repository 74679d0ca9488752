#include "twofour/text/byte_source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "twofour/base/error.h"

namespace twofour::text {

size_t ByteSource::read(std::span<char> out) {
  const size_t ahead = std::min(out.size(), ahead_.size() - ahead_begin_);
  if (ahead == 0) return produce(out);
  std::memcpy(out.data(), ahead_.data() + ahead_begin_, ahead);
  skip(ahead);
  return ahead;
}

std::string_view ByteSource::peek(size_t size) {
  ahead_.erase(0, ahead_begin_);
  ahead_begin_ = 0;
  while (ahead_.size() < size) {
    const size_t used = ahead_.size();
    ahead_.resize(size);
    const size_t got = produce(std::span(ahead_).subspan(used));
    ahead_.resize(used + got);
    if (got == 0) break;
  }
  return ahead_;
}

FileSource::FileSource(const fs::path& path)
    : name_(path == "-" ? "the standard input" : "\"" + path.string() + "\""),
      fd_(path == "-" ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_ < 0) fail("cannot read {}: {}", name_, system_message(errno));
  struct stat status;
  if (fstat(fd_, &status) != 0) return;
  if (S_ISDIR(status.st_mode)) {
    if (fd_ != STDIN_FILENO) close(fd_);
    fail("cannot read {}: it is a folder, expected a file", name_);
  }
  if (S_ISREG(status.st_mode)) size_ = static_cast<uint64_t>(status.st_size);
}

FileSource::~FileSource() {
  if (fd_ != STDIN_FILENO) close(fd_);
}

size_t FileSource::produce(std::span<char> out) {
  for (;;) {
    const ssize_t got = ::read(fd_, out.data(), out.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read {}: {}", name_, system_message(errno));
    position_ += static_cast<uint64_t>(got);
    return static_cast<size_t>(got);
  }
}

}  // namespace twofour::text
