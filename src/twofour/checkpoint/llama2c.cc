#include "twofour/checkpoint/llama2c.h"

#include <array>
#include <cstring>
#include <utility>

#include <ATen/ops/arange.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>

#include "twofour/base/error.h"

namespace twofour::checkpoint {
namespace {

using Section = Llama2cFile::Section;

constexpr uint32_t kMagic = 0x616b3432;  // "ak42"
constexpr size_t kShortHeader = 28, kLongHeader = 256;
constexpr const char *kCosines = "cosines", *kSines = "sines";

struct Start {
  int version = 0;
  uint64_t header_bytes = kShortHeader;
  Llama2cHeader header;
};

// Throws Error with the reason only; callers add the file.
void check_header(const Llama2cHeader& header) {
  const std::array<std::pair<const char*, int64_t>, 7> sizes = {{{"dim", header.dim},
                                                                 {"hidden_dim", header.hidden_dim},
                                                                 {"n_layers", header.layers},
                                                                 {"n_heads", header.heads},
                                                                 {"n_kv_heads", header.kv_heads},
                                                                 {"vocab_size", header.vocabulary},
                                                                 {"seq_len", header.context}}};
  for (const auto& [name, value] : sizes) {
    if (value < 1 || value > INT32_MAX) fail("{} is {}, which no model has", name, value);
  }
  if (header.dim % header.heads != 0 || header.dim / header.heads % 2 != 0) {
    fail("dim {} is no even multiple of n_heads {}", header.dim, header.heads);
  }
  if (header.heads % header.kv_heads != 0) {
    fail("n_heads {} is no multiple of n_kv_heads {}", header.heads, header.kv_heads);
  }
}

Start read_start(std::string_view content) {
  std::array<int32_t, 9> words{};
  if (content.size() < kShortHeader) fail("it has {} bytes, its header alone 28", content.size());
  std::memcpy(words.data(), content.data(), std::min(sizeof words, content.size()));
  Start start;
  size_t at = 0;
  if (static_cast<uint32_t>(words[0]) == kMagic) {
    if (words[1] != 1) {
      fail("version {} of llama2.c's format is not supported, expected 0 or 1{}", words[1],
           words[1] == 2 ? " (2 holds 8-bit weights)" : "");
    }
    if (content.size() < kLongHeader) fail("it has {} bytes, its header alone 256", content.size());
    start.version = 1;
    start.header_bytes = kLongHeader;
    at = 2;
  }
  Llama2cHeader& header = start.header;
  int64_t* const sizes[] = {&header.dim,      &header.hidden_dim, &header.layers, &header.heads,
                            &header.kv_heads, &header.vocabulary, &header.context};
  for (int64_t* size : sizes) *size = words[at++];
  if (start.version == 1) {
    header.tied = content[sizeof words] != 0;
  } else if (header.vocabulary < 0) {
    header.tied = false;
    header.vocabulary = -header.vocabulary;
  }
  check_header(header);
  return start;
}

// Consecutive sections of a file.
class Layout {
 public:
  Layout(const Start& start) : header_(start.header), end_(start.header_bytes) {}

  void add(const std::string& name, std::vector<int64_t> shape) {
    uint64_t bytes = sizeof(float);
    for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
    sections_.push_back({name, std::move(shape), end_, end_ + bytes});
    end_ += bytes;
  }
  // The same tensor of every layer.
  void add_layers(const std::string& name, const std::vector<int64_t>& shape) {
    for (int64_t i = 0; i < header_.layers; ++i) {
      add(fmt::format("model.layers.{}.{}.weight", i, name), shape);
    }
  }
  void add_attention() {
    const int64_t kv = header_.dim / header_.heads * header_.kv_heads;
    add_layers("self_attn.q_proj", {header_.dim, header_.dim});
    add_layers("self_attn.k_proj", {kv, header_.dim});
    add_layers("self_attn.v_proj", {kv, header_.dim});
    add_layers("self_attn.o_proj", {header_.dim, header_.dim});
  }
  void add_feed_forward() {
    add_layers("mlp.gate_proj", {header_.hidden_dim, header_.dim});
    add_layers("mlp.down_proj", {header_.dim, header_.hidden_dim});
    add_layers("mlp.up_proj", {header_.hidden_dim, header_.dim});
  }
  void add_embedding() { add("model.embed_tokens.weight", {header_.vocabulary, header_.dim}); }
  void add_output() {
    if (!header_.tied) add("lm_head.weight", {header_.vocabulary, header_.dim});
  }
  std::vector<Section> take() { return std::move(sections_); }

