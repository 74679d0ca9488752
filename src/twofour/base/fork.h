// Locks for a process that may fork. The child has only the forking thread, so a lock that another
// thread held would stay locked in it for ever.
#pragma once

#include <atomic>
#include <mutex>

namespace twofour {

/// A mutex that is free in a forked child, because fork() waits for it. Hold it only for moments,
/// never across arithmetic. Objects live until the process ends.
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

/// A turn at long work that threads do one after the other. fork() does not wait for it, and in the
/// child it is free.
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
