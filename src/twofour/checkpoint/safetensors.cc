#include "twofour/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <nlohmann/json.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "twofour/base/error.h"
#include "twofour/base/hash.h"
#include "twofour/checkpoint/json_file.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLargestHeader = 100'000'000;  // as in the reference implementation
constexpr size_t kMostDimensions = 64;            // as in ATen

struct TypeName {
  const char* name;
  at::ScalarType dtype;
};

constexpr std::array<TypeName, 19> kTypes = {{{"F64", at::kDouble},
                                              {"F32", at::kFloat},
                                              {"F16", at::kHalf},
                                              {"BF16", at::kBFloat16},
                                              {"I64", at::kLong},
                                              {"I32", at::kInt},
                                              {"I16", at::kShort},
                                              {"I8", at::kChar},
                                              {"U8", at::kByte},
                                              {"BOOL", at::kBool},
                                              {"F8_E4M3", at::kFloat8_e4m3fn},
                                              {"F8_E5M2", at::kFloat8_e5m2},
                                              {"F8_E4M3FNUZ", at::kFloat8_e4m3fnuz},
                                              {"F8_E5M2FNUZ", at::kFloat8_e5m2fnuz},
                                              {"F8_E8M0", at::kFloat8_e8m0fnu},
                                              {"U16", at::kUInt16},
                                              {"U32", at::kUInt32},
                                              {"U64", at::kUInt64},
                                              {"C64", at::kComplexFloat}}};

const char* name_of(at::ScalarType dtype) {
  for (const TypeName& type : kTypes) {
    if (type.dtype == dtype) return type.name;
  }
  fail("safetensors cannot hold tensors of type {}", c10::toString(dtype));
}

// Padded so that the data begins at a multiple of 8.
std::string make_header(const std::vector<const TensorToWrite*>& tensors,
                        const Metadata& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t end = 0;
  for (const TensorToWrite* tensor : tensors) {
    const uint64_t first = end;
    end += tensor->bytes();
    // header[name] = … would search all names each time.
    auto& object = header.get_ref<nlohmann::ordered_json::object_t&>();
    object.push_back({tensor->name,
                      {{"dtype", name_of(tensor->dtype)},
                       {"shape", tensor->shape},
                       {"data_offsets", {first, end}}}});
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

uint64_t TensorToWrite::bytes() const {
  uint64_t bytes = c10::elementSize(dtype);
  for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
  return bytes;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(std::make_shared<MappedFile>(path)) {
  read_header();
}

void SafetensorsFile::read_header() {
  const std::string path = file_->path().string();
  const std::string_view content = file_->text();
  if (content.size() < 8) {
    fail("cannot read \"{}\": it has {} bytes, a safetensors file at least 8", path,
         content.size());
  }
  uint64_t header_bytes;
  std::memcpy(&header_bytes, content.data(), 8);
  if (header_bytes > kLargestHeader || header_bytes > content.size() - 8) {
    fail("cannot read \"{}\": its header should be {} bytes long, but the file has {}", path,
         header_bytes, content.size());
  }
  data_start_ = 8 + header_bytes;
  const Json header =
      parse_json_object(content.substr(8, header_bytes), file_->path(), "its header");
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      add_entry(name, &value);
      continue;
    }
    if (value.is_null()) continue;
    if (!value.is_object()) fail("cannot read \"{}\": its metadata is no object", path);
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail("cannot read \"{}\": its metadata holds more than text", path);
      metadata_[key] = text.get<std::string>();
    }
  }
  check_layout(content.size() - data_start_);
}

void SafetensorsFile::add_entry(const std::string& name, const void* json) {
  const Json& value = *static_cast<const Json*>(json);
  const auto refuse = [&](const std::string& reason) {
    fail("cannot read \"{}\": tensor \"{}\" {}", path().string(), printable(name), reason);
  };
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
      !value.contains("shape") || !value["shape"].is_array() || !value.contains("data_offsets") ||
      !value["data_offsets"].is_array() || value["data_offsets"].size() != 2) {
    refuse("lacks a dtype, a shape or two data_offsets");
  }
  const auto dtype = value["dtype"].get<std::string>();
  const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                 [&](const TypeName& known) { return dtype == known.name; });
  if (type == kTypes.end()) refuse("has the unknown dtype " + printable(dtype));
  Entry entry{type->dtype, {}, 0, 0};
  if (value["shape"].size() > kMostDimensions) refuse("has more than 64 dimensions");
  // Strides must not overflow either, so a size of 0 does not excuse the others.
  uint64_t bytes = c10::elementSize(entry.dtype);
  bool empty = false;
  for (const Json& size : value["shape"]) {
    if (!size.is_number_unsigned()) refuse("has a shape that is no list of sizes");
    const auto count = size.get<uint64_t>();
    empty = empty || count == 0;
    if (__builtin_mul_overflow(bytes, std::max<uint64_t>(count, 1), &bytes) || bytes > INT64_MAX) {
      refuse("has a shape too large for any memory");
    }
    entry.shape.push_back(static_cast<int64_t>(count));
  }
  if (empty) bytes = 0;
  const Json& offsets = value["data_offsets"];
  if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    refuse("has data_offsets that are no positions");
  }
  entry.first = offsets[0].get<uint64_t>();
  entry.last = offsets[1].get<uint64_t>();
  if (entry.last < entry.first) refuse("ends before it begins");
  if (entry.last - entry.first != bytes) {
    refuse(fmt::format("takes {} bytes, but its dtype and shape need {}", entry.last - entry.first,
                       bytes));
  }
  entries_.emplace(name, std::move(entry));
}

