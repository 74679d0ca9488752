#include "twofour/text/normalizer.h"

#include <algorithm>
#include <cstdlib>

#include <utf8proc.h>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/byte_level.h"
#include "twofour/text/unicode_data.h"

namespace twofour::text {
namespace {

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

template <class Fn>
void for_each_character(std::string_view text, Fn&& fn) {
  for (size_t at = 0, length; at < text.size(); at += length) {
    length = utf8_sequence_length(text.substr(at));
    fn(at, length, decode_utf8(text.substr(at), length));
  }
}

// Replaces every character by what fn(code, out) appends.
template <class Fn>
void map_characters(NormalizedText& text, Fn&& fn) {
  NormalizedText out;
  out.text.reserve(text.text.size());
  for_each_character(text.text, [&](size_t at, size_t, char32_t code) {
    fn(code, out.text);
    if (at < text.from_first) out.from_first = out.text.size();
  });
  text = std::move(out);
}

int options_of(NormalizationForm form) {
  const bool composes = form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc;
  const bool compatible = form == NormalizationForm::kNfkc || form == NormalizationForm::kNfkd;
  return UTF8PROC_STABLE | (composes ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
         (compatible ? UTF8PROC_COMPAT : 0);
}

void append_form(std::string_view text, int options, std::string& out) {
  if (text.empty()) return;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                             static_cast<utf8proc_option_t>(options));
  if (size < 0) fail("cannot normalize the text: {}", utf8proc_errmsg(size));
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);
}

const CodePointSet& not_normalized() {
  static const CodePointSet kSet = [] {
    CodePointSet set;
    for (const auto& [first, last] : kNotNormalized) set.add(first, last);
    return set;
  }();
  return kSet;
}

// Characters that are not normalized split the text: nothing moves or composes across them.
std::string in_form(std::string_view text, int options) {
  std::string out;
  size_t begin = 0;
  const auto append_until = [&](size_t end) {
    append_form(text.substr(begin, end - begin), options, out);
    begin = end;
  };
  for_each_character(text, [&](size_t at, size_t length, char32_t code) {
    if (code < 0x558 || !not_normalized().contains(code)) return;
    append_until(at);
    out += text.substr(at, length);
    begin = at + length;
  });
  append_until(text.size());
  return out;
}

// The length of the characters with which both begin.
size_t common_prefix(std::string_view a, std::string_view b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  auto length = static_cast<size_t>(end - a.begin());
  while (length > 0 && length < b.size() &&
         (static_cast<unsigned char>(b[length]) & 0xc0) == 0x80) {
    --length;
  }
  return length;
}

void append_lower_case(char32_t code, std::string& out) {
  if (code == 0x130) {  // the one with two characters
    out += "i\xcc\x87";
    return;
  }
  for (const NewUpperCase& upper : kNewUpperCase) {
    if (code < upper.first || code > upper.last) continue;
    return append_utf8(upper.lower + (code - upper.first), out);
  }
  append_utf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))), out);
}

bool nmt_removes(char32_t c) {
  return (c >= 0x1 && c <= 0x8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
         c == 0x9f;
}

bool nmt_takes_for_space(char32_t c) {
  return c == 0x9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
         (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff ||
         c == 0xfffd;
}

}  // namespace

Normalizer make_form(NormalizationForm form) {
  return [form, options = options_of(form)](NormalizedText& text) {
    // Below U+0300, which begins with this byte, every text is composed.
    const auto may_change = [](char c) { return static_cast<unsigned char>(c) >= 0xcc; };
    const bool composed = form == NormalizationForm::kNfc &&
                          std::none_of(text.text.begin(), text.text.end(), may_change);
    if (composed || is_ascii(text.text)) return;
    const std::string first = in_form(text.text.substr(0, text.from_first), options);
    text.text = in_form(text.text, options);
    if (text.from_first == 0) return;
    text.from_first = std::max(common_prefix(first, text.text), utf8_sequence_length(text.text));
  };
}

Normalizer make_lowercase() {
  return [](NormalizedText& text) {
    if (!is_ascii(text.text)) return map_characters(text, append_lower_case);
    for (char& c : text.text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
}

Normalizer make_strip(bool left, bool right) {
  return [left, right](NormalizedText& text) {
    const size_t size = text.text.size();
    size_t begin = size, end = 0;  // of what is no white space
    for_each_character(text.text, [&](size_t at, size_t length, char32_t code) {
      if (white_space().contains(code)) return;
      begin = std::min(begin, at);
      end = at + length;
    });
    if (!left) begin = 0;
    if (!right) end = size;
    text.text = begin < end ? text.text.substr(begin, end - begin) : "";
    text.from_first -= std::min(text.from_first, begin);
  };
}

Normalizer make_strip_accents() {
  return [](NormalizedText& text) {
    map_characters(text, [](char32_t code, std::string& out) {
      if (!combining_marks().contains(code)) append_utf8(code, out);
    });
  };
}

Normalizer make_nmt() {
  return [](NormalizedText& text) {
    map_characters(text, [](char32_t code, std::string& out) {
      if (!nmt_removes(code)) append_utf8(nmt_takes_for_space(code) ? ' ' : code, out);
    });
  };
}

Normalizer make_prepend(std::string prefix) {
  return [prefix = std::move(prefix)](NormalizedText& text) {
    if (text.text.empty()) return;
    text.text.insert(0, prefix);
    if (text.from_first > 0) text.from_first += prefix.size();
  };
}

Normalizer make_replace(Pattern pattern, std::string content) {
  return [pattern = std::move(pattern), content = std::move(content)](NormalizedText& text) {
    NormalizedText out;
    out.text.reserve(text.text.size());
    pattern.for_spans(text.text, [&](size_t begin, size_t end, bool matches) {
      if (matches && end == 0 && !content.empty()) {
        fail("Replace of an empty match at the start of a text is not supported");
      }
      out.text += matches ? std::string_view(content)
                          : std::string_view(text.text).substr(begin, end - begin);
      // The replacement counts as the last character that it replaces.
      if (end <= text.from_first) out.from_first = out.text.size();
      if (!matches && begin < text.from_first && text.from_first < end) {
        out.from_first = out.text.size() - (end - text.from_first);
      }
    });
    text = std::move(out);
  };
}

Normalizer make_byte_characters() {
  return [](NormalizedText& text) {
    text.from_first =
        bytes_to_characters(std::string_view(text.text).substr(0, text.from_first)).size();
    text.text = bytes_to_characters(text.text);
  };
}

}  // namespace twofour::text
