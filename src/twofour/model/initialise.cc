#include "twofour/model/initialise.h"

#include <cmath>
#include <numbers>

#include "twofour/base/parallel.h"
#include "twofour/base/random.h"

namespace twofour::model {

void fill_normal(at::Tensor& tensor, float deviation, uint64_t seed, uint32_t tensor_index) {
  constexpr int64_t kGrain = 1 << 14;
  const RandomStream stream{seed, 0, tensor_index, RandomStream::kInitialWeights};
  float* values = tensor.mutable_data_ptr<float>();
  const int64_t count = tensor.numel();
  parallel_for(0, (count + 1) / 2, kGrain, [&](int64_t first, int64_t last) {
    for (int64_t pair = first; pair < last; ++pair) {
      const PhiloxBlock bits = stream(static_cast<uint32_t>(pair));
      const double u = (bits[0] + 1.0) * 0x1p-32;  // in (0, 1], so its logarithm is finite
      const double angle = 2.0 * std::numbers::pi * bits[1] * 0x1p-32;
      const double radius = deviation * std::sqrt(-2.0 * std::log(u));
      values[2 * pair] = static_cast<float>(radius * std::cos(angle));
      if (2 * pair + 1 < count) values[2 * pair + 1] = static_cast<float>(radius * std::sin(angle));
    }
  });
}

}  // namespace twofour::model
