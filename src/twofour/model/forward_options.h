#pragma once

namespace twofour::model {

struct ForwardOptions {
  bool recompute_activations =
      false;  ///< keep only each block's input; run the block again in backward
};

}  // namespace twofour::model
