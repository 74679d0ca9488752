// All architectures of the program, one row of a table each. A new one is a folder beside this
// file, its configuration in ModelConfig and its row in architectures.cc.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include <nlohmann/json.hpp>

#include "twofour/model/gpt2/gpt2_config.h"
#include "twofour/model/gpt_neox/gpt_neox_config.h"
#include "twofour/model/llama/llama_config.h"
#include "twofour/model/network.h"
#include "twofour/model/opt/opt_config.h"
#include "twofour/model/qwen3/qwen3_config.h"

namespace twofour::model {

using ModelConfig = std::variant<Gpt2Config, LlamaConfig, GptNeoXConfig, OptConfig, Qwen3Config>;

/// The properties of the files of a model_type.
struct Architecture {
  std::string_view model_type;    ///< in config.json
  std::string_view class_prefix;  ///< of transformers' class names, as "GPT2"
  /// The prefix of most parameters' names; published files may lack it.
  std::string_view prefix;
  /// Parts of the names of stored tensors that are no parameters but follow from the configuration:
  /// causal masks, rotary tables.
  std::span<const std::string_view> buffers;
  /// The token embedding and the output matrix; files of a tied model may hold both.
  std::string_view embedding;
  std::string_view output = "lm_head.weight";
  /// Whether files hold the named weight as [in, out] (transformers' Conv1D); null: none.
  bool (*is_transposed)(std::string_view name) = nullptr;
  ModelConfig (*read)(ConfigReader& reader) = nullptr;  ///< reads config.json
};

std::span<const Architecture> architectures();

/// Null for an unknown model_type.
const Architecture* find_architecture(std::string_view model_type);
const Architecture& architecture_of(const ModelConfig& config);

std::string model_type_of(const ModelConfig& config);
Sizes sizes_of(const ModelConfig& config);
/// The same architecture with other sizes.
ModelConfig with_sizes(ModelConfig config, const Sizes& sizes);
/// The architecture's usual feed-forward width for a width.
int64_t usual_feed_forward(const ModelConfig& config, int64_t width);
/// Throws Error (usage) for impossible sizes, naming the two that disagree.
void check(const ModelConfig& config);
/// The fields of config.json that describe the architecture, for transformers 4 and 5.
nlohmann::ordered_json config_json(const ModelConfig& config);

/// A network whose parameters outside the blocks have shapes and no values; those of the blocks are
/// undefined. Throws Error (usage) for impossible sizes.
std::unique_ptr<Network> make_network(const ModelConfig& config, const at::TensorOptions& options);

}  // namespace twofour::model
