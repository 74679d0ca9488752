#include "twofour/base/stop_signal.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string_view>

#include <unistd.h>

namespace twofour {
namespace {

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP};
constexpr int kSignals = 4;  // these and SIGPIPE

std::atomic<bool> stop_requested = false;
std::atomic<int64_t> saved_count = 0;
StopMessages messages_to_say = {};
bool is_on_terminal = false;
struct sigaction before[kSignals];

static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free,
              "a signal handler must not wait");

// A signal handler must not allocate or use stdio.
class Line {
 public:
  Line& operator<<(std::string_view text) {
    const size_t size = std::min(text.size(), sizeof text_ - size_);
    std::memcpy(text_ + size_, text.data(), size);
    size_ += size;
    return *this;
  }
  Line& operator<<(int64_t number) {
    const auto end = std::to_chars(text_ + size_, text_ + sizeof text_, number).ptr;
    size_ = static_cast<size_t>(end - text_);
    return *this;
  }
  void write_to_stderr() const {
    if (write(STDERR_FILENO, text_, size_) < 0) return;  // nobody can be told
  }

 private:
  char text_[256];
  size_t size_ = 0;
};

void on_stop(int signal) {
  const int error = errno;
  Line line;
  if (is_on_terminal) line << "\r\x1b[K";  // a progress bar's line, or the terminal's ^C
  line << "twofour: ";
  if (!stop_requested.exchange(true)) {
    line << messages_to_say.first;
  } else {
    const int64_t saved = saved_count;
    if (saved > 0) {
      line << messages_to_say.before << saved << messages_to_say.after;
    } else {
      line << messages_to_say.nothing;
    }
    std::signal(signal, SIG_DFL);
    raise(signal);  // delivered when this handler returns
  }
  line << "\n";
  line.write_to_stderr();
  errno = error;
}

}  // namespace

StopSignal::StopSignal(const StopMessages& messages) {
  stop_requested = false;
  saved_count = 0;
  messages_to_say = messages;
  is_on_terminal = isatty(STDERR_FILENO) == 1;
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  for (const int signal : kStopSignals) sigaddset(&action.sa_mask, signal);
  action.sa_flags = SA_RESTART;
  int next = 0;
  for (const int signal : kStopSignals) {
    sigaction(signal, nullptr, &before[next]);
    action.sa_handler = before[next].sa_handler == SIG_IGN ? SIG_IGN : on_stop;
    sigaction(signal, &action, nullptr);
    ++next;
  }
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, &before[next]);
}

StopSignal::~StopSignal() {
  int next = 0;
  for (const int signal : kStopSignals) sigaction(signal, &before[next++], nullptr);
  sigaction(SIGPIPE, &before[next], nullptr);
}

bool StopSignal::requested() { return stop_requested; }

void StopSignal::set_saved(int64_t count) { saved_count = count; }

}  // namespace twofour
