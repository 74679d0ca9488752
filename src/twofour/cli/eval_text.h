// The text on which a model is judged.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "twofour/checkpoint/model_folder.h"
#include "twofour/text/documents.h"

namespace twofour::cli {

struct EvalText {
  std::vector<int64_t> ids;
  std::optional<int64_t> words;  ///< known for text, not for a token file
};

/// The ids of `file`: a token file (.bin), or text for the model's tokenizer. A text is one
/// document; documents in JSON follow each other as in a token file. `bare` leaves out the tokens
/// that the tokenizer adds around a text.
EvalText read_eval_text(const std::string& file, const checkpoint::ModelFolder& folder, bool bare,
                        text::DocumentOptions documents);

}  // namespace twofour::cli
