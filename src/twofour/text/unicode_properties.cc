#include "twofour/text/unicode_properties.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>
#include <oniguruma.h>

#include "twofour/base/error.h"
#include "twofour/text/unicode_data.h"

namespace twofour::text {
namespace {

using Belongs = std::function<bool(const NewCodePoints&)>;

// Compares names as Oniguruma does.
std::string canonical(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == ' ' || c == '-' || c == '_') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  return out;
}

bool is_letter(const NewCodePoints& code) { return code.category[0] == 'L'; }
bool is_alphabetic(const NewCodePoints& code) {
  return is_letter(code) || std::strchr(code.also, 'a');
}
bool is_digit(const NewCodePoints& code) { return std::strcmp(code.category, "Nd") == 0; }

std::optional<std::string> category_of(const std::string& name) {
  static const std::unordered_map<std::string, std::string> kLongNames = {
      {"letter", "l"},
      {"uppercaseletter", "lu"},
      {"lowercaseletter", "ll"},
      {"titlecaseletter", "lt"},
      {"casedletter", "lc"},
      {"modifierletter", "lm"},
      {"otherletter", "lo"},
      {"mark", "m"},
      {"combiningmark", "m"},
      {"nonspacingmark", "mn"},
      {"spacingmark", "mc"},
      {"enclosingmark", "me"},
      {"number", "n"},
      {"decimalnumber", "nd"},
      {"letternumber", "nl"},
      {"othernumber", "no"},
      {"punctuation", "p"},
      {"connectorpunctuation", "pc"},
      {"dashpunctuation", "pd"},
      {"openpunctuation", "ps"},
      {"closepunctuation", "pe"},
      {"initialpunctuation", "pi"},
      {"finalpunctuation", "pf"},
      {"otherpunctuation", "po"},
      {"symbol", "s"},
      {"mathsymbol", "sm"},
      {"currencysymbol", "sc"},
      {"modifiersymbol", "sk"},
      {"othersymbol", "so"},
      {"format", "cf"},
      {"unassigned", "cn"},
      {"other", "c"},
      {"digit", "nd"},
      {"punct", "p"}};
  const auto found = kLongNames.find(name);
  const std::string category = found == kLongNames.end() ? name : found->second;
  static constexpr std::string_view kCategories =
      " l lc lu ll lt lm lo m mn mc me n nd nl no p pc pd ps pe pi pf po s sm sc sk so cf cn c ";
  if (kCategories.find(" " + category + " ") == std::string_view::npos) return std::nullopt;
  return category;
}

Belongs in_category(const std::string& category) {
  return [category](const NewCodePoints& code) {
    const std::string own = canonical(code.category);
    if (category == "lc") return own == "lu" || own == "ll" || own == "lt";
    return own == category || own.substr(0, 1) == category;
  };
}

// The new code points with the property; none if they do not change it.
std::optional<Belongs> new_members(const std::string& name) {
  if (const auto category = category_of(name)) return in_category(*category);
  if (name == "alphabetic" || name == "alpha") return is_alphabetic;
  if (name == "alnum") {
    return [](const NewCodePoints& code) { return is_alphabetic(code) || is_digit(code); };
  }
  if (name == "word") {
    return [](const NewCodePoints& code) {
      return is_alphabetic(code) || is_digit(code) || code.category[0] == 'M';
    };
  }
  if (name == "lowercase" || name == "lower") {
    return [](const NewCodePoints& code) {
      return std::strcmp(code.category, "Ll") == 0 || std::strchr(code.also, 'l');
    };
  }
  if (name == "uppercase" || name == "upper") return in_category("lu");
  if (name == "graph" || name == "print" || name == "assigned") {
    return [](const NewCodePoints&) { return true; };
  }
  static const std::unordered_map<std::string, std::string> kScripts = {
      {"hani", "han"},
      {"hira", "hiragana"},
      {"kana", "katakana"},
      {"latn", "latin"},
      {"cyrl", "cyrillic"},
      {"arab", "arabic"},
      {"deva", "devanagari"},
      {"mymr", "myanmar"},
      {"khoj", "khojki"},
      {"knda", "kannada"},
      {"bali", "balinese"},
      {"egyp", "egyptianhieroglyphs"},
      {"kits", "khitansmallscript"},
      {"laoo", "lao"},
      {"zyyy", "common"},
      {"zinh", "inherited"},
      {"qaai", "inherited"}};
  const auto found = kScripts.find(name);
  const std::string script = found == kScripts.end() ? name : found->second;
  const bool known = std::any_of(kNewCodePoints.begin(), kNewCodePoints.end(),
                                 [&](const auto& code) { return script == code.script; });
  if (!known) return std::nullopt;
  return [script](const NewCodePoints& code) { return script == code.script; };
}

void check_is_fixed(const std::string& name, std::string_view written) {
  if (std::find(kUncorrected.begin(), kUncorrected.end(), name) == kUncorrected.end()) return;
  fail(
      "\\p{{{}}} in a regular expression is not supported: what it holds depends on the version "
      "of Unicode",
      printable(written));
}

std::string ranges(const Belongs& belongs) {
  std::string out;
  for (const NewCodePoints& code : kNewCodePoints) {
    if (!belongs(code)) continue;
    out += fmt::format("\\x{{{:x}}}", static_cast<uint32_t>(code.first));
    if (code.last > code.first) {
      out += fmt::format("-\\x{{{:x}}}", static_cast<uint32_t>(code.last));
    }
  }
  return out;
}

// The property as a class of characters. Code points that an old library misclassifies, because
// they changed category or are newly assigned, are taken out.
std::string class_with_property(std::string_view written, bool negated) {
  const std::string name = canonical(written);
  check_is_fixed(name, written);
  const char* open = negated ? "[^" : "[";
  if (name == "posixpunct") {
    return fmt::format("{}{}{}]", open, class_with_property("P", false),
                       class_with_property("S", false));
  }
  const auto belongs = new_members(name);
  if (!belongs) return fmt::format("{}\\p{{{}}}]", open, written);
  std::string out = fmt::format("\\p{{{}}}{}", written, ranges(*belongs));
  if (name == "c" || name == "cn" || name == "mn" || name == "other" || name == "unassigned" ||
      name == "nonspacingmark") {
    out = fmt::format("[{}]&&[^{}]", out,
                      ranges([&](const NewCodePoints& code) { return !(*belongs)(code); }));
  }
  return fmt::format("{}{}]", open, out);
}

/// Rewrites one regular expression.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {
    for (size_t at = pattern.find("(?"); at != std::string_view::npos;
         at = pattern.find("(?", at + 1)) {
      const size_t end = pattern.find_first_not_of("imxWDSPyaCIL-{}g", at + 2);
      ignores_case_ |= pattern.substr(at, end - at).find('i') != std::string_view::npos;
    }
  }

  std::string run() {
    while (!rest_.empty()) step();
    return std::move(out_);
  }

 private:
  void step() {
    if (rest_[0] == '\\' && rest_.size() > 1) return escape();
    if (rest_.starts_with("[:") && depth_ > 0 && posix_bracket()) return;
    const bool opens = rest_[0] == '[';
    if (opens) ++depth_;
    if (rest_[0] == ']' && depth_ > 0) --depth_;
    copy(1);
    if (!opens) return;
    if (rest_.starts_with('^')) copy(1);
    if (rest_.starts_with(']')) copy(1);  // a character of the class
  }

  // \w. Outside a class Oniguruma includes the numbers of Latin-1.
  std::string word(bool negated) const {
    const char* numbers = depth_ > 0 ? "" : "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
    return fmt::format("[{}{}{}]", negated ? "^" : "", class_with_property("word", false), numbers);
  }

  void escape() {
    const char kind = rest_[1];
    if (kind == 'p' || kind == 'P') return property();
    if (kind == 'w' || kind == 'W') {
      emit(word(kind == 'W'), 2);
    } else if (kind == 'd' || kind == 'D') {
      emit(class_with_property("Nd", kind == 'D'), 2);
    } else if ((kind == 'b' || kind == 'B') && depth_ == 0) {
      const char* rule = kind == 'b' ? "(?:(?<={0})(?!{0})|(?<!{0})(?={0}))"
                                     : "(?:(?<={0})(?={0})|(?<!{0})(?!{0}))";
      out_ += fmt::format(fmt::runtime(rule), word(false));
      rest_.remove_prefix(2);
    } else if ((kind == 'X' || kind == 'y' || kind == 'Y') && depth_ == 0) {
      fail(
          "\\{} in a regular expression is not supported: what it matches depends on the version "
          "of Unicode",
          kind);
    } else {
      copy(2);
    }
  }

  void property() {
    const size_t end = rest_.find('}');
    if (rest_.size() < 3 || rest_[2] != '{' || end == std::string_view::npos) return copy(2);
    std::string_view name = rest_.substr(3, end - 3);
    bool negated = rest_[1] == 'P';
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    emit(canonical(name) == "word" ? word(negated) : class_with_property(name, negated), end + 1);
  }

  bool posix_bracket() {
    const size_t end = rest_.find(":]");
    if (end == std::string_view::npos) return false;
    std::string_view name = rest_.substr(2, end - 2);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    static constexpr std::string_view kNames =
        " alnum alpha blank cntrl digit graph lower print punct space upper xdigit ascii word ";
    if (kNames.find(fmt::format(" {} ", name)) == std::string_view::npos) return false;
    emit(class_with_property(name == "punct" ? "posixpunct" : name, negated), end + 2);
    return true;
  }

  // `set` for the next `size` bytes. Case folding changes a class, but not a property alone.
  void emit(const std::string& set, size_t size) {
    out_ += depth_ == 0 && ignores_case_ ? fmt::format("(?-i:{})", set) : set;
    rest_.remove_prefix(size);
  }

  void copy(size_t size) {
    size = std::min(size, rest_.size());
    out_ += rest_.substr(0, size);
    rest_.remove_prefix(size);
  }

  std::string_view rest_;
  std::string out_;
  int depth_ = 0;
  bool ignores_case_ = false;
};

