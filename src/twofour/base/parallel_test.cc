#include "twofour/base/parallel.h"

#include <atomic>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace twofour {
namespace {

TEST(ParallelFor, visits_every_item_once_for_any_thread_count) {
  const int before = thread_count();
  for (int threads : {1, 2, 3, 8}) {
    set_thread_count(threads);
    for (int64_t items : {0, 1, 5, 64, 1001}) {
      for (int64_t grain : {1, 7, 64, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(items));
        parallel_for(0, items, grain, [&](int64_t first, int64_t last) {
          EXPECT_EQ(first % grain, 0);
          for (int64_t i = first; i < last; ++i) ++visits[static_cast<size_t>(i)];
        });
        for (const auto& count : visits) ASSERT_EQ(count, 1);
      }
    }
  }
  set_thread_count(before);
}

TEST(ParallelFor, passes_an_exception_on) {
  EXPECT_THROW(parallel_for(0, 100, 1, [](int64_t, int64_t) { throw std::runtime_error("x"); }),
               std::runtime_error);
}

}  // namespace
}  // namespace twofour
