#include "twofour/text/json_text.h"

#include <simdjson.h>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/json_exact.h"

namespace twofour::text {

JsonText::JsonText(std::string field)
    : field_(std::move(field)), parser_(std::make_unique<simdjson::dom::parser>()) {}
JsonText::~JsonText() = default;
JsonText::JsonText(JsonText&&) noexcept = default;

// Nothing if the exact reader must look: simdjson refuses some JSON that Python accepts, and gives
// no reason why there is no text.
std::optional<std::string> JsonText::read_fast(std::string_view json) {
  simdjson::dom::object object;
  if (parser_->parse(json.data(), json.size(), /*realloc_if_needed=*/true).get(object)) {
    return std::nullopt;
  }
  std::optional<simdjson::dom::element> last;
  for (const auto& [key, value] : object) {
    if (key == field_) last = value;
  }
  std::string_view text;
  if (!last || last->get(text)) return std::nullopt;
  return std::string(text);
}

std::string JsonText::read(std::string_view json) {
  if (auto text = read_fast(json)) return *std::move(text);
  const size_t bad = find_invalid_utf8(json);
  if (bad != std::string_view::npos) fail("is not valid UTF-8 at byte {}", bad + 1);
  if (auto text = read_json_exactly(json, field_)) return *std::move(text);
  fail("has no \"{}\" that is a string", printable(field_));
}

bool JsonText::accepts(std::string_view json) {
  try {
    read(json);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool JsonText::is_valid(std::string_view json) {
  if (find_invalid_utf8(json) != std::string_view::npos) return false;
  try {
    read_json_exactly(json, "");
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace twofour::text
