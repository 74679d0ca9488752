// The one error type. Every failure that a user can cause ends in one line: what failed, where, and
// what to do.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace twofour {

/// A failure with a message for the user: one line, no full stop, files and names in double quotes.
class Error : public std::runtime_error {
 public:
  /// The exit status of the program: 1 the work failed, 2 the command was wrong.
  enum Kind { kFailure = 1, kUsage = 2 };

  explicit Error(const std::string& message, Kind kind = kFailure)
      : std::runtime_error(message), kind_(kind) {}

  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

/// Throws Error(kFailure): `fail("cannot read \"{}\": {}", path, reason)`.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error(kUsage), for an invalid option or config value.
template <class... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...), Error::kUsage);
}

/// The text of an errno value, such as "No such file or directory".
std::string system_message(int error_number);

/// `text` with control characters, line separators and invalid UTF-8 made visible, cut after
/// `limit` bytes, for quoting a file's content in a message. Messages are printed as one line in
/// any case (write_message_line), so this is for content that may be long.
std::string printable(std::string_view text, size_t limit = 60);

}  // namespace twofour
