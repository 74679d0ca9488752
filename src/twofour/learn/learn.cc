#include "twofour/learn/learn.h"

#include <memory>

#include "twofour/learn/mask_learning.h"

namespace twofour::learn {

train::TrainSummary learn(const LearnOptions& options, const std::string& config) {
  check(options);
  return train::train(options.train, config,
                      [&options] { return std::make_unique<MaskLearning>(options); });
}

}  // namespace twofour::learn
