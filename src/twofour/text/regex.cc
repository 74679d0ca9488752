#include "twofour/text/regex.h"

#include <mutex>

#include <oniguruma.h>

#include "twofour/base/error.h"
#include "twofour/base/utf8.h"
#include "twofour/text/unicode_properties.h"

namespace twofour::text {
namespace {

// onig_new is not safe to call from two threads at once.
std::mutex& compiling() {
  static std::mutex mutex;
  return mutex;
}

std::string message_of(int code, OnigErrorInfo* info) {
  OnigUChar text[ONIG_MAX_ERROR_MESSAGE_LEN] = {};
  onig_error_code_to_str(text, code, info);
  return reinterpret_cast<const char*>(text);
}

const OnigUChar* bytes(const char* text) { return reinterpret_cast<const OnigUChar*>(text); }

struct FreeRegion {
  void operator()(OnigRegion* region) const { onig_region_free(region, 1); }
};

}  // namespace

struct Regex::Compiled {
  OnigRegex code = nullptr;
  ~Compiled() {
    if (code) onig_free(code);
  }
};

Regex::Regex(std::string_view pattern) {
  if (find_invalid_utf8(pattern) != std::string_view::npos) {
    fail("the regular expression \"{}\" is not UTF-8", printable(pattern));
  }
  const std::string translated = with_fixed_unicode(pattern);
  const std::lock_guard lock(compiling());
  OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
  onig_initialize(encodings, 1);
  auto compiled = std::make_shared<Compiled>();
  OnigErrorInfo info = {};
  const char* end = translated.data() + translated.size();
  const int code = onig_new(&compiled->code, bytes(translated.data()), bytes(end), ONIG_OPTION_NONE,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY, &info);
  if (code != ONIG_NORMAL) {
    fail("the regular expression \"{}\" is not understood: {}", printable(std::string(pattern)),
         message_of(code, &info));
  }
  compiled_ = std::move(compiled);
}

size_t Regex::next_character(std::string_view text, size_t at) {
  return at + (at < text.size() ? utf8_sequence_length(text.substr(at)) : 1);
}

std::optional<Regex::Match> Regex::search(std::string_view text, size_t from) const {
  thread_local const std::unique_ptr<OnigRegion, FreeRegion> region(onig_region_new());
  const char* end = text.data() + text.size();
  const int found =
      onig_search(compiled_->code, bytes(text.data()), bytes(end), bytes(text.data() + from),
                  bytes(end), region.get(), ONIG_OPTION_NONE);
  if (found == ONIG_MISMATCH) return std::nullopt;
  if (found < 0) {
    fail("the regular expression gave up at byte {}: {}", from, message_of(found, nullptr));
  }
  return Match{static_cast<size_t>(region->beg[0]), static_cast<size_t>(region->end[0])};
}

Regex regex_of_option(std::string_view option, std::string_view pattern) {
  try {
    return Regex(pattern);
  } catch (const Error& error) {
    fail_usage("{}: {}", option, error.what());
  }
}

}  // namespace twofour::text
