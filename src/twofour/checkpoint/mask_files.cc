#include "twofour/checkpoint/mask_files.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/checkpoint/npz.h"
#include "twofour/checkpoint/t24.h"
#include "twofour/sparse/mask_pattern.h"
#include "twofour/sparse/masks.h"

namespace twofour::checkpoint {
namespace {

constexpr std::string_view kSuffix = ".mask";

std::string shape_in_metadata(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::vector<int64_t> shape_from_metadata(const std::string& text, const std::string& array,
                                         const fs::path& path) {
  const auto shape = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto is_size = [](const nlohmann::json& size) {
    return size.is_number_unsigned() && size.get<uint64_t>() > 0 &&
           size.get<uint64_t>() <= INT32_MAX;
  };
  if (shape.is_array() && shape.size() == 2 && std::all_of(shape.begin(), shape.end(), is_size)) {
    return shape.get<std::vector<int64_t>>();
  }
  fail("cannot read \"{}\": the shape of \"{}\" in its metadata is \"{}\"", path.string(),
       printable(array), printable(text));
}

// The weight of a mask's array.
std::string weight_of(const std::string& array, const fs::path& path) {
  if (!array.ends_with(kSuffix)) {
    fail("cannot read \"{}\": array \"{}\" is no mask, expected a name that ends in \"{}\"",
         path.string(), printable(array), kSuffix);
  }
  return array.substr(0, array.size() - kSuffix.size());
}

int64_t entries_in_mask(const std::string& weight, const fs::path& path,
                        const WeightShapes& shapes) {
  const auto shape = shapes.find(weight);
  if (shape == shapes.end()) {
    fail("\"{}\" holds a mask of \"{}\", but the model has no such weight", path.string(),
         printable(weight));
  }
  return c10::multiply_integers(shape->second);
}

void check_type_and_size(at::ScalarType dtype, const std::vector<int64_t>& packed,
                         const std::string& weight, int64_t entries, const fs::path& path) {
  const int64_t bytes = c10::multiply_integers(packed);
  if (dtype == at::kByte && bytes == (entries + 7) / 8) return;
  fail("\"{}\": the mask of \"{}\" is {} {}, but the weight's {} entries need {} bytes",
       path.string(), printable(weight), c10::toString(dtype), shape_in_metadata(packed), entries,
       (entries + 7) / 8);
}

void check_last_byte(const at::Tensor& mask, const std::string& weight, int64_t entries,
                     const fs::path& path) {
  const int64_t in_last = entries % 8;
  if (in_last == 0) return;
  const auto last = mask.const_data_ptr<uint8_t>()[mask.numel() - 1];
  if ((last & (255 >> in_last)) == 0) return;
  fail("\"{}\": the mask of \"{}\" has bits behind the weight's last entry", path.string(),
       printable(weight));
}

// The common part of both kinds of file. `read` returns the array.
template <class Entries, class Read>
NamedTensors read_all(const fs::path& path, const Entries& entries, const WeightShapes& shapes,
                      Read&& read) {
  NamedTensors masks;
  for (const auto& [array, entry] : entries) {
    const std::string weight = weight_of(array, path);
    const int64_t size = entries_in_mask(weight, path, shapes);
    check_type_and_size(entry.dtype, entry.shape, weight, size, path);
    at::Tensor mask = read(array).contiguous().view({-1});
    check_last_byte(mask, weight, size, path);
    masks.emplace_back(weight, std::move(mask));
  }
  return masks;
}

void check_metadata(const SafetensorsFile& file, const WeightShapes& shapes) {
  for (const auto& [array, entry] : file.entries()) {
    const auto stored = file.metadata().find(array);
    if (stored == file.metadata().end()) continue;
    const std::string weight = weight_of(array, file.path());
    const auto shape = shapes.find(weight);
    if (shape != shapes.end() && stored->second != shape_in_metadata(shape->second)) {
      fail("\"{}\": the mask of \"{}\" is for {}, but the weight is {}", file.path().string(),
           printable(weight), printable(stored->second), shape_in_metadata(shape->second));
    }
  }
}

NamedTensors read_t24(const fs::path& path, const WeightShapes& shapes) {
  const T24File file(path);
  NamedTensors masks;
  for (const auto& [weight, entry] : file.entries()) {
    entries_in_mask(weight, path, shapes);
    const std::vector<int64_t> shape = {entry.rows, entry.columns}, &expected = shapes.at(weight);
    if (shape != expected) {
      fail("\"{}\": the mask of \"{}\" is for {}, but the weight is {}", path.string(),
           printable(weight), shape_in_metadata(shape), shape_in_metadata(expected));
    }
    masks.emplace_back(weight, file.read(weight));
  }
  return masks;
}

T24Mask t24_mask(const std::string& weight, const at::Tensor& mask,
                 const std::vector<int64_t>& shape, const fs::path& path) {
  try {
    if (shape.size() != 2) fail("the weight is no matrix");
    const at::Tensor bytes = sparse::unpacked_mask(mask, shape);
    const sparse::GroupPattern pattern =
        sparse::group_pattern_of(bytes.const_data_ptr<uint8_t>(), shape[0], shape[1]);
    return {weight, shape[0], shape[1], pattern.kept, pattern.group, [mask] { return mask; }};
  } catch (const Error& error) {
    fail("cannot write \"{}\": the mask of \"{}\" is not N:M: {}; .safetensors and .npz hold any",
         path.string(), printable(weight), error.what());
  }
}

// The entries of a mask without metadata. Arrays that are no packed bits would show as masks of
// another size.
int64_t entries_in_bytes(const std::vector<int64_t>& packed, const std::string& array,
                         const fs::path& path) {
  if (packed.size() == 1 && packed[0] > 0) return 8 * packed[0];
  fail(
      "cannot read \"{}\": array \"{}\" is {}, expected bits packed into one row of bytes, as "
      "numpy.packbits does",
      path.string(), printable(array), shape_in_metadata(packed));
}

}  // namespace

std::optional<MaskFormat> mask_format_named(const fs::path& path) {
  const fs::path ending = path.extension();
  if (ending == ".safetensors") return MaskFormat::kSafetensors;
  if (ending == ".npz") return MaskFormat::kNpz;
  if (ending == ".t24") return MaskFormat::kT24;
  return {};
}

MaskFormat mask_format_of(const fs::path& path) {
  const MappedFile file(path);
  if (is_t24(file.text())) return MaskFormat::kT24;
  if (file.text().starts_with("PK")) return MaskFormat::kNpz;
  return mask_format_named(path).value_or(MaskFormat::kSafetensors);
}

NamedTensors read_masks(const fs::path& path, const WeightShapes& shapes) {
  const fs::path file_path = fs::is_directory(path) ? path / "masks.safetensors" : path;
  const MaskFormat format = mask_format_of(file_path);
  if (format == MaskFormat::kT24) return read_t24(file_path, shapes);
  if (format == MaskFormat::kNpz) {
    const NpzFile file(file_path);
    return read_all(file_path, file.entries(), shapes,
                    [&](const std::string& array) { return file.read(array); });
  }
  const SafetensorsFile file(file_path);
  check_metadata(file, shapes);
  return read_all(file_path, file.entries(), shapes,
                  [&](const std::string& array) { return file.view(array); });
}

WeightShapes shapes_in_mask_file(const fs::path& path) {
  WeightShapes shapes;
  const auto add = [&](const auto& file, const Metadata& metadata) {
    for (const auto& [array, entry] : file.entries()) {
      const auto text = metadata.find(array);
      shapes[weight_of(array, path)] =
          text == metadata.end() ? std::vector<int64_t>{entries_in_bytes(entry.shape, array, path)}
                                 : shape_from_metadata(text->second, array, path);
    }
  };
  const MaskFormat format = mask_format_of(path);
  if (format == MaskFormat::kT24) {
    const T24File file(path);
    for (const auto& [weight, entry] : file.entries()) shapes[weight] = {entry.rows, entry.columns};
  } else if (format == MaskFormat::kNpz) {
    add(NpzFile(path), {});
  } else {
    const SafetensorsFile file(path);
    add(file, file.metadata());
  }
  return shapes;
}

void write_masks(const fs::path& path, const NamedTensors& masks, const WeightShapes& shapes) {
  std::map<std::string, at::Tensor> flat;  // by name
  for (const auto& [weight, mask] : masks) {
    const int64_t size = entries_in_mask(weight, path, shapes);
    check_type_and_size(mask.scalar_type(), mask.sizes().vec(), weight, size, path);
    flat[weight] = mask.contiguous().view({-1});
    check_last_byte(flat[weight], weight, size, path);
  }
  const auto format = mask_format_named(path).value_or(MaskFormat::kSafetensors);
  if (format == MaskFormat::kT24) {
    std::vector<T24Mask> all;
    for (const auto& [weight, mask] : flat) {
      all.push_back(t24_mask(weight, mask, shapes.at(weight), path));
    }
    return write_t24(path, all);
  }
  NamedTensors arrays;
  Metadata metadata;
  for (const auto& [weight, mask] : flat) {
    arrays.emplace_back(weight + std::string(kSuffix), mask);
    metadata[arrays.back().first] = shape_in_metadata(shapes.at(weight));
  }
  if (format == MaskFormat::kNpz) {
    write_npz(path, arrays);
  } else {
    write_safetensors(path, arrays, metadata);
  }
}

}  // namespace twofour::checkpoint
