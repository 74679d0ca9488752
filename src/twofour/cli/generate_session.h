// A model, its tokenizer and the settings of `generate`, ready to continue one prompt after
// another.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/cli/model_option.h"
#include "twofour/model/generate.h"
#include "twofour/text/tokenizer.h"

namespace twofour::cli {

struct GenerateFlags {
  ModelOption model;
  std::string prompt, prompt_file, prompt_ids, dtype = "float32", weights = "auto";
  std::string overflow = "stop";
  std::vector<std::string> stops;
  std::optional<double> repetition_penalty;
  model::GenerateOptions options;
  int64_t samples = 1;
  bool interactive = false, json = false, stats = false;
};

/// What is continued. Of a token file there are only ids.
struct Prompt {
  std::string text;
  std::vector<int64_t> ids;
};

struct Continuation {
  std::string text;  ///< empty where the prompt is a token file
  std::vector<int64_t> ids;
  model::GenerateResult result;
};

class GenerateSession {
 public:
  /// Loads the tokenizer (unless ids are continued) and the model. `flags` must outlive it.
  explicit GenerateSession(const GenerateFlags& flags);

  Prompt prompt_of(const std::string& text) const;
  /// The ids of a token file; throws where one is outside the model's vocabulary.
  Prompt prompt_of_ids(const std::string& path) const;

  /// Continues the prompt. `print` gets the new text piece by piece, or nothing without a
  /// tokenizer. Ends early when `goes_on` says so.
  Continuation continue_prompt(
      const Prompt& prompt, uint32_t sample, const std::function<void(std::string_view)>& print,
      const std::function<bool()>& goes_on = [] { return true; }) const;

  /// Tokens a second and the memory of the weights.
  nlohmann::ordered_json stats_of(const Prompt& prompt,
                                  const std::vector<Continuation>& samples) const;

  /// Layers kept as Packed24.
  int64_t packed_layers() const { return packed_layers_; }

  /// Takes the weights away and generates as many tokens with dense ones: tokens a second.
  double dense_tokens_per_second(const Prompt& prompt, int64_t tokens);

 private:
  void load();

  const GenerateFlags& flags_;
  checkpoint::ModelFolder folder_;
  std::optional<text::Tokenizer> tokenizer_;
  model::GenerateOptions options_;
  model::Model model_;
  int64_t weight_bytes_ = 0, packed_layers_ = 0;
};

}  // namespace twofour::cli
