// A model, its tokenizer and the settings of `generate`, which continues any number of prompts.
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

/// The prompt. A token file has only ids.
struct Prompt {
  std::string text;
  std::vector<int64_t> ids;
};

struct Continuation {
  std::string text;  ///< empty if the prompt is a token file
  std::vector<int64_t> ids;
  model::GenerateResult result;
};

class GenerateSession {
 public:
  /// Loads the tokenizer (unless the prompt is ids) and the model. `flags` must outlive it.
  explicit GenerateSession(const GenerateFlags& flags);

  Prompt prompt_of(const std::string& text) const;
  /// The ids of a token file. Throws Error for an id outside the model's vocabulary.
  Prompt prompt_of_ids(const std::string& path) const;

  /// Continues the prompt. `print` gets the new text piece by piece, or nothing without a
  /// tokenizer. Ends early if `goes_on` returns false.
  Continuation continue_prompt(
      const Prompt& prompt, uint32_t sample, const std::function<void(std::string_view)>& print,
      const std::function<bool()>& goes_on = [] { return true; }) const;

  /// Tokens/s and the memory of the weights.
  nlohmann::ordered_json stats_of(const Prompt& prompt,
                                  const std::vector<Continuation>& samples) const;

  /// Number of layers kept as Packed24.
  int64_t packed_layers() const { return packed_layers_; }

  /// Replaces the weights by dense ones and generates as many tokens; returns tokens/s.
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
