#include "twofour/base/fork.h"

#include <vector>

#include <pthread.h>
#include <unistd.h>

namespace twofour {
namespace {

// All mutexes, and one for the list itself. Never destroyed: a fork may come at any time.
struct Mutexes {
  std::mutex list;
  std::vector<ForkMutex*> all;
};

Mutexes& mutexes() {
  static auto& all = *new Mutexes;
  return all;
}

void lock_all() {
  mutexes().list.lock();
  for (ForkMutex* mutex : mutexes().all) mutex->lock();
}

void unlock_all() {
  for (auto i = mutexes().all.rbegin(); i != mutexes().all.rend(); ++i) (*i)->unlock();
  mutexes().list.unlock();
}

}  // namespace

ForkMutex::ForkMutex() {
  static const int kRegistered = pthread_atfork(lock_all, unlock_all, unlock_all);
  static_cast<void>(kRegistered);
  const std::lock_guard lock(mutexes().list);
  mutexes().all.push_back(this);
}

Turn::Turn(std::atomic<int>& place) : place_(place) {
  const int own = getpid();
  int holder = 0;
  // Another process's number was left by this one's parent.
  while (!place_.compare_exchange_strong(holder, own)) {
    if (holder != own) continue;  // taken over in the next round
    place_.wait(own);
    holder = 0;
  }
}

Turn::~Turn() {
  place_ = 0;
  place_.notify_all();
}

}  // namespace twofour
