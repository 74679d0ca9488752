// The hidden states of all calibration samples between two blocks, in memory or in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include <ATen/core/Tensor.h>

namespace twofour::prune {

class Activations {
 public:
  /// `batches` tensors of the given sizes [N, width], with undefined values. If they exceed
  /// `most_bytes`, they lie in an unnamed file in `folder`, which the system frees however the
  /// process ends. Throws Error if the disk has no room for it.
  Activations(const std::vector<int64_t>& rows, int64_t width, at::ScalarType dtype,
              uint64_t most_bytes, const std::filesystem::path& folder);
  ~Activations();
  Activations(const Activations&) = delete;
  Activations& operator=(const Activations&) = delete;

  size_t batches() const { return batches_.size(); }
  /// The tensor itself, for reading and for writing.
  const at::Tensor& batch(size_t i) const { return batches_[i]; }
  /// Replaces the values.
  void set(size_t i, const at::Tensor& values);

  bool is_in_file() const { return mapped_ != nullptr; }

 private:
  std::vector<at::Tensor> batches_;
  void* mapped_ = nullptr;
  uint64_t mapped_bytes_ = 0;
};

}  // namespace twofour::prune
