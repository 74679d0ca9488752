#include "twofour/cli/text_stream.h"

#include <algorithm>

#include "twofour/base/utf8.h"

namespace twofour::cli {
namespace {

// Whether more bytes could complete the invalid sequence at the start of `rest`.
bool may_continue(std::string_view rest) {
  const auto lead = static_cast<unsigned char>(rest[0]);
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  if (rest.size() >= length) return false;
  return std::all_of(rest.begin() + 1, rest.end(),
                     [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; });
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stops, std::function<void(std::string_view)> sink)
    : stops_(std::move(stops)), sink_(std::move(sink)) {
  std::erase(stops_, "");
}

void TextStream::take_characters(bool all) {
  std::string_view rest = bytes_;
  while (!rest.empty() && (all || utf8_sequence_length(rest) > 0 || !may_continue(rest))) {
    const size_t length = utf8_sequence_length(rest);
    ready_ += length > 0 ? rest.substr(0, length) : "\xef\xbf\xbd";
    rest.remove_prefix(std::max<size_t>(length, 1));
  }
  bytes_ = std::string(rest);
}

// The length of the longest suffix of `ready_` that begins a stop string.
size_t TextStream::held_back() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, ready_.size()); length > longest; --length) {
      if (std::string_view(ready_).ends_with(std::string_view(stop).substr(0, length))) {
        longest = length;
      }
    }
  }
  return longest;
}

void TextStream::hand_on(size_t count) {
  if (count == 0) return;
  const std::string_view out = std::string_view(ready_).substr(0, count);
  sink_(out);
  text_ += out;
  ready_.erase(0, count);
}

bool TextStream::add(std::string_view bytes) {
  if (stopped_) return false;
  bytes_ += bytes;
  take_characters(/*all=*/false);
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, ready_.find(stop));
  stopped_ = first != std::string::npos;
  hand_on(stopped_ ? first : ready_.size() - held_back());
  return !stopped_;
}

void TextStream::finish() {
  if (stopped_) return;
  take_characters(/*all=*/true);
  size_t first = ready_.size();
  for (const std::string& stop : stops_) first = std::min(first, ready_.find(stop));
  hand_on(first);
}

}  // namespace twofour::cli
