#include "twofour/text/pre_tokenizer.h"

#include "twofour/base/utf8.h"
#include "twofour/text/byte_level.h"
#include "twofour/text/splitter.h"

namespace twofour::text {
namespace {

// `prefix` before a piece.
Piece with_prefix(Piece piece, std::string_view prefix, std::string& buffer) {
  buffer.assign(prefix).append(piece.text);
  return {buffer, piece.from_first > 0 ? piece.from_first + prefix.size() : 0};
}

// Spaces as `replacement`.
Piece with_spaces_as(Piece piece, std::string_view replacement, std::string& buffer) {
  Piece out;
  for (size_t at = 0; at < piece.text.size(); ++at) {
    piece.text[at] == ' ' ? buffer.append(replacement) : buffer.append(1, piece.text[at]);
    if (at < piece.from_first) out.from_first = buffer.size();
  }
  out.text = buffer;
  return out;
}

enum class Kind { kWord, kSpace, kOther };

Kind kind_of(char32_t code) {
  if (word_characters().contains(code)) return Kind::kWord;
  return white_space().contains(code) ? Kind::kSpace : Kind::kOther;
}

}  // namespace

PreTokenizer make_cut(Cutter cutter) {
  return [cutter = std::move(cutter)](Piece piece, PieceSink sink) {
    cutter.for_pieces(piece.text, [&](size_t begin, size_t end) { sink(piece.part(begin, end)); });
  };
}

PreTokenizer make_whitespace() {
  return [](Piece piece, PieceSink sink) {
    size_t begin = 0;
    Kind kind = Kind::kSpace;  // of the text from `begin` on
    const auto give_until = [&](size_t end) {
      if (kind != Kind::kSpace && begin < end) sink(piece.part(begin, end));
      begin = end;
    };
    for (size_t at = 0, length; at < piece.text.size(); at += length) {
      length = utf8_sequence_length(piece.text.substr(at));
      const Kind next = kind_of(decode_utf8(piece.text.substr(at), length));
      if (next != kind) give_until(at);
      kind = next;
    }
    give_until(piece.text.size());
  };
}

PreTokenizer make_fixed_length(size_t characters) {
  return [characters](Piece piece, PieceSink sink) {
    size_t begin = 0, count = 0;
    for (size_t at = 0; at < piece.text.size();) {
      at += utf8_sequence_length(piece.text.substr(at));
      if (++count % characters != 0 && at < piece.text.size()) continue;
      sink(piece.part(begin, at));
      begin = at;
    }
  };
}

PreTokenizer make_byte_level_cut(bool add_prefix_space, bool use_rule) {
  return [=, splitter = Splitter(kGpt2Rule)](Piece piece, PieceSink sink) {
    std::string buffer;
    if (add_prefix_space && !piece.text.starts_with(' ')) piece = with_prefix(piece, " ", buffer);
    if (!use_rule) return sink(piece);
    for (size_t begin = 0; begin < piece.text.size();) {
      const size_t end = splitter.piece_end(piece.text, begin);
      sink(piece.part(begin, end));
      begin = end;
    }
  };
}

PreTokenizer make_byte_level_map() {
  return [](Piece piece, PieceSink sink) {
    const std::string mapped = bytes_to_characters(piece.text);
    const size_t first = std::min(piece.from_first, piece.text.size());
    sink({mapped, bytes_to_characters(piece.text.substr(0, first)).size()});
  };
}

PreTokenizer make_metaspace(const std::string& replacement, PrependScheme scheme, bool split) {
  return [=, cutter = Cutter(Pattern::string(replacement), Cut::kMergedWithNext)](Piece piece,
                                                                                  PieceSink sink) {
    std::string replaced, prefixed;
    piece = with_spaces_as(piece, replacement, replaced);
    const bool may_prepend = scheme == PrependScheme::kAlways ||
                             (scheme == PrependScheme::kFirst && piece.from_first > 0);
    if (may_prepend && !piece.text.starts_with(replacement)) {
      piece = with_prefix(piece, replacement, prefixed);
    }
    if (!split) return sink(piece);
    cutter.for_pieces(piece.text, [&](size_t begin, size_t end) { sink(piece.part(begin, end)); });
  };
}

}  // namespace twofour::text
