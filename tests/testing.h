// Shared by tests: scratch folders, expectations on errors, and golden values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "twofour/base/error.h"

namespace twofour {

/// read_file without a limit, since a test knows its files.
std::string read_file(const std::filesystem::path& path);

}  // namespace twofour

namespace twofour::testing {

namespace fs = std::filesystem;

/// A folder of this test alone, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }
  fs::path operator/(const fs::path& name) const { return path_ / name; }

 private:
  fs::path path_;
};

/// Writes a file without flushing it to the disk, for tests that write thousands.
void overwrite(const fs::path& path, std::string_view content);

/// While it lives, writing more than `bytes` to any file fails as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes);
  ~FileSizeLimit();
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  uint64_t soft_, hard_;
  void (*handler_)(int);
};

/// The folder ../shared beside the checkout, or what TWOFOUR_SHARED names; empty if there is none.
fs::path shared_folder();

/// A tensor of a golden file, converted to double (exact for every type stored there but int64
/// above 2^53).
struct GoldenTensor {
  std::vector<int64_t> shape;
  std::vector<double> values;
  std::vector<float> floats() const { return {values.begin(), values.end()}; }
};
/// The tensors of a safetensors file of F64, F32, I64, I32, U8 or BOOL.
std::map<std::string, GoldenTensor> read_golden(const fs::path& file);
/// Those of tests/golden/NAME.safetensors.
std::map<std::string, GoldenTensor> golden(const std::string& name);

}  // namespace twofour::testing

/// Expects that `statement` throws twofour::Error with one line that contains `part`.
#define EXPECT_THAT_ERROR(statement, part)                              \
  try {                                                                 \
    static_cast<void>(statement);                                       \
    ADD_FAILURE() << "expected an error with \"" << (part) << '"';      \
  } catch (const ::twofour::Error& error) {                             \
    EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr(part)); \
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos); \
  }

/// Skips the test, saying so, where ../shared does not exist.
#define SKIP_WITHOUT_SHARED()                           \
  if (::twofour::testing::shared_folder().empty()) {    \
    GTEST_SKIP() << "no ../shared beside the checkout"; \
  }
