#include "twofour/text/splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>

#include <pcre2.h>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"

namespace twofour::text {

const std::string_view kGpt2Rule =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

const std::string_view kLlama3Rule =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::string_view kQwen2Rule =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

// Unicode's White_Space. PCRE2's own \s also takes U+180E.
constexpr std::string_view kWhiteSpace =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

std::string with_unicode_white_space(std::string_view rule) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < rule.size(); ++i) {
    const char next = i + 1 < rule.size() ? rule[i + 1] : '\0';
    if (rule[i] == '\\' && (next == 's' || (next == 'S' && !in_class))) {
      const char* open = in_class ? "" : next == 's' ? "[" : "[^";
      out += open + std::string(kWhiteSpace) + (in_class ? "" : "]");
      ++i;
    } else if (rule[i] == '\\') {
      out += rule.substr(i, 2);
      ++i;
    } else {
      if (rule[i] == '[') in_class = true;
      if (rule[i] == ']') in_class = false;
      out += rule[i];
    }
  }
  return out;
}

enum Class : uint8_t { kOther, kLetter, kNumber, kSpace, kNotAscii };

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    classes[static_cast<size_t>(c)] = c >= 0x80              ? kNotAscii
                                      : letter               ? kLetter
                                      : c >= '0' && c <= '9' ? kNumber
                                      : space                ? kSpace
                                                             : kOther;
  }
  return classes;
}

constexpr std::array<uint8_t, 256> kClasses = make_classes();

inline uint8_t class_of(char c) { return kClasses[static_cast<unsigned char>(c)]; }

// The length of a contraction at the start of `text`, 0 if there is none; `fold` maps letters.
template <class Fold>
size_t contraction_length(std::string_view text, Fold fold) {
  if (text.size() < 2) return 0;
  const char a = fold(text[1]), b = text.size() > 2 ? fold(text[2]) : '\0';
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// GPT-2's rule as far as ASCII decides it; 0 when a byte above 0x7f has a say.
size_t gpt2_piece_end(std::string_view text, size_t begin) {
  const size_t size = text.size();
  size_t at = begin;
  if (text[at] == '\'') {
    if (const size_t length = contraction_length(text.substr(at), [](char c) { return c; })) {
      return at + length;
    }
  }
  if (text[at] == ' ' && at + 1 < size && class_of(text[at + 1]) != kSpace) ++at;
  const uint8_t kind = class_of(text[at]);
  if (kind == kNotAscii) return 0;
  size_t end = at + 1;
  while (end < size && class_of(text[end]) == kind) ++end;
  if (end < size && class_of(text[end]) == kNotAscii) return 0;
  // White space before a word leaves its last character to it.
  if (kind == kSpace && end < size && end - at > 1) --end;
  return end;
}

// The end of the characters of one kind from `at` on; 0 when a byte above 0x7f ends them.
size_t run_end(std::string_view text, size_t at, uint8_t kind) {
  while (at < text.size() && class_of(text[at]) == kind) ++at;
  return at < text.size() && class_of(text[at]) == kNotAscii ? 0 : at;
}

// White space at `begin` that no letter takes along.
size_t llama3_space_end(std::string_view text, size_t begin) {
  const size_t end = run_end(text, begin, kSpace);
  if (end == 0) return 0;
  const size_t newline = text.substr(0, end).find_last_of("\r\n");
  if (newline != std::string_view::npos && newline >= begin) return newline + 1;
  // White space before a word leaves its last character to it.
  return end < text.size() && end - begin > 1 ? end - 1 : end;
}

// LLaMA-3's rule, with numbers of at most `digits`, as far as ASCII decides it; 0 when a byte above
// 0x7f has a say.
size_t llama3_piece_end(std::string_view text, size_t begin, size_t digits) {
  const uint8_t kind = class_of(text[begin]);
  const uint8_t next = begin + 1 < text.size() ? class_of(text[begin + 1]) : uint8_t{kSpace};
  if (kind == kNotAscii || (next == kNotAscii && kind != kNumber)) return 0;
  if (text[begin] == '\'') {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    // Case folding takes U+017F for an s: after an apostrophe no second byte is above 0x7f here.
    if (const size_t length = contraction_length(text.substr(begin), lower)) return begin + length;
  }
  if (kind == kLetter) return run_end(text, begin, kLetter);
  if (kind == kNumber) {
    size_t end = begin + 1;
    while (end < text.size() && end - begin < digits && class_of(text[end]) == kNumber) ++end;
    const bool open = end < text.size() && end - begin < digits;
    return open && class_of(text[end]) == kNotAscii ? 0 : end;
  }
  const bool line_end = text[begin] == '\r' || text[begin] == '\n';
  if (next == kLetter && !line_end) return run_end(text, begin + 1, kLetter);
  if (kind == kSpace && !(text[begin] == ' ' && next == kOther)) {
    return llama3_space_end(text, begin);
  }
  size_t end = run_end(text, begin + (kind == kSpace), kOther);
  if (end == 0) return 0;
  while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
  return end;
}

}  // namespace

