#include "testing.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <unistd.h>

#include "twofour/base/file.h"

namespace twofour {

std::string read_file(const std::filesystem::path& path) { return read_file(path, UINT64_MAX); }

}  // namespace twofour

namespace twofour::testing {

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "twofour-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) fail("cannot make \"{}\"", name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void overwrite(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
}

FileSizeLimit::FileSizeLimit(uint64_t bytes) {
  rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  soft_ = limit.rlim_cur;
  hard_ = limit.rlim_max;
  handler_ = std::signal(SIGXFSZ, SIG_IGN);
  limit.rlim_cur = bytes;
  setrlimit(RLIMIT_FSIZE, &limit);
}

FileSizeLimit::~FileSizeLimit() {
  const rlimit limit{soft_, hard_};
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler_);
}

fs::path shared_folder() {
  const char* named = std::getenv("TWOFOUR_SHARED");
  const fs::path folder = named ? fs::path(named) : fs::path(TWOFOUR_SOURCE_DIR) / "../shared";
  return fs::is_directory(folder) ? folder : fs::path();
}

namespace {

template <class T>
std::vector<double> convert(std::string_view bytes) {
  std::vector<T> typed(bytes.size() / sizeof(T));
  std::memcpy(typed.data(), bytes.data(), typed.size() * sizeof(T));
  return {typed.begin(), typed.end()};
}

std::vector<double> values_of(const std::string& type, std::string_view bytes) {
  if (type == "F64") return convert<double>(bytes);
  if (type == "F32") return convert<float>(bytes);
  if (type == "I64") return convert<int64_t>(bytes);
  if (type == "I32") return convert<int32_t>(bytes);
  if (type == "U8" || type == "BOOL") return convert<uint8_t>(bytes);
  fail("golden file with a tensor of type {}", type);
}

}  // namespace

std::map<std::string, GoldenTensor> read_golden(const fs::path& file) {
  const std::string content = read_file(file);
  uint64_t header_bytes;
  std::memcpy(&header_bytes, content.data(), 8);
  const auto header = nlohmann::json::parse(content.substr(8, header_bytes));
  const std::string_view data = std::string_view(content).substr(8 + header_bytes);
  std::map<std::string, GoldenTensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const size_t first = entry["data_offsets"][0], last = entry["data_offsets"][1];
    tensors[name] = {entry["shape"].get<std::vector<int64_t>>(),
                     values_of(entry["dtype"], data.substr(first, last - first))};
  }
  return tensors;
}

std::map<std::string, GoldenTensor> golden(const std::string& name) {
  return read_golden(fs::path(TWOFOUR_SOURCE_DIR) / "tests/golden" / (name + ".safetensors"));
}

}  // namespace twofour::testing
