// The masks that a model folder holds or implies, and masks applied to a model. Masks have the form
// of mask_files.h.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/mask_files.h"
#include "twofour/checkpoint/model_folder.h"

namespace twofour::checkpoint {

/// The values as integers of their size, so that bits can be compared in every dtype.
at::Tensor as_bits(const at::Tensor& values);

/// Which values are not zero, NaN included, in any dtype: bool.
at::Tensor is_nonzero(const at::Tensor& values);

/// The mask of the nonzero entries of a weight [out, in].
at::Tensor mask_of_nonzero(const at::Tensor& weight);

/// The masks of the nonzero entries of every linear layer with at least a tenth of zeros. Reads one
/// weight at a time.
NamedTensors masks_of_zeros(const ModelFolder& folder);

/// The folder's own: masks.safetensors, the bitmasks of compressed weights, or a checkpoint's.
/// Empty if it has none. Throws Error as read_masks does.
NamedTensors stored_masks(const ModelFolder& folder);

/// The names of all linear weights, in the model's order.
std::vector<std::string> linear_names(const model::ModelConfig& config);

/// Sets the entries that `masks` remove to +0 when the tensors are made, and adds the masks to the
/// source's, in place of earlier ones of the same weights. All other bits stay. Throws Error for a
/// mask whose weight the source lacks, or of another size.
void apply_masks(ModelSource& source, const NamedTensors& masks);

}  // namespace twofour::checkpoint
