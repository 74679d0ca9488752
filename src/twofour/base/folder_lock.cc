#include "twofour/base/folder_lock.h"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"

namespace twofour {
namespace {

// "4711", or "another process" where the holder has not written its number yet.
std::string holder_of(int fd) {
  char digits[16];
  const ssize_t got = pread(fd, digits, sizeof digits, 0);
  const std::string number(digits, static_cast<size_t>(got > 0 ? got : 0));
  const bool is_number =
      !number.empty() && number.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? "process " + number : "another process";
}

// Whether `path` still names the open file: its last holder may have removed it in between.
bool is_named(int fd, const fs::path& path) {
  struct stat opened, named;
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder)
    : path_(folder / "lock"), is_new_(!is_taken(folder)) {
  for (;;) {
    make_folder(folder);  // again if another process has just removed it
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno == ENOENT) continue;
    if (fd_ < 0) fail("cannot write \"{}\": {}", path_.string(), system_message(errno));
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      const std::string holder = holder_of(fd_);
      close(fd_);
      if (error == EINTR) continue;
      if (error == EWOULDBLOCK) {
        fail("\"{}\" is in use by {}: wait until it ends, or choose another folder",
             folder.string(), holder);
      }
      spdlog::warn("cannot lock \"{}\": {}; see to it that no other process writes there",
                   folder.string(), system_message(error));
      fd_ = -1;
      return;
    }
    if (is_named(fd_, path_)) break;
    close(fd_);
  }
  const std::string number = std::to_string(getpid());
  // The number serves only the message. On a full disk the lock holds without it.
  if (ftruncate(fd_, 0) == 0 && pwrite(fd_, number.data(), number.size(), 0) < 0) return;
}

FolderLock::~FolderLock() {
  if (fd_ < 0) return;
  unlink(path_.c_str());  // while still held, so that a waiting process notices
  if (is_new_) rmdir(path_.parent_path().c_str());  // fails if it holds anything
  close(fd_);
}

}  // namespace twofour
