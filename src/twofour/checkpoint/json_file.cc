#include "twofour/checkpoint/json_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/base/file.h"

namespace twofour::checkpoint {
namespace {

constexpr int kDeepest = 32;
constexpr size_t kLargest = 100'000'000;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
// Python's words for numbers that JSON lacks. The longer comes first.
constexpr std::array<std::pair<std::string_view, double>, 3> kWords = {
    {{"-Infinity", -kInfinity}, {"Infinity", kInfinity}, {"NaN", kNan}}};

// The words become strings, which JSON can hold, with a first character by which they are known:
// as text and as a value. A text that has this character itself may have no words.
constexpr std::string_view kMarkInText = "\\u0001";
constexpr char kMark = '\1';

std::string_view word_at(std::string_view text, size_t at) {
  for (const auto& [word, value] : kWords) {
    if (text.substr(at).starts_with(word)) return word;
  }
  return "";
}

// A text whose words were replaced.
struct PlainJson {
  std::string text;
  std::vector<size_t> ends;  // of the replaced words

  // The place in the original text of a byte of this one, both counted from 1.
  size_t place_of(size_t byte) const {
    const auto before = std::lower_bound(ends.begin(), ends.end(), byte) - ends.begin();
    return byte - static_cast<size_t>(before) * (kMarkInText.size() + 2);
  }
};

PlainJson without_words(std::string_view text) {
  if (text.find(kMarkInText) != std::string_view::npos) return {std::string(text), {}};
  PlainJson plain;
  bool is_in_string = false;
  for (size_t at = 0; at < text.size();) {
    const std::string_view word = is_in_string ? "" : word_at(text, at);
    if (!word.empty()) {
      plain.text += fmt::format("\"{}{}\"", kMarkInText, word);
      plain.ends.push_back(plain.text.size());
      at += word.size();
      continue;
    }
    if (text[at] == '"') is_in_string = !is_in_string;
    if (text[at] == '\\' && at + 1 < text.size()) plain.text += text[at++];
    plain.text += text[at++];
  }
  return plain;
}

double number_of(std::string_view marked) {
  for (const auto& [word, value] : kWords) {
    if (marked.substr(1) == word) return value;
  }
  return 0;  // not reached: only words are marked
}

template <class Json>
Json parse_object(std::string_view text, const fs::path& path, std::string_view part,
                  const PlainJson* words = nullptr) {
  const auto fail_invalid = [&](size_t byte) {
    fail("cannot read \"{}\": {} is no valid JSON at byte {}", path.string(), part,
         words ? words->place_of(byte) : byte);
  };
  const auto is_word = [&](const Json& json) {
    return words && !words->ends.empty() && json.is_string() &&
           json.template get_ref<const std::string&>().starts_with(kMark);
  };
  std::vector<std::set<std::string>> names;  // of the open objects
  const auto check = [&](int depth, typename Json::parse_event_t event, Json& parsed) {
    if (depth > kDeepest) fail("cannot read \"{}\": {} is nested too deeply", path.string(), part);
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key) {
      if (is_word(parsed)) {
        fail("cannot read \"{}\": {} has a number as a name", path.string(), part);
      }
      const auto& name = parsed.template get_ref<const std::string&>();
      if (!names.back().insert(name).second) {
        fail("cannot read \"{}\": {} names \"{}\" twice", path.string(), part, printable(name));
      }
    }
    if (event == Json::parse_event_t::value && is_word(parsed)) {
      parsed = number_of(parsed.template get_ref<const std::string&>());
    }
    return true;
  };
  // The parser takes a zero byte for the end of the text.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) fail_invalid(zero + 1);
  Json json;
  try {
    json = Json::parse(text, check);
  } catch (const typename Json::parse_error& error) {
    fail_invalid(error.byte);
  } catch (const typename Json::out_of_range&) {
    fail("cannot read \"{}\": {} holds a number that is too large", path.string(), part);
  }
  if (!json.is_object()) fail("cannot read \"{}\": {} is not a JSON object", path.string(), part);
  return json;
}

template <class Json>
Json parse_as_python(std::string_view text, const fs::path& path) {
  const PlainJson words = without_words(text);
  return parse_object<Json>(words.text, path, "it", &words);
}

// Every number that is not finite becomes a marked string. Returns whether there was one.
bool mark_non_finite(nlohmann::ordered_json& json) {
  if (json.is_number_float() && !std::isfinite(json.get<double>())) {
    const auto value = json.get<double>();
    json = kMark + std::string(std::isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
    return true;
  }
  bool any = false;
  if (json.is_structured()) {
    for (auto& part : json) any |= mark_non_finite(part);
  }
  return any;
}

}  // namespace

nlohmann::json parse_json_object(std::string_view text, const fs::path& path,
                                 std::string_view part) {
  return parse_object<nlohmann::json>(text, path, part);
}

nlohmann::json parse_python_object(std::string_view text, const fs::path& path) {
  return parse_as_python<nlohmann::json>(text, path);
}

nlohmann::ordered_json parse_ordered_object(std::string_view text, const fs::path& path) {
  return parse_as_python<nlohmann::ordered_json>(text, path);
}

nlohmann::json read_json_object(const fs::path& path) {
  const MappedFile file(path);
  if (file.size() > kLargest) {
    fail("cannot read \"{}\": it has {} bytes, expected JSON of at most {}", path.string(),
         file.size(), kLargest);
  }
  return parse_python_object(file.text(), path);
}

std::string python_json(const nlohmann::ordered_json& json, int indent) {
  nlohmann::ordered_json marked = json;
  if (!mark_non_finite(marked)) return json.dump(indent);
  const std::string text = marked.dump(indent), begin = fmt::format("\"{}", kMarkInText);
  std::string out;
  size_t from = 0;
  for (size_t at; (at = text.find(begin, from)) != std::string::npos;) {
    const size_t word = at + begin.size(), end = text.find('"', word);
    out.append(text, from, at - from).append(text, word, end - word);
    from = end + 1;
  }
  return out.append(text, from);
}

}  // namespace twofour::checkpoint
