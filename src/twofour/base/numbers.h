// Numbers that people and files write.
#pragma once

#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <type_traits>

namespace twofour {

/// All of `text` as one number: decimal digits with an optional minus, for floating-point types
/// also a point and an exponent. Nothing if `text` holds anything else, or if the number is not
/// finite or does not fit into T.
template <class T = double>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) return std::nullopt;
  }
  return value;
}

}  // namespace twofour
