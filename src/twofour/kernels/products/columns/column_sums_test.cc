#include "twofour/kernels/products/columns/column_sums.h"

#include <vector>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

struct SumsShape {
  int64_t depth, columns, rows;
};

TEST(ColumnSums, are_the_products_on_every_instruction_set) {
  for (const SumsShape& shape :
       {SumsShape{0, 5, 32}, SumsShape{1, 1, 32}, SumsShape{7, 8, 64}, SumsShape{128, 9, 64},
        SumsShape{129, 15, 96}, SumsShape{300, 128, 64}, SumsShape{513, 3, 32}}) {
    const int64_t depth = shape.depth, columns = shape.columns, rows = shape.rows;
    const int64_t stride = columns + 2;
    const auto matrix = normal_floats(static_cast<size_t>(depth * stride), 91);
    const auto x = normal_floats(static_cast<size_t>(depth * rows), 92);
    const ColumnSlices slices(matrix.data(), stride, depth, columns);
    for_each_instruction_set_and_thread_count([&](const char* name) {
      std::vector<float> out(static_cast<size_t>(columns * rows), 7.0f);
      column_sums(slices, x.data(), rows, out.data());
      for (int64_t c = 0; c < columns; ++c) {
        for (int64_t r = 0; r < rows; ++r) {
          double expected = 0;
          for (int64_t k = 0; k < depth; ++k) {
            expected += double{matrix[k * stride + c]} * x[k * rows + r];
          }
          ASSERT_NEAR(out[c * rows + r], expected, 1e-4) << name << " " << depth << " " << columns;
        }
      }
    });
  }
}

}  // namespace
}  // namespace twofour::kernels
