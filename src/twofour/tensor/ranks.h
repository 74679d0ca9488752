// The processes of a run, each with its share of the batch. All their agreement goes through this
// interface; a single process needs no other.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

namespace twofour::tensor {

/// All ranks call the same functions in the same order, with tensors of the same shapes and dtypes.
class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int64_t rank() const = 0;  ///< in [0, size)
  virtual int64_t size() const = 0;

  /// values becomes the sum over all ranks, in a fixed order.
  virtual void sum(at::Tensor& values) = 0;
  /// values becomes the values of `root`.
  virtual void broadcast(at::Tensor& values, int64_t root) = 0;
  /// The values of every rank, by rank.
  virtual std::vector<at::Tensor> gather(const at::Tensor& values) = 0;
  /// Returns when every rank has called it.
  virtual void barrier() = 0;

  bool is_first() const { return rank() == 0; }
};

/// A single process.
std::unique_ptr<Ranks> single_rank();

}  // namespace twofour::tensor
