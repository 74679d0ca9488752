#include "twofour/base/progress.h"

#include <algorithm>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "twofour/base/streams.h"

namespace twofour {
namespace {

constexpr int kBarWidth = 10;  // leaves room for the rest in 80 columns
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);

bool line_is_drawn = false;  // the bar's line stands on the terminal and has no newline yet

size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

// The first `columns` characters of UTF-8 text.
std::string cut(const std::string& text, size_t columns) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    const bool starts_character = (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80;
    if (starts_character && columns-- == 0) break;
  }
  return text.substr(0, at);
}

}  // namespace

bool is_terminal(int descriptor) { return isatty(descriptor) == 1; }

std::string format_duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{:02}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

ProgressBar::ProgressBar(std::string title, uint64_t total)
    : title_(std::move(title)),
      total_(total),
      visible_(is_terminal(STDERR_FILENO)),
      start_(Clock::now()) {}

ProgressBar::~ProgressBar() {
  if (visible_) clear_line();
}

void ProgressBar::update(uint64_t done, const std::string& detail) {
  const auto now = Clock::now();
  if (!visible_ || now - last_drawn_ < kRedrawInterval) return;
  last_drawn_ = now;
  std::string line = title_;
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
    const int filled = static_cast<int>(share * kBarWidth);
    line += fmt::format(" [{:#>{}}{:->{}}]", "", filled, "", kBarWidth - filled);
    if (detail.empty()) line += fmt::format(" {:.0f}%", 100 * share);
  }
  if (total_ > 0 && done > first_) {
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const double left = elapsed * static_cast<double>(total_ - std::min(done, total_)) /
                        static_cast<double>(done - first_);
    line += fmt::format(" · {} left", format_duration(left));
  }
  if (!detail.empty()) line += " · " + detail;
  write_message("\r\x1b[K" + cut(line, terminal_columns() - 1));
  line_is_drawn = true;
}

void ProgressBar::clear_line() {
  if (!line_is_drawn) return;
  write_message("\r\x1b[K");
  line_is_drawn = false;
}

}  // namespace twofour