CodePointSet property_set(const std::string& name) {
  OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
  onig_initialize(encodings, 1);
  const OnigEncoding utf8 = ONIG_ENCODING_UTF8;
  auto* begin = reinterpret_cast<OnigUChar*>(const_cast<char*>(name.data()));
  const int type = utf8->property_name_to_ctype(utf8, begin, begin + name.size());
  const OnigCodePoint* found = nullptr;
  OnigCodePoint first_multibyte = 0;
  if (type < 0 ||
      utf8->get_ctype_code_range(static_cast<OnigCtype>(type), &first_multibyte, &found) != 0) {
    fail("Oniguruma {} does not know the property {}", onig_version(), name);
  }
  CodePointSet set;
  for (OnigCodePoint i = 0; i < found[0]; ++i) {
    if (found[1 + 2 * i] > 0x10ffff) continue;
    set.add(found[1 + 2 * i], std::min<OnigCodePoint>(found[2 + 2 * i], 0x10ffff));
  }
  if (const auto belongs = new_members(canonical(name))) {
    for (const NewCodePoints& code : kNewCodePoints) {
      if ((*belongs)(code)) set.add(code.first, code.last);
    }
  }
  return set;
}

CodePointSet corrected(CodePointSet set, std::span<const CodePoints> added,
                       std::span<const CodePoints> removed) {
  for (const auto& [first, last] : removed) set.remove(first, last);
  for (const auto& [first, last] : added) set.add(first, last);
  return set;
}

