// The .bin models of llama2.c (github.com/karpathy/llama2.c, export.py): a header and float32
// tensors without names. Version 0 is 7 int32 and the tensors; version 1 begins with "ak42" as a
// little-endian number and pads its header to 256 bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/base/file.h"

namespace twofour::checkpoint {

struct Llama2cHeader {
  int64_t dim = 0;         ///< width D
  int64_t hidden_dim = 0;  ///< of the feed-forward layers
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t vocabulary = 0;
  int64_t context = 0;
  bool tied = true;  ///< the output matrix is the token embedding

  bool operator==(const Llama2cHeader&) const = default;
};

/// Values that the format lacks and llama2.c assumes.
inline constexpr double kLlama2cNormEpsilon = 1e-5;
inline constexpr double kLlama2cRopeBase = 10000;

/// A model mapped read-only. Its tensors have Hugging Face's names ("model.embed_tokens.weight",
/// "model.layers.0.self_attn.q_proj.weight", …, "lm_head.weight" unless tied).
class Llama2cFile {
 public:
  /// Throws Error with the problem: a header value below 1, sizes that do not divide each other,
  /// another version (2 is 8-bit), or a file that does not have the header's length.
  explicit Llama2cFile(const std::filesystem::path& path);

  const Llama2cHeader& header() const { return header_; }
  const std::filesystem::path& path() const { return file_->path(); }
  std::vector<std::string> names() const;  ///< in the file's order

  /// A read-only view of the file. q_proj and k_proj are copies with rows in Hugging Face's
  /// half-split rotary order instead of the file's interleaved one. Throws Error for an unknown
  /// name.
  at::Tensor tensor(const std::string& name) const;

  /// Lets the tensor's pages leave memory.
  void release(const std::string& name) const;

  /// The cosines and sines of the rotary embedding [context, head size / 2] in version 0; undefined
  /// in version 1. Neither llama2.c nor the loader reads them.
  at::Tensor rope_cosines() const;
  at::Tensor rope_sines() const;

  struct Section {
    std::string name;
    std::vector<int64_t> shape;
    uint64_t first, last;  ///< position in the file in bytes
  };

 private:
  const Section& section(const std::string& name) const;
  at::Tensor view(const Section& section) const;

  std::shared_ptr<MappedFile> file_;
  Llama2cHeader header_;
  std::vector<Section> sections_;
  std::map<std::string, size_t> where_;
};

/// Whether a file can be one: it begins with "ak42", or with seven sizes that match the file's
/// length exactly.
bool is_llama2c(const std::filesystem::path& path);

/// Writes version 0 atomically. `tensor(name)` returns the tensors one by one in the file's order,
/// in any floating-point type, with q_proj and k_proj in half-split order. The two RoPE tables are
/// computed. Throws Error for a header that the reader would refuse and a tensor of another shape.
void write_llama2c(const std::filesystem::path& path, const Llama2cHeader& header,
                   const std::function<at::Tensor(const std::string& name)>& tensor);

}  // namespace twofour::checkpoint
