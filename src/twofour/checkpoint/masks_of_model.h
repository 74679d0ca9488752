// The masks that a model folder holds or implies, in the form of mask_files.h.
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

/// Those that were put on the folder, and for the other weights its own: masks.safetensors, the
/// bitmasks of compressed weights, or a checkpoint's. By name; empty if there are none. Throws
/// Error as read_masks does.
NamedTensors stored_masks(const ModelFolder& folder);

/// The names of all linear weights, in the model's order.
std::vector<std::string> linear_names(const model::ModelConfig& config);

}  // namespace twofour::checkpoint
