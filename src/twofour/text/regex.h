// Regular expressions as in Hugging Face's tokenizers: Oniguruma with Ruby's syntax, and the
// properties of one fixed Unicode version (unicode_data.h) whatever library is installed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace twofour::text {

/// Immutable; may be used from several threads at once.
class Regex {
 public:
  struct Match {
    size_t begin, end;
  };

  /// Throws Error (a reason, to follow "cannot read …: ") if the pattern is not understood, or if
  /// its meaning depends on the installed library.
  explicit Regex(std::string_view pattern);

  /// The leftmost match in `text` (valid UTF-8) that begins at or after `from`. Lookbehind sees the
  /// text before `from`. Throws if Oniguruma gives up, after ten million steps back.
  std::optional<Match> search(std::string_view text, size_t from) const;

  /// Calls fn(begin, end) for each match from left to right. An empty one directly after another
  /// match does not count.
  template <class Fn>
  void for_matches(std::string_view text, Fn&& fn) const {
    size_t from = 0, last_end = std::string_view::npos;
    while (from <= text.size()) {
      const auto match = search(text, from);
      if (!match) return;
      if (match->begin == match->end && match->end == last_end) {
        from = next_character(text, from);
        continue;
      }
      from = last_end = match->end;
      fn(match->begin, match->end);
    }
  }

 private:
  static size_t next_character(std::string_view text, size_t at);

  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

/// The expression that a user gave as `option` ("--include"). Throws Error (usage) with the option
/// and the constructor's reason.
Regex regex_of_option(std::string_view option, std::string_view pattern);

}  // namespace twofour::text
