#include "twofour/text/bpe_model.h"

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/vocabulary.h"

namespace twofour::text {

// An unknown character waits until it is known whether the next one is unknown too.
struct BpeModel::Unknown {
  const BpeModel& model;
  std::vector<int32_t>& symbols;
  bool pending = false;

  void flush() {
    if (pending) symbols.push_back(*model.unknown_);
    pending = false;
  }
  void add() {
    if (!model.parts_.unknown_token) return;
    if (!model.unknown_) {
      fail("the text has an unknown character, and the unknown token \"{}\" is no piece",
           printable(*model.parts_.unknown_token));
    }
    if (!model.parts_.fuse_unknown) flush();
    pending = true;
  }
};

BpeModel::BpeModel(BpeModelParts parts) : parts_(std::move(parts)), merges_(parts_.merges.size()) {
  for (char32_t code = 0; code < bare_.size(); ++code) {
    std::string character;
    append_utf8(code, character);
    bare_[code] = find(character).value_or(-1);
  }
  for (int byte = 0; byte < 256; ++byte) {
    bytes_[static_cast<size_t>(byte)] = find(byte_piece(byte)).value_or(-1);
  }
  if (parts_.unknown_token) unknown_ = find(*parts_.unknown_token);
  for (size_t rank = 0; rank < parts_.merges.size(); ++rank) {
    int32_t left = 0, right = 0;
    const int32_t result = merged(rank, left, right);
    merges_.insert(left, right, static_cast<int32_t>(rank), result);
  }
  parts_.merges = {};  // the table has them
}

std::optional<int32_t> BpeModel::find(const std::string& piece) const {
  const auto found = parts_.ids.find(piece);
  if (found == parts_.ids.end()) return std::nullopt;
  return found->second;
}

int32_t BpeModel::merged(size_t rank, int32_t& left, int32_t& right) const {
  const auto& [a, b] = parts_.merges[rank];
  const auto id_of = [&](const std::string& piece) {
    const auto id = find(piece);
    if (!id) {
      fail("merge {} names \"{}\", which is not in the vocabulary", rank + 1, printable(piece));
    }
    return *id;
  };
  left = id_of(a);
  right = id_of(b);
  const size_t prefix = parts_.continuing_prefix.size();
  const auto result = b.size() < prefix ? std::nullopt : find(a + b.substr(prefix));
  if (!result) fail("the result of merge {} is not in the vocabulary", rank + 1);
  return *result;
}

int32_t BpeModel::symbol_of(std::string_view character, bool first, bool last) const {
  const bool has_prefix = !first && !parts_.continuing_prefix.empty();
  const bool has_suffix = last && !parts_.word_suffix.empty();
  if (!has_prefix && !has_suffix) {
    const char32_t code = decode_utf8(character, character.size());
    if (code < bare_.size()) return bare_[code];
  }
  std::string symbol(character);
  if (has_prefix) symbol.insert(0, parts_.continuing_prefix);
  if (has_suffix) symbol += parts_.word_suffix;
  return find(symbol).value_or(-1);
}

// Whether there is a piece for every byte.
bool BpeModel::append_bytes(std::string_view symbol, std::vector<int32_t>& symbols) const {
  const size_t before = symbols.size();
  for (const char byte : symbol) {
    const int32_t id = bytes_[static_cast<unsigned char>(byte)];
    if (id < 0) {
      symbols.resize(before);
      return false;
    }
    symbols.push_back(id);
  }
  return true;
}

void BpeModel::encode(std::string_view word, std::vector<int32_t>& ids) const {
  if (parts_.ignore_merges) {
    if (const auto id = find(std::string(word))) {
      ids.push_back(*id);
      return;
    }
  }
  thread_local std::vector<int32_t> symbols;
  symbols.clear();
  Unknown unknown{*this, symbols};
  for (size_t at = 0, length; at < word.size(); at += length) {
    length = utf8_sequence_length(word.substr(at));
    const bool first = at == 0, last = at + length == word.size();
    const std::string_view character = word.substr(at, length);
    const int32_t symbol = symbol_of(character, first, last);
    if (symbol >= 0) {
      unknown.flush();
      symbols.push_back(symbol);
      continue;
    }
    std::string whole(character);
    if (!first) whole.insert(0, parts_.continuing_prefix);
    if (last) whole += parts_.word_suffix;
    // As in tokenizers, bytes precede an unknown character that waits.
    if (!parts_.byte_fallback || !append_bytes(whole, symbols)) unknown.add();
  }
  unknown.flush();
  merges_.merge(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

}  // namespace twofour::text