CodePointSet make_punctuation() {
  CodePointSet set = corrected(property_set("P"), kOldPunctuation, kNewPunctuation);
  for (const char32_t c : U"$+<=>^`|~") {
    if (c) set.add(c, c);  // punctuation of ASCII
  }
  return set;
}

CodePointSet make_word_characters() {
  CodePointSet set = property_set("Word");
  set.add(0x200c, 0x200d);
  return set;
}

}  // namespace

void CodePointSet::fill(char32_t first, char32_t last, bool value) {
  for (char32_t code = first; code <= last; ++code) {
    const uint64_t bit = uint64_t{1} << (code % 64);
    value ? words_[code / 64] |= bit : words_[code / 64] &= ~bit;
  }
}

const CodePointSet& letters() {
  static const CodePointSet kSet = property_set("L");
  return kSet;
}

const CodePointSet& numbers() {
  static const CodePointSet kSet = property_set("N");
  return kSet;
}

const CodePointSet& white_space() {
  static const CodePointSet kSet = property_set("White_Space");
  return kSet;
}

const CodePointSet& numeric() {
  static const CodePointSet kSet = corrected(property_set("N"), kNumbersOf17, {});
  return kSet;
}

const CodePointSet& punctuation() {
  static const CodePointSet kSet = make_punctuation();
  return kSet;
}

const CodePointSet& word_characters() {
  static const CodePointSet kSet = make_word_characters();
  return kSet;
}

const CodePointSet& combining_marks() {
  static const CodePointSet kSet = corrected(property_set("M"), kOldMarks, kNewMarks);
  return kSet;
}

std::string with_fixed_unicode(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace twofour::text
