// The standard streams. A result that cannot be written is an error; a message that cannot be
// written is dropped, because there is nobody left to tell.
#pragma once

#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace twofour {

/// Call before anything opens a file. Otherwise the next file gets the descriptor of a standard
/// stream that the caller closed, and messages land in a model. Every use of such a stream fails.
void reserve_standard_streams();

/// Writes to stdout, buffered; the line of a progress bar gives way. Throws Error when stdout
/// cannot be written (a full disk, a closed stream).
void write_output(std::string_view text);

/// The same for one line, to which it adds the newline. Control characters appear as in
/// printable(), so that a path with a newline stays one line.
void write_line(std::string_view text);

/// write_output of formatted text.
template <class... Args>
void print_output(fmt::format_string<Args...> format, Args&&... args) {
  write_output(fmt::format(format, std::forward<Args>(args)...));
}

/// write_line of formatted text.
template <class... Args>
void print_line(fmt::format_string<Args...> format, Args&&... args) {
  write_line(fmt::format(format, std::forward<Args>(args)...));
}

/// Writes what is buffered for stdout. Throws as write_output does.
void flush_output();

/// Writes to stderr at once, as far as that is possible.
void write_message(std::string_view text) noexcept;

/// The same for one line, as write_line.
void write_message_line(std::string_view text) noexcept;

}  // namespace twofour
