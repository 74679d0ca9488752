#include "twofour/base/streams.h"

#include <cerrno>
#include <cstdio>
#include <new>

#include <fcntl.h>
#include <unistd.h>

#include "twofour/base/error.h"
#include "twofour/base/progress.h"

namespace twofour {
namespace {

[[noreturn]] void fail_output(int error_number) {
  fail("cannot write to the standard output: {}", system_message(error_number));
}

}  // namespace

void reserve_standard_streams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1) continue;
    // Opened in the wrong direction, so it takes the number and is unusable.
    const int opened = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != descriptor && opened != -1) close(opened);
  }
}

void write_output(std::string_view text) {
  ProgressBar::clear_line();
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_output(errno);
}

void write_line(std::string_view text) { write_output(printable(text, text.npos) + "\n"); }

void flush_output() {
  errno = 0;
  // Also reports earlier losses that nobody checked.
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) fail_output(errno);
}

void write_message(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void write_message_line(std::string_view text) noexcept {
  try {
    write_message(printable(text, text.npos) + "\n");
  } catch (const std::bad_alloc&) {
    write_message("twofour: out of memory\n");
  }
}

}  // namespace twofour
