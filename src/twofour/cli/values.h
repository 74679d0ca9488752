// The allowed values of an option, stated once with the option. They are checked on the command
// line and in config files before anything runs, printed by --help and offered by shell completion.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

namespace twofour::cli {

/// Numbers from `low` to `high`.
struct Range {
  double low;
  double high = std::numeric_limits<double>::infinity();
  bool without_low = false, without_high = false;  ///< exclude the bound itself

  bool contains(double value) const;
  std::string text() const;  ///< "1 to 1024", "0 or more", "above 0, below 1"
};

inline Range at_least(double low) { return {.low = low}; }
inline Range between(double low, double high) { return {.low = low, .high = high}; }
inline Range above(double low) { return {.low = low, .without_low = true}; }
/// A share below the whole.
inline Range proper_share() { return {.low = 0, .high = 1, .without_high = true}; }

/// Enough for any run, and small enough that products of two of them stay exact.
constexpr double kMostSteps = 1e9;
/// For tensors: products of two sizes and a thousand layers fit into 63 bits.
constexpr double kLargestSize = 1 << 24;

/// Adds the check to a declared option.
template <class T>
CLI::Option* check_range(CLI::Option* option, const Range& range);

/// Declares an option that takes one number in `range`. T: a number or an optional one.
template <class T>
CLI::Option* add_number(CLI::App& command, const std::string& name, T& value, const Range& range,
                        const std::string& help);

/// Declares an option that takes one of `choices`.
CLI::Option* add_choice(CLI::App& command, const std::string& name, std::string& value,
                        const std::vector<std::string>& choices, const std::string& help);

/// Adds the check to a declared option.
CLI::Option* check_choice(CLI::Option* option, const std::vector<std::string>& choices);

/// Declares an option that takes a dtype or one of the other words. fp32, bf16, fp16 and half are
/// accepted too and become the names of tensor/dtype.h.
CLI::Option* add_dtype(CLI::App& command, const std::string& name, std::string& value,
                       const std::string& help, const std::vector<std::string>& or_else = {});

/// "5GB", "200MB" or "1.5GiB" in bytes, as transformers reads them, or "4G" (GiB); nothing for
/// other text.
std::optional<uint64_t> bytes_named(const std::string& text);

/// Declares an option that takes such a size.
CLI::Option* add_size(CLI::App& command, const std::string& name, std::string& value,
                      const std::string& help);

/// The range or the choices of a declared option in words; empty if it has none.
std::string range_of(const CLI::Option& option);
std::vector<std::string> choices_of(const CLI::Option& option);

/// Describes the range of an option that checks it itself.
void describe_range(CLI::Option& option, const std::string& words);

/// "a, b or c".
std::string either_of(const std::vector<std::string>& names);

// Details of the templates.

template <class T>
struct NumberOf {
  using type = T;
};
template <class T>
struct NumberOf<std::optional<T>> {
  using type = T;
};

template <class T>
CLI::Option* add_number(CLI::App& command, const std::string& name, T& value, const Range& range,
                        const std::string& help) {
  using Number = typename NumberOf<T>::type;
  using Parsed =
      std::conditional_t<std::is_floating_point_v<Number>, double,
                         std::conditional_t<std::is_signed_v<Number>, int64_t, uint64_t>>;
  CLI::Option* option = command.add_option(name, value, help);
  return check_range<Parsed>(option, range);
}

}  // namespace twofour::cli
