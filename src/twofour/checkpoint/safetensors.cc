#include "twofour/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <nlohmann/json.hpp>

#include <ATen/ops/from_blob.h>

#include "twofour/base/error.h"
#include "twofour/base/hash.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLargestHeader = 100'000'000;  // as the reference implementation
constexpr int kDeepest = 32;

struct TypeName {
  const char* name;
  at::ScalarType dtype;
};

constexpr std::array<TypeName, 12> kTypes = {{{"F64", at::kDouble},
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
                                              {"F8_E5M2", at::kFloat8_e5m2}}};

const char* name_of(at::ScalarType dtype) {
  for (const TypeName& type : kTypes) {
    if (type.dtype == dtype) return type.name;
  }
  fail("safetensors cannot hold tensors of type {}", c10::toString(dtype));
}

// nlohmann's parser with a limit on nesting and with names given twice refused.
Json parse_header(std::string_view text, const std::string& path) {
  bool too_deep = false;
  std::string repeated;
  std::vector<std::string> names;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    too_deep = too_deep || depth > kDeepest;
    if (event == Json::parse_event_t::key && depth == 1) names.push_back(parsed.get<std::string>());
    return !too_deep;
  };
  Json header;
  try {
    header = Json::parse(text, watch);
  } catch (const Json::exception& error) {
    if (too_deep) fail("cannot read \"{}\": its header is nested too deeply", path);
    fail("cannot read \"{}\": its header is no valid JSON ({})", path,
         printable(error.what(), 120));
  }
  if (too_deep) fail("cannot read \"{}\": its header is nested too deeply", path);
  if (!header.is_object()) {
    fail("cannot read \"{}\": its header is not a JSON object of tensors", path);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    fail("cannot read \"{}\": the tensor \"{}\" is listed twice", path, printable(*twice));
  }
  return header;
}

}  // namespace

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
  const Json header = parse_header(content.substr(8, header_bytes), path);
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      add_entry(name, &value);
      continue;
    }
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
  uint64_t bytes = c10::elementSize(entry.dtype);
  for (const Json& size : value["shape"]) {
    if (!size.is_number_unsigned()) refuse("has a shape that is no list of sizes");
    uint64_t product;
    if (__builtin_mul_overflow(bytes, size.get<uint64_t>(), &product) || product > INT64_MAX) {
      refuse("has a shape too large for any memory");
    }
    bytes = product;
    entry.shape.push_back(size.get<int64_t>());
  }
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

at::Tensor SafetensorsFile::view(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    fail("\"{}\" holds no tensor \"{}\"", path().string(), printable(name));
  }
  const Entry& entry = found->second;
  // An empty tensor at the end of the file has no byte to point at.
  static char nothing[16];
  const bool empty = entry.first == entry.last;
  void* data = empty ? static_cast<void*>(nothing)
                     : const_cast<std::byte*>(file_->data()) + data_start_ + entry.first;
  return at::from_blob(
      data, entry.shape, [file = file_](void*) {}, at::TensorOptions().dtype(entry.dtype));
}

void SafetensorsFile::release(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  file_->release(data_start_ + entry.first, data_start_ + entry.last);
}

std::string write_safetensors(const std::filesystem::path& path,
                              std::span<const TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  auto& fields = header.get_ref<nlohmann::ordered_json::object_t&>();
  if (!metadata.empty()) fields.emplace_back("__metadata__", metadata);
  uint64_t end = 0;
  for (const TensorToWrite& tensor : tensors) {
    const uint64_t first = end;
    end += c10::elementSize(tensor.dtype) *
           static_cast<uint64_t>(c10::multiply_integers(tensor.shape));
    // Appended without looking for the name, which would take quadratic time.
    fields.emplace_back(tensor.name, nlohmann::ordered_json{{"dtype", name_of(tensor.dtype)},
                                                            {"shape", tensor.shape},
                                                            {"data_offsets", {first, end}}});
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned in the mapping
  const uint64_t header_bytes = text.size();
  AtomicFile file(path);
  Hasher hasher;
  const auto write = [&](const void* data, size_t size) {
    hasher.add({static_cast<const char*>(data), size});
    file.write(data, size);
  };
  write(&header_bytes, 8);
  write(text.data(), text.size());
  for (const TensorToWrite& tensor : tensors) {
    const at::Tensor dense = tensor.make().contiguous();
    write(dense.const_data_ptr(), static_cast<size_t>(dense.numel()) * dense.element_size());
  }
  file.commit();
  return hasher.digest();
}

std::string write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::vector<TensorToWrite> all;
  for (const auto& [name, tensor] : tensors) {
    all.push_back({name, tensor.scalar_type(), tensor.sizes().vec(),
                   [&tensor = tensor] { return tensor.detach(); }});
  }
  return write_safetensors(path, all, metadata);
}

}  // namespace twofour::checkpoint
