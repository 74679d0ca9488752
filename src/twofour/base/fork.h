// Locks in a process that others may fork: the child of a process with several threads has only one
// of them, and whatever another one held stays locked in it for ever.
#pragma once

#include <atomic>
#include <mutex>

namespace twofour {

/// A mutex that a forked child finds free: fork() waits until it can take it. So it may only be
/// held for moments, and never across arithmetic. Objects live until the process ends.
class ForkMutex {
 public:
  ForkMutex();
  ForkMutex(const ForkMutex&) = delete;
  ForkMutex& operator=(const ForkMutex&) = delete;

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

/// Long work that threads do one after the other. fork() does not wait for it, and the child of a
/// process that is at it finds it free.
class Turn {
 public:
  /// Waits until no thread of this process holds `place`, which starts at 0, and holds it while
  /// this object lives.
  explicit Turn(std::atomic<int>& place);
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn();

 private:
  std::atomic<int>& place_;  // the process whose thread holds it
};

}  // namespace twofour
