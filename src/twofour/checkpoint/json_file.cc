#include "twofour/checkpoint/json_file.h"

#include <set>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/base/file.h"

namespace twofour::checkpoint {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 32;
constexpr size_t kLargest = 100'000'000;

}  // namespace

Json parse_json_object(std::string_view text, const fs::path& path, std::string_view part) {
  std::vector<std::set<std::string>> names;  // of the open objects
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kDeepest) fail("cannot read \"{}\": {} is nested too deeply", path.string(), part);
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key &&
        !names.back().insert(parsed.get_ref<const std::string&>()).second) {
      fail("cannot read \"{}\": {} names \"{}\" twice", path.string(), part,
           printable(parsed.get_ref<const std::string&>()));
    }
    return true;
  };
  // The parser takes a zero byte for the end of the text.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    fail("cannot read \"{}\": {} is no valid JSON at byte {}", path.string(), part, zero + 1);
  }
  Json json;
  try {
    json = Json::parse(text, check);
  } catch (const Json::parse_error& error) {
    fail("cannot read \"{}\": {} is no valid JSON at byte {}", path.string(), part, error.byte);
  } catch (const Json::out_of_range&) {
    fail("cannot read \"{}\": {} holds a number that is too large", path.string(), part);
  }
  if (!json.is_object()) fail("cannot read \"{}\": {} is not a JSON object", path.string(), part);
  return json;
}

Json read_json_object(const fs::path& path) {
  const MappedFile file(path);
  if (file.size() > kLargest) {
    fail("cannot read \"{}\": it has {} bytes, expected JSON of at most {}", path.string(),
         file.size(), kLargest);
  }
  return parse_json_object(file.text(), path);
}

}  // namespace twofour::checkpoint
