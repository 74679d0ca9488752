#include "fuzz.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <unistd.h>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"

namespace twofour::fuzz {
namespace fs = std::filesystem;

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

bool accepted(const std::function<void()>& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    const std::string message = error.what();
    check(!message.empty() && message.find('\n') == std::string::npos, "an error is one line");
    check(find_invalid_utf8(message) == std::string::npos, "an error is valid UTF-8");
    return false;
  }
}

fs::path file_with(std::string_view name, std::string_view content) {
  struct Folder {
    fs::path path = fs::temp_directory_path() / ("twofour-fuzz-" + std::to_string(::getpid()));
    Folder() { fs::create_directories(path); }
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  };
  static const Folder folder;
  const fs::path path = folder.path / name;
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
  return path;
}

Split split(const uint8_t* data, size_t size) {
  if (size == 0) return {};
  const std::string_view input(reinterpret_cast<const char*>(data), size - 1);
  const size_t tail = std::min<size_t>(data[size - 1], input.size());
  return {input.substr(0, input.size() - tail), input.substr(input.size() - tail)};
}

}  // namespace twofour::fuzz
