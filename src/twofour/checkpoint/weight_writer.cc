#include "twofour/checkpoint/weight_writer.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/hash.h"

namespace twofour::checkpoint {
namespace {

[[noreturn]] void fail_write(const fs::path& path) {
  fail("cannot write \"{}\": {}", path.string(), system_message(errno));
}

}  // namespace

struct WeightWriter::File {
  fs::path path;
  int fd = -1;

  File(fs::path at, const SafetensorsLayout& layout) : path(std::move(at)) {
    fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(layout.size)) != 0) fail_write(path);
    write_at(0, layout.head.data(), layout.head.size());
  }
  ~File() {
    if (fd >= 0) close(fd);
  }
  void write_at(uint64_t offset, const void* data, size_t size) const {
    const char* rest = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t done = pwrite(fd, rest, size, static_cast<off_t>(offset));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) fail_write(path);
      rest += done;
      offset += static_cast<uint64_t>(done);
      size -= static_cast<size_t>(done);
    }
  }
  void read_at(uint64_t offset, void* data, size_t size) const {
    char* rest = static_cast<char*>(data);
    while (size > 0) {
      const ssize_t done = pread(fd, rest, size, static_cast<off_t>(offset));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) fail("cannot read \"{}\": {}", path.string(), system_message(errno));
      rest += done;
      offset += static_cast<uint64_t>(done);
      size -= static_cast<size_t>(done);
    }
  }
};

WeightWriter::WeightWriter(const fs::path& folder, std::span<const TensorToWrite> tensors,
                           uint64_t largest_shard, const Metadata& metadata,
                           const std::string& origin)
    : folder_(folder),
      path_(folder.string() + ".unfinished"),
      lock_(std::make_unique<FolderLock>(path_)),
      shards_(shards_of(tensors, largest_shard)) {
  Hasher hasher;
  hasher.add(origin);
  std::vector<SafetensorsLayout> layouts;
  for (const Shard& shard : shards_) {
    hasher.add(layouts.emplace_back(layout_of(shard.tensors, metadata)).head);
  }
  announcement_ = hasher.digest();
  remove_abandoned(path_);
  written_ = saved_names();
  if (written_.empty()) remove_weights();  // nothing can be reused
  open_files(layouts);
}

WeightWriter::~WeightWriter() = default;

// Files of other shards may have the names that this writer gives.
void WeightWriter::remove_weights() const {
  fs::remove(path_ / kWeightJournal);
  for (const auto& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    const bool is_weights = name.ends_with(".safetensors") || name == kWeightIndex;
    if (name.starts_with("model") && is_weights) fs::remove(entry.path());
  }
}

std::set<std::string> WeightWriter::saved_names() const {
  const fs::path journal = path_ / kWeightJournal;
  if (!fs::exists(journal)) return {};
  const auto json = nlohmann::json::parse(read_file(journal, uint64_t{1} << 30), nullptr, false);
  if (!json.is_object() || json.value("announcement", "") != announcement_) return {};
  std::set<std::string> names;
  for (const auto& name : json.value("tensors", nlohmann::json::array())) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  return names;
}

void WeightWriter::open_files(std::span<const SafetensorsLayout> layouts) {
  for (size_t i = 0; i < shards_.size(); ++i) {
    const Shard& shard = shards_[i];
    File& file = *files_.emplace_back(std::make_unique<File>(path_ / shard.file, layouts[i]));
    for (const TensorToWrite& tensor : shard.tensors) {
      places_[tensor.name] = {&file, &tensor, layouts[i].begin.at(tensor.name)};
    }
  }
}

void WeightWriter::put(const std::string& name, const at::Tensor& tensor) {
  const auto found = places_.find(name);
  if (found == places_.end()) {
    fail("cannot write \"{}\": tensor \"{}\" was not announced", path_.string(), printable(name));
  }
  const Place& place = found->second;
  const at::Tensor values = tensor.detach().contiguous();
  check_announced(*place.tensor, values, place.file->path);
  place.file->write_at(place.begin, values.const_data_ptr(), values.nbytes());
  written_.insert(name);
}

at::Tensor WeightWriter::read(const std::string& name) const {
  if (!has(name)) fail("\"{}\" still lacks tensor \"{}\"", path_.string(), printable(name));
  const Place& place = places_.at(name);
  at::Tensor tensor = at::empty(place.tensor->shape, place.tensor->dtype);
  place.file->read_at(place.begin, tensor.mutable_data_ptr(), tensor.nbytes());
  return tensor;
}

void WeightWriter::save() {
  for (const auto& file : files_) {
    if (fsync(file->fd) != 0) fail_write(file->path);
  }
  const nlohmann::json journal = {{"announcement", announcement_}, {"tensors", written_}};
  write_file(path_ / kWeightJournal, journal.dump());
}

void WeightWriter::finish() {
  for (const auto& [name, place] : places_) {
    if (!has(name)) fail("\"{}\" still lacks tensor \"{}\"", path_.string(), printable(name));
  }
  const std::string index = index_of(shards_);
  if (!index.empty()) write_file(path_ / kWeightIndex, index);
  files_.clear();
  lock_.reset();
  move_to_new_place(path_, folder_);
  fs::remove(folder_ / kWeightJournal);
}

}  // namespace twofour::checkpoint
