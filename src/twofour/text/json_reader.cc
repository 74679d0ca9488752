#include "twofour/text/json_reader.h"

#include <algorithm>
#include <unordered_set>

#include "twofour/base/error.h"

namespace twofour::text {
namespace {

// nlohmann's copies, comparisons and dumps recurse, so deep nesting would overflow the stack.
bool is_too_deep(std::string_view content) {
  constexpr int kDeepest = 100;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < content.size(); ++i) {
    const char c = content[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kDeepest) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

Json parse_with(const fs::path& path, const std::string& content,
                const Json::parser_callback_t& callback) {
  if (is_too_deep(content)) refuse(path, "its JSON is nested too deeply");
  try {
    Json json = Json::parse(content, callback);
    if (json.is_object()) return json;
  } catch (const Json::parse_error& error) {
    refuse(path, fmt::format("no valid JSON at byte {}", error.byte));
  } catch (const Json::exception&) {
    refuse(path, "it holds a number that no type can represent");
  }
  refuse(path, "it is not a JSON object");
}

}  // namespace

void refuse(const fs::path& path, const std::string& reason) {
  fail("cannot read \"{}\": {}", path.string(), reason);
}

Json parse_object(const fs::path& path, const std::string& content) {
  return parse_with(path, content, nullptr);
}

Json parse_object(const fs::path& path, const std::string& content,
                  std::vector<std::string>& keys) {
  keys.clear();
  std::unordered_set<std::string> known;
  return parse_with(path, content, [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth == 1 && event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (known.insert(key).second) keys.push_back(key);
    }
    return true;
  });
}

void require(const fs::path& path, const Json& object, const char* field,
             const std::vector<Json>& supported) {
  if (!object.contains(field) || object[field].is_null()) return;
  if (std::find(supported.begin(), supported.end(), object[field]) != supported.end()) return;
  refuse(path, fmt::format("{} {} is not supported", field, printable(object[field].dump())));
}

std::string type_of(const Json& component) {
  if (!component.is_object() || !component.contains("type") || !component["type"].is_string()) {
    return "";
  }
  return component["type"].get<std::string>();
}

bool read_flag(const fs::path& path, const Json& object, const char* field, bool otherwise) {
  if (!object.contains(field) || object[field].is_null()) return otherwise;
  if (!object[field].is_boolean()) {
    refuse(path,
           fmt::format("{} is {}, expected true or false", field, printable(object[field].dump())));
  }
  return object[field].get<bool>();
}

std::string read_string(const fs::path& path, const Json& object, const char* field) {
  if (!object.contains(field) || object[field].is_null()) return "";
  if (!object[field].is_string()) {
    refuse(path,
           fmt::format("{} is {}, expected a string", field, printable(object[field].dump())));
  }
  return object[field].get<std::string>();
}

int32_t read_id(const fs::path& path, const Json& value, const std::string& piece) {
  if (!value.is_number_integer() || value < 0 || value > kLargestId) {
    refuse(path, fmt::format("the piece \"{}\" has the id {}", printable(piece),
                             printable(value.dump())));
  }
  return value.get<int32_t>();
}

}  // namespace twofour::text
