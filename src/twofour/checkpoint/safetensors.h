// The safetensors format: an 8-byte little-endian header length, a JSON header {name: {dtype,
// shape, data_offsets}}, and the data. A file is fully validated before any tensor is returned.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/base/file.h"

namespace twofour::checkpoint {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;
using Metadata = std::map<std::string, std::string>;

/// A file mapped read-only. Throws Error with file, tensor and bytes for: a truncated or oversized
/// header, no JSON object, unknown dtypes, more than 64 dimensions, negative or overflowing shapes,
/// ranges that overlap, leave holes, lie outside the file or disagree with dtype and shape, a name
/// given twice.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  struct Entry {
    at::ScalarType dtype;
    std::vector<int64_t> shape;
    uint64_t first, last;  ///< bytes of the data section
  };

  const std::map<std::string, Entry>& entries() const { return entries_; }
  const Metadata& metadata() const { return metadata_; }
  bool contains(const std::string& name) const { return entries_.count(name) != 0; }
  const std::filesystem::path& path() const { return file_->path(); }

  /// Throws Error for an unknown name, as the next two do.
  const Entry& entry(const std::string& name) const;

  /// The tensor as a view of the mapping, which it keeps alive (a copy if its address in the file
  /// is misaligned for its type). Never write to it.
  at::Tensor view(const std::string& name) const;

  /// Lets the tensor's pages leave memory; another read loads them from the file.
  void release(const std::string& name) const;

 private:
  void read_header();
  void add_entry(const std::string& name, const void* json);
  void check_layout(uint64_t data_bytes) const;

  std::shared_ptr<MappedFile> file_;
  uint64_t data_start_ = 0;
  std::map<std::string, Entry> entries_;
  Metadata metadata_;
};

/// A tensor that only exists while it is written. make() returns it, with that dtype and shape.
struct TensorToWrite {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> make;

  uint64_t bytes() const;
};

/// The layout of a file of these tensors (make() is not called): those with larger elements first,
/// otherwise in order.
struct SafetensorsLayout {
  std::string head;  ///< the first bytes of the file
  std::vector<const TensorToWrite*> order;
  std::map<std::string, uint64_t> begin;  ///< of each tensor, in bytes of the file
  uint64_t size = 0;                      ///< of the file
};
SafetensorsLayout layout_of(std::span<const TensorToWrite> tensors, const Metadata& metadata);

/// Throws Error unless `tensor` has the announced dtype and shape; `path` is for the message.
void check_announced(const TensorToWrite& announced, const at::Tensor& tensor,
                     const std::filesystem::path& path);

/// Writes the tensors atomically, those with larger elements first, otherwise in order. Every
/// make() is called once, and at most one result is alive. The bytes only depend on the arguments.
/// Returns the content's hash (base/hash.h).
std::string write_safetensors(const std::filesystem::path& path,
                              std::span<const TensorToWrite> tensors,
                              const Metadata& metadata = {});
std::string write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                              const Metadata& metadata = {});

/// Announcements of existing tensors.
std::vector<TensorToWrite> tensors_to_write(const NamedTensors& tensors);

}  // namespace twofour::checkpoint
