// Masks put on a model when it is read, so that one dense model on disk serves several masks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/checkpoint/model_weights.h"

namespace twofour::checkpoint {

/// The weights of another model with +0 where masks remove entries. All other bits stay.
class MaskedWeights final : public ModelWeights {
 public:
  struct Mask {
    at::Tensor bits;             ///< in the form of mask_files.h, over [out, in]
    bool is_transposed = false;  ///< whether the weight is stored as [in, out]
  };

  /// `masks` are by stored name. Throws Error for a name that `weights` lacks and a mask of another
  /// size.
  MaskedWeights(std::shared_ptr<const ModelWeights> weights, std::map<std::string, Mask> masks);

  std::vector<std::string> names_as_stored() const override { return source_->names_as_stored(); }
  /// A masked tensor is made at each call.
  at::Tensor view(const std::string& name) const override;
  at::Tensor mask(const std::string& name) const override;
  void release(const std::string& name) const override { source_->release(name); }
  std::vector<std::string> warnings() const override { return source_->warnings(); }

 private:
  std::shared_ptr<const ModelWeights> source_;
  std::map<std::string, Mask> masks_;
};

}  // namespace twofour::checkpoint