 private:
  const Llama2cHeader& header_;
  uint64_t end_;
  std::vector<Section> sections_;
};

std::vector<Section> layout(const Start& start) {
  const Llama2cHeader& header = start.header;
  Layout layout(start);
  if (start.version == 0) layout.add_embedding();
  layout.add_layers("input_layernorm", {header.dim});
  if (start.version == 0) {
    layout.add_attention();
    layout.add_layers("post_attention_layernorm", {header.dim});
    layout.add_feed_forward();
    layout.add("model.norm.weight", {header.dim});
    for (const char* table : {kCosines, kSines}) {
      layout.add(table, {header.context, header.dim / header.heads / 2});
    }
  } else {
    layout.add_layers("post_attention_layernorm", {header.dim});
    layout.add("model.norm.weight", {header.dim});
    layout.add_embedding();
    layout.add_attention();
    layout.add_feed_forward();
  }
  layout.add_output();
  return layout.take();
}

// The length of the file. Each size is below 2^31, so their products need 128 bits.
unsigned __int128 file_bytes(const Start& start) {
  using Wide = unsigned __int128;
  const Llama2cHeader& header = start.header;
  const auto dim = static_cast<Wide>(header.dim), hidden = static_cast<Wide>(header.hidden_dim);
  const auto head = static_cast<Wide>(header.dim / header.heads);
  const Wide kv = head * static_cast<Wide>(header.kv_heads);
  const Wide layer = 2 * dim + 2 * dim * dim + 2 * kv * dim + 3 * hidden * dim;
  const Wide matrix = static_cast<Wide>(header.vocabulary) * dim;
  Wide floats = static_cast<Wide>(header.layers) * layer + dim + matrix * (header.tied ? 1 : 2);
  if (start.version == 0) floats += static_cast<Wide>(header.context) * head;
  return start.header_bytes + floats * sizeof(float);
}

// q_proj and k_proj are rotated in pairs of rows: rows 2i and 2i + 1 of a head in llama2.c, rows i
// and i + head size / 2 in Hugging Face's models.
int64_t rotary_heads(const std::string& name, const Llama2cHeader& header) {
  if (name.ends_with(".q_proj.weight")) return header.heads;
  return name.ends_with(".k_proj.weight") ? header.kv_heads : 0;
}

at::Tensor half_split(const at::Tensor& rows, int64_t heads) {
  return rows.view({heads, -1, 2, rows.size(1)}).transpose(1, 2).reshape(rows.sizes());
}

at::Tensor interleaved(const at::Tensor& rows, int64_t heads) {
  return rows.reshape({heads, 2, -1, rows.size(1)}).transpose(1, 2).reshape(rows.sizes());
}

// The angles as in export.py's model, step by step in float32.
at::Tensor rope_angles(const Llama2cHeader& header) {
  const int64_t head = header.dim / header.heads;
  const at::Tensor exponents = at::arange(0, head, 2, at::kFloat).div(head);
  const at::Tensor frequencies = at::pow(at::Scalar(kLlama2cRopeBase), exponents).reciprocal();
  return at::outer(at::arange(header.context, at::kFloat), frequencies);
}

}  // namespace

Llama2cFile::Llama2cFile(const fs::path& path) : file_(std::make_shared<MappedFile>(path)) {
  Start start;
  try {
    start = read_start(file_->text());
    const auto expected = file_bytes(start);
    if (expected != file_->size()) {
      fail("it has {} bytes, but its header asks for {}", file_->size(),
           expected > UINT64_MAX ? "more than any file has"
                                 : std::to_string(static_cast<uint64_t>(expected)));
    }
  } catch (const Error& error) {
    fail("cannot read \"{}\" as a llama2.c model: {}", path.string(), error.what());
  }
  header_ = start.header;
  sections_ = layout(start);
  for (size_t i = 0; i < sections_.size(); ++i) where_[sections_[i].name] = i;
}

std::vector<std::string> Llama2cFile::names() const {
  std::vector<std::string> names;
  for (const Section& section : sections_) {
    if (section.name != kCosines && section.name != kSines) names.push_back(section.name);
  }
  return names;
}

const Section& Llama2cFile::section(const std::string& name) const {
  const auto found = where_.find(name);
  if (found == where_.end()) {
    fail("\"{}\" holds no tensor \"{}\"", path().string(), printable(name));
  }
  return sections_[found->second];
}

at::Tensor Llama2cFile::view(const Section& section) const {
  auto* data = const_cast<std::byte*>(file_->data()) + section.first;
  return at::from_blob(
      data, section.shape, [file = file_](void*) {}, at::kFloat);
}

at::Tensor Llama2cFile::tensor(const std::string& name) const {
  const at::Tensor stored = view(section(name));
  const int64_t heads = rotary_heads(name, header_);
  return heads == 0 ? stored : half_split(stored, heads);
}

void Llama2cFile::release(const std::string& name) const {
  file_->release(section(name).first, section(name).last);
}

at::Tensor Llama2cFile::rope_cosines() const {
  return where_.count(kCosines) ? view(section(kCosines)) : at::Tensor();
}

at::Tensor Llama2cFile::rope_sines() const {
  return where_.count(kSines) ? view(section(kSines)) : at::Tensor();
}

bool is_llama2c(const fs::path& path) {
  const MappedFile file(path);
  uint32_t first = 0;
  std::memcpy(&first, file.data(), std::min(sizeof first, file.size()));
  if (first == kMagic) return true;
  try {
    return file_bytes(read_start(file.text())) == file.size();
  } catch (const Error&) {
    return false;
  }
}

void write_llama2c(const fs::path& path, const Llama2cHeader& header,
                   const std::function<at::Tensor(const std::string& name)>& tensor) {
  Start start;
  start.header = header;
  try {
    check_header(header);
  } catch (const Error& error) {
    fail("cannot write \"{}\" as a llama2.c model: {}", path.string(), error.what());
  }
  AtomicFile file(path);
  const int64_t vocabulary = header.tied ? header.vocabulary : -header.vocabulary;
  for (const int64_t size : {header.dim, header.hidden_dim, header.layers, header.heads,
                             header.kv_heads, vocabulary, header.context}) {
    const auto word = static_cast<int32_t>(size);
    file.write(&word, sizeof word);
  }
  const at::Tensor angles = rope_angles(header);
  for (const Section& section : layout(start)) {
    const bool is_table = section.name == kCosines || section.name == kSines;
    at::Tensor values = is_table ? section.name == kCosines ? angles.cos() : angles.sin()
                                 : tensor(section.name).to(at::kFloat);
    if (values.sizes() != section.shape) {
      fail("cannot write \"{}\": tensor \"{}\" is {}, its header asks for {}", path.string(),
           section.name, fmt::join(values.sizes(), "x"), fmt::join(section.shape, "x"));
    }
    const int64_t heads = rotary_heads(section.name, header);
    if (heads > 0) values = interleaved(values, heads);
    values = values.contiguous();
    file.write(values.const_data_ptr(), values.nbytes());
  }
  file.commit();
}

}  // namespace twofour::checkpoint
