// NumPy's .npz: a zip archive with one member NAME.npy per array, stored or deflated.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

/// An .npz open for reading. Opening validates the archive's directory and the header of every
/// array; memory for an array is only allocated once its size is validated. Throws Error with file
/// and array for: a damaged archive, encryption, compression other than deflate, a member that is
/// no .npy, a name given twice, a header that is not NumPy's (versions 1 to 3), a dtype other than
/// little-endian u1 i1 i2 i4 i8 f2 f4 f8, and a size that contradicts the header or that no
/// deflated stream of its length can have.
class NpzFile {
 public:
  explicit NpzFile(const std::filesystem::path& path);
  ~NpzFile();
  NpzFile(NpzFile&&) noexcept;
  NpzFile& operator=(NpzFile&&) noexcept;

  struct Entry {
    at::ScalarType dtype = at::kByte;
    std::vector<int64_t> shape;
    bool fortran_order = false;
    uint64_t member = 0;        ///< index in the archive
    uint64_t header_bytes = 0;  ///< before the data
    uint64_t data_bytes = 0;
  };

  /// By name, without ".npy".
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::filesystem::path& path() const { return path_; }

  /// The array, contiguous if it was written in C order. Throws Error for an unknown name and for
  /// data that ends early or has a wrong checksum.
  at::Tensor read(const std::string& name) const;

 private:
  struct Archive;
  void add_member(uint64_t index);
  std::filesystem::path path_;
  std::unique_ptr<Archive> archive_;
  std::map<std::string, Entry> entries_;
};

/// Writes the arrays in order, atomically, like numpy.savez (`deflate`: like
/// numpy.savez_compressed). The bytes only depend on the arguments.
void write_npz(const std::filesystem::path& path, const NamedTensors& arrays, bool deflate = false);

}  // namespace twofour::checkpoint
