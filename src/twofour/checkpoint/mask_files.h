// The masks of a sparse model in a file: masks.safetensors beside its weights
// (docs/model-format.md) or MaskLLM's .npz. Both hold one uint8 array `<parameter name>.mask` per
// weight.
//
// Masks have the same form in memory: 8 entries a byte, most significant bit first, 1 = kept, over
// the weight as [out, in]; the bits that fill the last byte are 0.
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

/// The masks in `path`: a file of either kind, recognised by its content (or the name *.npz), or a
/// folder with masks.safetensors. Returns name of a weight -> mask [ceil(out in / 8)], by name.
/// Throws Error with file and array for a name that does not end in ".mask", a weight that is not
/// in `shapes`, another dtype, and a mask of another size, shape (if the metadata has it) or with
/// bits after its end.
NamedTensors read_masks(const std::filesystem::path& path, const WeightShapes& shapes);

/// The shapes of the weights of a mask file by itself: [out, in] where the metadata of a
/// safetensors has it, else [entries], filled up to whole bytes. Throws Error as read_masks does,
/// for metadata that is no shape, and for an array without metadata that is not one row of bytes.
WeightShapes shapes_in_mask_file(const std::filesystem::path& path);

/// Writes masks as .npz if `path` ends in it, else as safetensors with the shapes in the metadata;
/// atomically, sorted by name. Reading restores the same bits. Throws Error as read_masks does.
void write_masks(const std::filesystem::path& path, const NamedTensors& masks,
                 const WeightShapes& shapes);

}  // namespace twofour::checkpoint
