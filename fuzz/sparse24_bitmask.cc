// A bitmask of sparse-24-bitmask, for rows of 12: an accepted one is remade from its weight.
#include "twofour/checkpoint/sparse24_bitmask.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const auto rows = static_cast<int64_t>(size / 2);
  if (rows == 0) return 0;
  checkpoint::Sparse24Bitmask stored;
  stored.bitmask = at::from_blob(const_cast<uint8_t*>(data), {rows, 2}, at::kByte);
  stored.compressed = at::arange(1, 6 * rows + 1, at::kFloat).view({rows, 6});
  at::Tensor weight;
  stored.shape = at::arange(2, at::kLong);
  stored.shape.mutable_data_ptr<int64_t>()[0] = rows;
  stored.shape.mutable_data_ptr<int64_t>()[1] = 12;
  if (!fuzz::accepted([&] { weight = checkpoint::decompress24(stored); })) return 0;
  const checkpoint::Sparse24Bitmask again = checkpoint::compress24(weight);
  fuzz::check(again.bitmask.equal(stored.bitmask), "a bitmask follows from its weight");
  fuzz::check(again.compressed.equal(stored.compressed), "so do the kept values");
  return 0;
}
