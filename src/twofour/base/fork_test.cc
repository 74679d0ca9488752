#include "twofour/base/fork.h"

#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace twofour {
namespace {

// Whether a child that is forked now and runs fn ends.
template <class Fn>
bool child_ends(Fn&& fn) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // ends a child that waits for ever
    fn();
    _exit(0);
  }
  int status = 1;
  waitpid(child, &status, 0);
  return status == 0;
}

// A thread that does work() over and over until the object goes.
class Busy {
 public:
  template <class Work>
  explicit Busy(Work work)
      : thread_([this, work] {
          do {
            work();
            began_ = true;
          } while (!stopped_);
        }) {
    while (!began_) std::this_thread::yield();
  }
  ~Busy() {
    stopped_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> began_ = false, stopped_ = false;
  std::thread thread_;
};

TEST(ForkMutex, is_free_in_a_child_whose_parent_locks_it_all_the_time) {
  static ForkMutex& mutex = *new ForkMutex;
  static int64_t count = 0;
  const auto work = [] {
    const std::lock_guard lock(mutex);
    for (int i = 0; i < 1000; ++i) count = count + i;
  };
  const Busy busy(work);
  for (int fork = 0; fork < 50; ++fork) ASSERT_TRUE(child_ends(work)) << fork;
}

TEST(Turn, is_free_in_a_child_whose_parent_is_at_it) {
  static std::atomic<int> place = 0;
  std::atomic<bool> is_held = false, may_end = false;
  std::thread other([&] {
    const Turn turn(place);
    is_held = true;
    is_held.notify_all();
    may_end.wait(false);
  });
  is_held.wait(false);
  EXPECT_TRUE(child_ends([] { const Turn turn(place); }));
  may_end = true;
  may_end.notify_all();
  other.join();
}

TEST(Turn, is_held_by_one_thread_at_a_time) {
  std::atomic<int> place = 0, inside = 0;
  int64_t count = 0;  // guarded by the turn
  const auto work = [&] {
    for (int i = 0; i < 2000; ++i) {
      const Turn turn(place);
      EXPECT_EQ(++inside, 1);
      ++count;
      --inside;
    }
  };
  std::thread one(work), two(work);
  one.join();
  two.join();
  EXPECT_EQ(count, 4000);
}

}  // namespace
}  // namespace twofour