struct Splitter::Pattern {
  pcre2_code* code = nullptr;
  ~Pattern() { pcre2_code_free(code); }
};

Splitter::Splitter(const std::string& rule)
    : pattern_(std::make_unique<Pattern>()),
      scanner_(rule == kGpt2Rule     ? Scanner::kGpt2
               : rule == kLlama3Rule ? Scanner::kLlama3
               : rule == kQwen2Rule  ? Scanner::kQwen2
                                     : Scanner::kNone) {
  const std::string translated = with_unicode_white_space(rule);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pattern_->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &error, &offset, nullptr);
  if (!pattern_->code) {
    PCRE2_UCHAR message[120] = {};
    pcre2_get_error_message(error, message, sizeof message);
    fail("the splitting rule \"{}\" is not understood: {}", printable(rule),
         reinterpret_cast<const char*>(message));
  }
  pcre2_jit_compile(pattern_->code, PCRE2_JIT_COMPLETE);
}

Splitter::~Splitter() = default;

size_t Splitter::piece_end(std::string_view text, size_t begin) const {
  size_t end = 0;
  switch (scanner_) {
    case Scanner::kGpt2:
      end = gpt2_piece_end(text, begin);
      break;
    case Scanner::kLlama3:
      end = llama3_piece_end(text, begin, 3);
      break;
    case Scanner::kQwen2:
      end = llama3_piece_end(text, begin, 1);
      break;
    case Scanner::kNone:
      break;
  }
  if (end) return end;
  return match_end(text, begin);
}

size_t Splitter::match_end(std::string_view text, size_t begin) const {
  struct FreeMatch {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  };
  thread_local const std::unique_ptr<pcre2_match_data, FreeMatch> match(
      pcre2_match_data_create(1, nullptr));
  const int found = pcre2_match(pattern_->code, reinterpret_cast<PCRE2_SPTR>(text.data()),
                                text.size(), begin, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
  if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
    fail("splitting the text failed at byte {} (PCRE2 error {})", begin, found);
  }
  if (found == PCRE2_ERROR_NOMATCH) return text.size();
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
  // What lies before the match, or an empty match, is a piece of its own.
  if (range[0] > begin) return range[0];
  return range[1] > begin ? range[1] : begin + utf8_sequence_length(text.substr(begin));
}

size_t Splitter::safe_cut(std::string_view text, size_t begin) const {
  if (scanner_ == Scanner::kNone) return std::string_view::npos;
  const auto is_solid = [](char c) { return class_of(c) != kSpace && class_of(c) != kNotAscii; };
  for (size_t at = text.find('\n', begin); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    if (at > 0 && at + 1 < text.size() && is_solid(text[at - 1]) && is_solid(text[at + 1])) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

}  // namespace twofour::text
