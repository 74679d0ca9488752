// One writer a folder.
#pragma once

#include "twofour/base/file.h"

namespace twofour {

/// Excludes other processes from a folder while it lives. The system releases the lock however the
/// process ends. A killed one leaves only the file "lock" with its number, which the next takes
/// over.
class FolderLock {
 public:
  /// Creates the folder if there is none, and in the end removes it if it is still empty. Throws
  /// Error with the holder's number if it is locked. On a file system without locks, warns and
  /// excludes nobody.
  explicit FolderLock(const fs::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  fs::path path_;
  int fd_ = -1;
  bool is_new_ = false;  // the folder
};

}  // namespace twofour
