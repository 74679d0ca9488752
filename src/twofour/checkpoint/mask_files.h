// The masks of a sparse model in a file: masks.safetensors beside its weights
// (docs/model-format.md), MaskLLM's .npz, or .t24 (t24.h). The first two hold one uint8 array
// `<parameter name>.mask` per weight.
//
// Masks have the same form in memory: 8 entries a byte, most significant bit first, 1 = kept, over
// the weight as [out, in]; the bits that fill the last byte are 0.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "twofour/checkpoint/safetensors.h"

namespace twofour::checkpoint {

/// Name of a weight -> [out, in].
using WeightShapes = std::map<std::string, std::vector<int64_t>>;

enum class MaskFormat { kSafetensors, kNpz, kT24 };

/// The format that a file's name asks for; empty if its ending is of none.
std::optional<MaskFormat> mask_format_named(const std::filesystem::path& path);

/// The endings of all formats, for messages: ".safetensors, .npz or .t24".
inline constexpr char kMaskEndings[] = ".safetensors, .npz or .t24";

/// The format of a file, by its content or, if that says nothing, its name.
MaskFormat mask_format_of(const std::filesystem::path& path);

/// The masks in `path`: a file of any format or a folder with masks.safetensors. Returns name of a
/// weight -> mask [ceil(out in / 8)], by name. Throws Error with file and array for a name that
/// does not end in ".mask", a weight that is not in `shapes`, another dtype, and a mask of another
/// size, shape (if the file has it) or with bits after its end.
NamedTensors read_masks(const std::filesystem::path& path, const WeightShapes& shapes);

/// The shapes of the weights of a mask file by itself: [out, in] of a .t24 and where the metadata
/// of a safetensors has it, else [entries], filled up to whole bytes. Throws Error as read_masks
/// does, for metadata that is no shape, and for an array without metadata that is not one row of
/// bytes.
WeightShapes shapes_in_mask_file(const std::filesystem::path& path);

/// Writes masks in the format that `path` names, else as safetensors with the shapes in the
/// metadata; atomically, sorted by name. Reading restores the same bits. Throws Error as read_masks
/// does, and for .t24 with the weight and the place of a mask that group_pattern_of
/// (sparse/mask_pattern.h) refuses.
void write_masks(const std::filesystem::path& path, const NamedTensors& masks,
                 const WeightShapes& shapes);

}  // namespace twofour::checkpoint
