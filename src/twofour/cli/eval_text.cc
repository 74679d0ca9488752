#include "twofour/cli/eval_text.h"

#include <optional>
#include <sstream>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/text/document_encoder.h"
#include "twofour/text/token_file.h"
#include "twofour/text/tokenizer.h"

namespace twofour::cli {
namespace {

int64_t count_words(const std::string& text) {
  std::istringstream stream(text);
  int64_t words = 0;
  for (std::string word; stream >> word;) ++words;
  return words;
}

EvalText read_text(const std::string& file, const fs::path& tokenizer_folder, bool bare,
                   text::DocumentOptions options) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(tokenizer_folder);
  options.whole_texts = true;
  text::DocumentFiles files({file}, options);
  EvalText data;
  data.words = 0;
  const auto append = [&](std::span<const int32_t> ids) {
    data.ids.insert(data.ids.end(), ids.begin(), ids.end());
  };
  std::optional<text::DocumentEncoder> documents;
  for (text::Part part; files.next(part);) {
    if (std::string_view(part.text).substr(0, 4096).find('\0') != std::string_view::npos) {
      fail("cannot read \"{}\": it holds NUL bytes, so it is not text; token files are named .bin",
           file);
    }
    *data.words += count_words(part.text);
    if (files.kind() == text::ContentKind::kText) {
      append(bare ? tokenizer.encode(part.text) : tokenizer.encode_with_special(part.text));
      continue;
    }
    if (!documents) documents.emplace(tokenizer, [&](auto ids, bool) { append(ids); });
    documents->add(std::move(part));
  }
  if (documents) documents->finish();
  if (data.ids.empty()) fail("cannot read \"{}\": it holds no text", file);
  return data;
}

}  // namespace

EvalText read_eval_text(const std::string& file, const checkpoint::ModelFolder& folder, bool bare,
                        text::DocumentOptions documents) {
  if (fs::path(file).extension() == ".bin") {
    const int64_t vocabulary = model::sizes_of(folder.config().model).vocabulary;
    return {text::read_token_ids(file, vocabulary), std::nullopt};
  }
  return read_text(file, folder.place().tokenizer, bare, std::move(documents));
}

}  // namespace twofour::cli
