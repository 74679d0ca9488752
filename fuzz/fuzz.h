// Shared by fuzz targets. A target reads hostile bytes as a file or as text. It may only throw
// twofour::Error with one line, and it checks its promises about accepted inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace twofour::fuzz {

/// Crashes the program, naming the broken promise.
void check(bool holds, const char* what);

/// Runs `read`; false when it throws Error. Its message must be one line of valid UTF-8.
bool accepted(const std::function<void()>& read);

/// A file of this process with the given content, for readers that take a path. The next call with
/// the same name replaces it.
std::filesystem::path file_with(std::string_view name, std::string_view content);

/// The input without its last byte, which says how many of the bytes before it are `tail`.
struct Split {
  std::string_view head, tail;
};
Split split(const uint8_t* data, size_t size);

}  // namespace twofour::fuzz
