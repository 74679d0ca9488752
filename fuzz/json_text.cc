// A line of JSON: the fast reader and the exact one agree.
#include "twofour/text/json_text.h"

#include <optional>

#include "twofour/base/utf8.h"
#include "twofour/text/json_exact.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace twofour;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  text::JsonText json("text");
  std::string read;
  const bool has_text = fuzz::accepted([&] { read = json.read(line); });
  fuzz::check(has_text == json.accepts(line), "it is decided the same way again");
  if (find_invalid_utf8(line) != std::string_view::npos) {
    fuzz::check(!has_text, "a line that is not UTF-8 has no text");
    return 0;
  }
  std::optional<std::string> exact;
  const bool is_valid = fuzz::accepted([&] { exact = text::read_json_exactly(line, "text"); });
  fuzz::check(has_text == (is_valid && exact), "simdjson takes nothing that the grammar refuses");
  fuzz::check(!has_text || read == *exact, "both read the same text");
  fuzz::check(!has_text || find_invalid_utf8(read) == std::string_view::npos, "a text is UTF-8");
  return 0;
}
