#include "twofour/model/sizes.h"

#include "twofour/base/error.h"

namespace twofour::model {

void check_sizes(const Sizes& sizes) {
  const auto positive = [](const char* name, int64_t value) {
    if (value <= 0) fail_usage("{} must be positive, not {}", name, value);
  };
  positive("vocabulary", sizes.vocabulary);
  positive("context", sizes.context);
  positive("width", sizes.width);
  positive("layers", sizes.layers);
  positive("heads", sizes.heads);
  positive("key-value heads", sizes.key_value_heads);
  positive("head width", sizes.head_width);
  positive("feed-forward", sizes.feed_forward);
  if (sizes.heads % sizes.key_value_heads != 0) {
    fail_usage("{} heads are not divisible by {} key-value heads", sizes.heads,
               sizes.key_value_heads);
  }
}

void check_sizes_of_whole_heads(const Sizes& sizes) {
  if (sizes.heads > 0 && sizes.width > 0 && sizes.width % sizes.heads != 0) {
    fail_usage("width {} is not divisible by the number of heads {}", sizes.width, sizes.heads);
  }
  check_sizes(sizes);
}

}  // namespace twofour::model
