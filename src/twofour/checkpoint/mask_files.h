// The masks of a sparse model as a file: masks.safetensors beside its weights
// (docs/model-format.md) or MaskLLM's .npz. Both hold one uint8 array `<parameter name>.mask` a
// weight.
//
// In memory a mask is what the files hold: 8 entries a byte, most significant bit first, 1 = kept,
// over the weight as [out, in]; the bits that fill the last byte are 0.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

/// Name of a weight -> [out, in].
using WeightShapes = std::map<std::string, std::vector<int64_t>>;

/// The masks in `path`: a file of either kind, told apart by its content (or the name *.npz), or a
/// folder with masks.safetensors; name of a weight -> mask [ceil(out in / 8)], by name. Throws
/// Error naming file and array for a name that does not end in ".mask", a weight that is not in
/// `shapes`, another dtype, and a mask of another size, shape (where the metadata gives it) or with
/// bits behind its end.
NamedTensors read_masks(const std::filesystem::path& path, const WeightShapes& shapes);

/// Writes masks as .npz where `path` ends so, else as safetensors with the shapes in the metadata;
/// atomically, sorted by name. Reading gives the same bits back. Throws Error as read_masks does.
void write_masks(const std::filesystem::path& path, const NamedTensors& masks,
                 const WeightShapes& shapes);

}  // namespace twofour::checkpoint
