// One writer a folder.
#pragma once

#include "twofour/base/file.h"

namespace twofour {

/// Keeps other processes that ask for the same folder out while it lives. The system lets go of it
/// however the process ends, so that a killed one leaves no lock behind, only the file "lock" with
/// its number, which the next takes over.
class FolderLock {
 public:
  /// Makes the folder where there is none. Throws Error, with the number of the process that holds
  /// it, when it is taken. Where the file system has no locks, a warning says so and nothing is
  /// kept out.
  explicit FolderLock(const fs::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  fs::path path_;
  int fd_ = -1;
};

}  // namespace twofour
