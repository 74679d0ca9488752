#include "twofour/cli/convert_tokens.h"

#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/text/token_file.h"

namespace twofour::cli {
namespace {

constexpr int64_t kTokensAtOnce = 1 << 16;

void for_pieces(const text::TokenFile& file,
                const std::function<void(std::span<const int64_t>)>& fn) {
  std::vector<int64_t> ids(kTokensAtOnce);
  for (int64_t first = 0; first < file.size(); first += kTokensAtOnce) {
    const std::span<int64_t> piece(ids.data(), std::min(kTokensAtOnce, file.size() - first));
    file.read(first, piece);
    fn(piece);
  }
}

struct Known {
  int64_t vocabulary = 0, documents = 0;
  std::string tokenizer_hash;
};

Known find_out(text::TokenFile& file, const std::optional<text::Tokenizer>& tokenizer) {
  int64_t largest = 0, ends = 0;
  const int64_t end = tokenizer ? tokenizer->end_of_text().value_or(-1) : -1;
  for_pieces(file, [&](std::span<const int64_t> ids) {
    largest = std::max(largest, *std::max_element(ids.begin(), ids.end()));
    ends += std::count(ids.begin(), ids.end(), end);
  });
  const text::TokenFileInfo& info = file.info();
  Known known = {info.vocabulary_size, info.documents, info.tokenizer_hash};
  if (tokenizer && !known.tokenizer_hash.empty() && !tokenizer->has_hash(known.tokenizer_hash)) {
    fail("\"{}\" was made by another tokenizer", file.path().string());
  }
  if (known.documents > file.size()) {
    fail("cannot read \"{}\": its .json says {} documents of {} tokens", file.path().string(),
         known.documents, file.size());
  }
  if (tokenizer && known.vocabulary == 0) {
    known = {tokenizer->vocabulary_size(), ends, tokenizer->hash()};
  }
  if (known.vocabulary == 0) known.vocabulary = largest + 1;
  file.check(known.vocabulary);
  return known;
}

}  // namespace

void convert_tokens(const fs::path& in, const fs::path& out, bool with_json,
                    const std::optional<text::Tokenizer>& tokenizer) {
  text::TokenFile file = text::TokenFile::open(in);
  const Known known = find_out(file, tokenizer);
  text::TokenFileWriter writer(out, static_cast<int32_t>(known.vocabulary), known.tokenizer_hash,
                               with_json);
  for (int64_t i = 0; i < known.documents; ++i) writer.end_document();
  for_pieces(file, [&](std::span<const int64_t> ids) {
    const std::vector<int32_t> narrow(ids.begin(), ids.end());
    writer.append(narrow);
  });
  writer.commit();
}

}  // namespace twofour::cli
