#include "twofour/text/splitter.h"

#include <cassert>
#include <vector>

#include "twofour/base/utf8.h"
#include "twofour/text/unicode_properties.h"

namespace twofour::text {

const std::string_view kGpt2Rule =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

const std::string_view kLlama3Rule =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::string_view kQwen2Rule =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

enum Kind : unsigned char { kOther, kLetter, kNumber, kSpace };

std::vector<unsigned char> make_kinds() {
  std::vector<unsigned char> kinds(0x110000, kOther);
  for (char32_t code = 0; code < kinds.size(); ++code) {
    if (letters().contains(code)) kinds[code] = kLetter;
    if (numbers().contains(code)) kinds[code] = kNumber;
    if (white_space().contains(code)) kinds[code] = kSpace;
  }
  return kinds;
}

// Text with the kinds of its characters.
struct Scanner {
  std::string_view text;
  const unsigned char* kinds;

  struct Character {
    unsigned char kind;
    size_t length;
  };
  Character at(size_t place) const {
    const auto byte = static_cast<unsigned char>(text[place]);
    if (byte < 0x80) return {kinds[byte], 1};
    const size_t length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return {kinds[decode_utf8(text.substr(place), length)], length};
  }
  bool is_kind(size_t place, Kind kind) const {
    return place < text.size() && at(place).kind == kind;
  }
  bool is_line_end(size_t place) const { return text[place] == '\r' || text[place] == '\n'; }

  size_t run_end(size_t place, unsigned char kind) const {
    while (place < text.size()) {
      const Character next = at(place);
      if (next.kind != kind) break;
      place += next.length;
    }
    return place;
  }

  // White space from `begin` to `end`. The last character before a word belongs to the word.
  size_t without_last(size_t begin, size_t end) const {
    if (end == text.size()) return end;
    size_t last = end - 1;
    while ((static_cast<unsigned char>(text[last]) & 0xc0) == 0x80) --last;
    return last > begin ? last : end;
  }

  // The length of 's, 't, 're, 've, 'm, 'll or 'd at `begin`, 0 if there is none; `fold` maps
  // letters.
  template <class Fold>
  size_t contraction_length(size_t begin, Fold fold) const {
    if (text.size() - begin < 2) return 0;
    const char a = fold(text[begin + 1]);
    const char b = text.size() - begin > 2 ? fold(text[begin + 2]) : '\0';
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
  }

  size_t gpt2_end(size_t begin) const {
    if (text[begin] == '\'') {
      const size_t length = contraction_length(begin, [](char c) { return c; });
      if (length) return begin + length;
    }
    const bool takes_next = text[begin] == ' ' && begin + 1 < text.size();
    if (takes_next && at(begin + 1).kind != kSpace) ++begin;
    const Character first = at(begin);
    const size_t end = run_end(begin + first.length, first.kind);
    return first.kind == kSpace ? without_last(begin, end) : end;
  }

  // White space at `begin` that belongs to no word.
  size_t llama3_space_end(size_t begin) const {
    const size_t end = run_end(begin, kSpace);
    const size_t line_end = text.substr(begin, end - begin).find_last_of("\r\n");
    return line_end == std::string_view::npos ? without_last(begin, end) : begin + line_end + 1;
  }

  // With numbers of at most `digits`.
  size_t llama3_end(size_t begin, size_t digits) const {
    const Character first = at(begin);
    const size_t next = begin + first.length;
    if (text[begin] == '\'') {
      const auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      };
      if (const size_t length = contraction_length(begin, lower)) return begin + length;
      if (text.substr(next).starts_with("\xc5\xbf")) return next + 2;  // U+017F, a form of s
    }
    if (first.kind == kLetter) return run_end(next, kLetter);
    if (first.kind == kNumber) {
      size_t end = next;
      while (--digits > 0 && is_kind(end, kNumber)) end += at(end).length;
      return end;
    }
    if (!is_line_end(begin) && is_kind(next, kLetter)) return run_end(next, kLetter);
    if (first.kind == kSpace && !(text[begin] == ' ' && is_kind(next, kOther))) {
      return llama3_space_end(begin);
    }
    size_t end = run_end(next, kOther);
    while (end < text.size() && is_line_end(end)) ++end;
    return end;
  }
};

}  // namespace

bool Splitter::knows(std::string_view rule) {
  return rule == kGpt2Rule || rule == kLlama3Rule || rule == kQwen2Rule;
}

Splitter::Splitter(std::string_view rule)
    : rule_(rule == kGpt2Rule     ? Rule::kGpt2
            : rule == kLlama3Rule ? Rule::kLlama3
                                  : Rule::kQwen2) {
  assert(knows(rule));
  static const std::vector<unsigned char> kKinds = make_kinds();
  kinds_ = kKinds.data();
}

size_t Splitter::piece_end(std::string_view text, size_t begin) const {
  const Scanner scanner{text, kinds_};
  if (rule_ == Rule::kGpt2) return scanner.gpt2_end(begin);
  return scanner.llama3_end(begin, rule_ == Rule::kLlama3 ? 3 : 1);
}

size_t Splitter::safe_cut(std::string_view text, size_t begin) const {
  const auto is_solid = [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x80 && kinds_[byte] != kSpace;
  };
  for (size_t at = text.find('\n', begin); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    if (at > 0 && at + 1 < text.size() && is_solid(text[at - 1]) && is_solid(text[at + 1])) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

}  // namespace twofour::text
