// The tokenizer without the program around it, for tests that try thousands of them. Reads lines of
// JSON {"file", "texts", "special", "ids"} and writes the results of tokenizer.json `file`: {"ids":
// of each text, "texts": of each list of ids, "skipped": the same without special tokens}, or
// {"error"}. A single refused text has {"error"} in its place.
#include <iostream>

#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/text/decoder.h"
#include "twofour/text/tokenizer.h"

namespace {

using Json = nlohmann::json;
using namespace twofour;

template <class Fn>
Json result_of(Fn&& fn) {
  try {
    return fn();
  } catch (const Error& error) {
    return {{"error", error.what()}};
  }
}

Json decode(const text::Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip) {
  const std::string whole = tokenizer.decode(ids, skip);
  text::Decoder decoder(tokenizer, skip);
  std::string streamed;
  for (const int32_t id : ids) streamed += decoder.add(id);
  streamed += decoder.finish();
  if (streamed != whole) fail("one id at a time decodes to \"{}\", all to \"{}\"", streamed, whole);
  return whole;
}

Json answer(const Json& task) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(task["file"].get<std::string>());
  Json ids = Json::array(), texts = Json::array(), skipped = Json::array();
  for (const auto& text : task["texts"]) {
    ids.push_back(result_of([&] {
      const auto& content = text.get_ref<const std::string&>();
      return Json(task["special"] == true ? tokenizer.encode_with_special(content)
                                          : tokenizer.encode(content));
    }));
  }
  for (const auto& list : task["ids"]) {
    const auto of_list = list.get<std::vector<int32_t>>();
    texts.push_back(result_of([&] { return decode(tokenizer, of_list, false); }));
    skipped.push_back(result_of([&] { return decode(tokenizer, of_list, true); }));
  }
  return {{"ids", ids}, {"texts", texts}, {"skipped", skipped}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const Json task = Json::parse(line);
    std::cout << result_of([&] { return answer(task); }).dump() << std::endl;
  }
}
