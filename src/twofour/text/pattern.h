// The patterns of the components of a tokenizer.json, and how matches cut a text.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "twofour/text/regex.h"
#include "twofour/text/unicode_properties.h"

namespace twofour::text {

/// A regular expression, a string that is not empty, or one character of a set. Immutable.
class Pattern {
 public:
  explicit Pattern(Regex regex) : kind_(std::move(regex)) {}
  explicit Pattern(const CodePointSet& set) : kind_(&set) {}
  static Pattern string(std::string text);

  /// Calls fn(begin, end, matches) for all matches and all stretches between them, in order. Both
  /// may be empty; together they are `text`.
  template <class Fn>
  void for_spans(std::string_view text, Fn&& fn) const {
    size_t done = 0;
    const auto match = [&](size_t begin, size_t end) {
      if (begin != done) fn(done, begin, false);
      fn(begin, end, true);
      done = end;
    };
    if (text.empty()) return;
    for_matches(text, match);
    if (done != text.size()) fn(done, text.size(), false);
  }

 private:
  explicit Pattern(std::string text) : kind_(std::move(text)) {}

  template <class Fn>
  void for_matches(std::string_view text, Fn&& fn) const {
    if (const auto* regex = std::get_if<Regex>(&kind_)) {
      regex->for_matches(text, fn);
    } else if (const auto* string = std::get_if<std::string>(&kind_)) {
      for (size_t at = text.find(*string); at != text.npos;
           at = text.find(*string, at + string->size())) {
        fn(at, at + string->size());
      }
    } else {
      const CodePointSet& set = *std::get<const CodePointSet*>(kind_);
      for (size_t at = 0; at < text.size();) {
        const size_t length = character_length(text, at);
        if (set.contains(character_at(text, at, length))) fn(at, at + length);
        at += length;
      }
    }
  }

  static size_t character_length(std::string_view text, size_t at);
  static char32_t character_at(std::string_view text, size_t at, size_t length);

  std::variant<Regex, std::string, const CodePointSet*> kind_;
};

/// The treatment of matches at which a text is cut.
enum class Cut { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// A Pattern with the treatment of its matches.
class Cutter {
 public:
  /// With `invert`, matches and the stretches between them swap roles.
  Cutter(Pattern pattern, Cut cut, bool invert = false)
      : pattern_(std::move(pattern)), cut_(cut), invert_(invert) {}

  /// Calls fn(begin, end) for each piece that is not empty.
  template <class Fn>
  void for_pieces(std::string_view text, Fn&& fn) const {
    const auto give = [&](size_t begin, size_t end) {
      if (begin < end) fn(begin, end);
    };
    if (cut_ == Cut::kRemoved || cut_ == Cut::kIsolated) {
      pattern_.for_spans(text, [&](size_t begin, size_t end, bool matches) {
        if (cut_ == Cut::kIsolated || matches == invert_) give(begin, end);
      });
      return;
    }
    std::vector<Span> spans;
    pattern_.for_spans(text, [&](size_t begin, size_t end, bool matches) {
      spans.push_back({begin, end, matches != invert_});
    });
    merge(spans);
    for (const Span& span : spans) give(span.begin, span.end);
  }

 private:
  struct Span {
    size_t begin, end;
    bool matches;
  };
  void merge(std::vector<Span>& spans) const;

  Pattern pattern_;
  Cut cut_;
  bool invert_;
};

}  // namespace twofour::text
