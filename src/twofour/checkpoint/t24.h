// .t24: the masks of a model at nearly their entropy, 0.653 bit a weight for 2:4, where the entropy
// is log2(6) / 4 = 0.646. Every mask is N:M; docs/model-format.md has the layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/base/file.h"

namespace twofour::checkpoint {

/// Whether a file with this content is, or was meant to be, a .t24.
bool is_t24(std::string_view content);

/// A .t24 mapped read-only. Opening checks everything but the masks: throws Error with file, tensor
/// and bytes for another version, a length or a checksum of the header that is not the written
/// one, a name given twice, a size or pattern that no mask has, and tensors that do not fill the
/// file exactly.
class T24File {
 public:
  explicit T24File(const std::filesystem::path& path);

  struct Entry {
    int64_t rows, columns;
    int64_t kept, group;   ///< the pattern N:M
    uint64_t first, last;  ///< bytes of the file that hold the digits; the checksum follows
  };

  /// By the name of the weight.
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::filesystem::path& path() const { return file_->path(); }

  /// The mask in the form of mask_files.h; reads only its bytes. Throws Error for an unknown name,
  /// a wrong checksum and digits that are no candidates.
  at::Tensor read(const std::string& name) const;

 private:
  void read_header();
  std::string read_entry(std::string_view header, uint64_t& at, Entry& entry) const;

  std::shared_ptr<MappedFile> file_;
  std::map<std::string, Entry> entries_;
};

/// A mask that only exists while it is written. make() returns it in the form of mask_files.h.
struct T24Mask {
  std::string weight;
  int64_t rows, columns, kept, group;
  std::function<at::Tensor()> make;
};

/// Writes the masks atomically, in order. Every make() is called once, and at most one result is
/// alive. The bytes only depend on the arguments. Throws Error for a name given twice, a pattern
/// that no .t24 holds, a mask of another size and one with another pattern, with its place.
void write_t24(const std::filesystem::path& path, std::span<const T24Mask> masks);

}  // namespace twofour::checkpoint
