#include "twofour/text/character_bpe.h"

#include <algorithm>

#include "twofour/base/utf8.h"

namespace twofour::text {

const std::string_view kSpaceSymbol = "\xe2\x96\x81";

namespace {

constexpr size_t kOther = 128;  // the class of all characters that are not ASCII

template <class Fn>
void for_characters(std::string_view text, Fn&& fn) {
  while (!text.empty()) {
    // A piece of a hostile file may not be UTF-8. Its bytes then equal no text.
    const size_t length = std::max<size_t>(utf8_sequence_length(text), 1);
    fn(text.substr(0, length));
    text.remove_prefix(length);
  }
}

}  // namespace

CharacterBpe::CharacterBpe(CharacterBpeParts parts)
    : parts_(std::move(parts)), merges_(parts_.merges.size()) {
  ascii_.fill(-1);
  const auto pieces = static_cast<int32_t>(parts_.pieces.size());
  for (int32_t id = 0; id < pieces; ++id) {
    const bool hidden = !parts_.hidden.empty() && parts_.hidden[static_cast<size_t>(id)];
    if (!hidden) add_symbol(parts_.pieces[static_cast<size_t>(id)], id);
  }
  for (size_t i = 0; i < parts_.bare_characters.size(); ++i) {
    add_symbol(parts_.bare_characters[i], pieces + static_cast<int32_t>(i));
  }
  for (const auto& merge : parts_.merges) {
    merges_.insert(merge.left, merge.right, merge.rank, merge.result);
  }
  find_boundaries();
  parts_.merges = {};  // the table has them
}

void CharacterBpe::add_symbol(const std::string& character, int32_t symbol) {
  if (character.empty() || utf8_sequence_length(character) != character.size()) return;
  if (character == kSpaceSymbol) {
    ascii_[' '] = symbol;
  } else if (character == " ") {
    return;  // no text has it
  } else if (character.size() == 1) {
    ascii_[static_cast<unsigned char>(character[0])] = symbol;
  } else {
    others_[decode_utf8(character, character.size())] = symbol;
  }
}

void CharacterBpe::find_boundaries() {
  bool joined[kOther + 1][kOther + 1] = {};
  const auto class_of = [](std::string_view character) -> size_t {
    if (character == kSpaceSymbol) return ' ';
    const auto first = static_cast<unsigned char>(character[0]);
    return first < 0x80 ? first : kOther;
  };
  const auto is_fallback = [&](int32_t symbol) {
    return symbol == parts_.unknown ||
           (parts_.bytes &&
            std::find(parts_.bytes->begin(), parts_.bytes->end(), symbol) != parts_.bytes->end());
  };
  bool merges_fallbacks = false;  // then a merge does not show its characters
  for (const auto& merge : parts_.merges) {
    merges_fallbacks |= is_fallback(merge.left) || is_fallback(merge.right);
    size_t before = kOther + 1;
    for_characters(parts_.pieces[static_cast<size_t>(merge.result)], [&](std::string_view next) {
      const size_t after = class_of(next);
      if (before <= kOther) joined[before][after] = true;
      before = after;
    });
  }
  const auto may_be_unknown = [&](size_t kind) {
    const auto pieces = static_cast<int32_t>(parts_.pieces.size());
    return kind == kOther || ascii_[kind] < 0 || ascii_[kind] >= pieces;
  };
  joined_.assign(size_t{256} * 256, 1);
  for (size_t last = 0; last < 256; ++last) {
    for (size_t first = 0; first < 256; ++first) {
      const size_t before = std::min(last, kOther), after = std::min(first, kOther);
      uint8_t& out = joined_[last * 256 + first];
      if (parts_.split_words && first == ' ') {
        out = 0;
      } else if (last < 0x80 || first < 0x80) {
        const bool fuse =
            parts_.fuse_unknown && !parts_.bytes && may_be_unknown(before) && may_be_unknown(after);
        out = merges_fallbacks || fuse || joined[before][after];
      }
    }
  }
}

int32_t CharacterBpe::symbol_of(std::string_view character) const {
  if (character.size() == 1) return ascii_[static_cast<unsigned char>(character[0])];
  const auto found = others_.find(decode_utf8(character, character.size()));
  return found == others_.end() ? -1 : found->second;
}

void CharacterBpe::append_unknown(std::string_view character, std::vector<int32_t>& symbols,
                                  bool after_unknown) const {
  if (parts_.bytes) {
    for (const char byte : character) {
      symbols.push_back((*parts_.bytes)[static_cast<unsigned char>(byte)]);
    }
  } else if (!after_unknown || !parts_.fuse_unknown) {
    symbols.push_back(parts_.unknown);
  }
}

void CharacterBpe::encode(std::string_view word, std::vector<int32_t>& ids) const {
  thread_local std::vector<int32_t> symbols;
  symbols.clear();
  bool after_unknown = false;
  for (size_t at = 0, length; at < word.size(); at += length) {
    length =
        static_cast<unsigned char>(word[at]) < 0x80 ? 1 : utf8_sequence_length(word.substr(at));
    const std::string_view character = word.substr(at, length);
    const int32_t symbol = symbol_of(character);
    if (symbol >= 0) {
      symbols.push_back(symbol);
    } else {
      append_unknown(character, symbols, after_unknown);
    }
    after_unknown = symbol < 0;
  }
  merges_.merge(symbols);
  if (parts_.bare_characters.empty()) {
    ids.insert(ids.end(), symbols.begin(), symbols.end());
    return;
  }
  const auto pieces = static_cast<int32_t>(parts_.pieces.size());
  after_unknown = false;
  for (const int32_t symbol : symbols) {
    const bool bare = symbol >= pieces, unknown = bare || symbol == parts_.unknown;
    if (bare) {
      append_unknown(parts_.bare_characters[static_cast<size_t>(symbol - pieces)], ids,
                     after_unknown);
    } else if (!unknown || !after_unknown || !parts_.fuse_unknown) {
      ids.push_back(symbol);
    }
    after_unknown = unknown;
  }
}

}  // namespace twofour::text