void SafetensorsFile::check_layout(uint64_t data_bytes) const {
  std::vector<std::pair<const Entry*, const std::string*>> in_order;
  for (const auto& [name, entry] : entries_) in_order.emplace_back(&entry, &name);
  std::sort(in_order.begin(), in_order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->first, a.first->last) < std::pair(b.first->first, b.first->last);
  });
  uint64_t end = 0;
  for (const auto& [entry, name] : in_order) {
    if (entry->last > data_bytes) {
      fail("cannot read \"{}\": tensor \"{}\" ends at byte {} but the file has {}", path().string(),
           printable(*name), data_start_ + entry->last, data_start_ + data_bytes);
    }
    if (entry->first != end) {
      fail("cannot read \"{}\": tensor \"{}\" begins at data byte {}, expected {}: {}",
           path().string(), printable(*name), entry->first, end,
           entry->first < end ? "tensors overlap" : "bytes belong to no tensor");
    }
    end = entry->last;
  }
  if (end != data_bytes) {
    fail("cannot read \"{}\": {} bytes follow the last tensor", path().string(), data_bytes - end);
  }
}

const SafetensorsFile::Entry& SafetensorsFile::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    fail("\"{}\" holds no tensor \"{}\"", path().string(), printable(name));
  }
  return found->second;
}

at::Tensor SafetensorsFile::view(const std::string& name) const {
  const Entry& stored = entry(name);
  const auto options = at::TensorOptions().dtype(stored.dtype);
  const size_t bytes = stored.last - stored.first;
  if (bytes == 0) return at::empty(stored.shape, options);
  auto* data = const_cast<std::byte*>(file_->data()) + data_start_ + stored.first;
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(stored.dtype) != 0) {
    const at::Tensor copy = at::empty(stored.shape, options);
    std::memcpy(copy.mutable_data_ptr(), data, bytes);
    return copy;
  }
  return at::from_blob(
      data, stored.shape, [file = file_](void*) {}, options);
}

void SafetensorsFile::release(const std::string& name) const {
  const Entry& stored = entry(name);
  file_->release(data_start_ + stored.first, data_start_ + stored.last);
}

SafetensorsLayout layout_of(std::span<const TensorToWrite> tensors, const Metadata& metadata) {
  // Large elements come first, so every tensor is aligned in the mapping without holes.
  SafetensorsLayout layout;
  for (const TensorToWrite& tensor : tensors) layout.order.push_back(&tensor);
  std::stable_sort(layout.order.begin(), layout.order.end(), [](const auto* a, const auto* b) {
    return c10::elementSize(a->dtype) > c10::elementSize(b->dtype);
  });
  const std::string text = make_header(layout.order, metadata);
  const uint64_t header_bytes = text.size();
  layout.head.assign(reinterpret_cast<const char*>(&header_bytes), 8);
  layout.head += text;
  layout.size = layout.head.size();
  for (const TensorToWrite* tensor : layout.order) {
    layout.begin[tensor->name] = layout.size;
    layout.size += tensor->bytes();
  }
  return layout;
}

void check_announced(const TensorToWrite& announced, const at::Tensor& tensor,
                     const fs::path& path) {
  if (tensor.scalar_type() == announced.dtype && tensor.sizes() == announced.shape) return;
  fail("cannot write \"{}\": tensor \"{}\" was announced as {} {}, but is {} {}", path.string(),
       printable(announced.name), c10::toString(announced.dtype), fmt::join(announced.shape, "x"),
       c10::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), "x"));
}

std::string write_safetensors(const fs::path& path, std::span<const TensorToWrite> tensors,
                              const Metadata& metadata) {
  const SafetensorsLayout layout = layout_of(tensors, metadata);
  AtomicFile file(path);
  Hasher hasher;
  const auto write = [&](const void* data, size_t size) {
    hasher.add({static_cast<const char*>(data), size});
    file.write(data, size);
  };
  write(layout.head.data(), layout.head.size());
  for (const TensorToWrite* tensor : layout.order) {
    const at::Tensor made = tensor->make().detach().contiguous();
    check_announced(*tensor, made, path);
    write(made.const_data_ptr(), made.nbytes());
  }
  file.commit();
  return hasher.digest();
}

std::string write_safetensors(const fs::path& path, const NamedTensors& tensors,
                              const Metadata& metadata) {
  return write_safetensors(path, tensors_to_write(tensors), metadata);
}

std::vector<TensorToWrite> tensors_to_write(const NamedTensors& tensors) {
  std::vector<TensorToWrite> all;
  for (const auto& [name, tensor] : tensors) {
    all.push_back(
        {name, tensor.scalar_type(), tensor.sizes().vec(), [tensor = tensor] { return tensor; }});
  }
  return all;
}

}  // namespace twofour::checkpoint
