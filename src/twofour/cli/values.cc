#include "twofour/cli/values.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/numbers.h"
#include "twofour/cli/nearest.h"

namespace twofour::cli {
namespace {

// The names of the checks, by which --help finds their descriptions.
constexpr const char* kRange = "range";
constexpr const char* kChoices = "choices";

std::string description_of(const CLI::Option& option, const std::string& check) {
  try {
    return const_cast<CLI::Option&>(option).get_validator(check)->get_description();
  } catch (const CLI::OptionNotFound&) {
    return "";
  }
}

// Other names of dtypes, as users of PyTorch know them.
const std::map<std::string, std::string>& dtype_aliases() {
  static const std::map<std::string, std::string> kAliases = {
      {"fp32", "float32"}, {"bf16", "bfloat16"}, {"fp16", "float16"}, {"half", "float16"}};
  return kAliases;
}

}  // namespace

bool Range::contains(double value) const {
  return (without_low ? value > low : value >= low) &&
         (without_high ? value < high : value <= high);
}

std::string Range::text() const {
  if (std::isinf(high))
    return without_low ? fmt::format("above {}", low) : fmt::format("{} or more", low);
  if (without_low && without_high) return fmt::format("above {}, below {}", low, high);
  if (without_high) return fmt::format("{} or more, below {}", low, high);
  return fmt::format("{} to {}", low, high);
}

template <class T>
CLI::Option* check_range(CLI::Option* option, const Range& range) {
  constexpr bool kIsWhole = !std::is_floating_point_v<T>;
  const auto check = [range](std::string& text) -> std::string {
    const std::optional<T> value = parse_number<T>(text);
    if (!value || !range.contains(static_cast<double>(*value))) {
      return fmt::format("must be a {}number, {}, but is \"{}\"", kIsWhole ? "whole " : "",
                         range.text(), printable(text));
    }
    // CLI11 reads the text again and would take "010" as octal.
    if constexpr (kIsWhole) text = fmt::format("{}", *value);
    return "";
  };
  return option->transform(CLI::Validator(check, range.text(), kRange))
      ->type_name(kIsWhole ? "N" : "X");
}
template CLI::Option* check_range<int64_t>(CLI::Option*, const Range&);
template CLI::Option* check_range<uint64_t>(CLI::Option*, const Range&);
template CLI::Option* check_range<double>(CLI::Option*, const Range&);

CLI::Option* check_choice(CLI::Option* option, const std::vector<std::string>& choices) {
  const auto check = [choices](std::string& text) -> std::string {
    if (std::find(choices.begin(), choices.end(), text) != choices.end()) return "";
    const std::string near = nearest(text, choices);
    return fmt::format("must be {}, but is \"{}\"{}", either_of(choices), printable(text),
                       near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near));
  };
  return option->transform(
      CLI::Validator(check, fmt::format("{}", fmt::join(choices, " ")), kChoices));
}

CLI::Option* add_choice(CLI::App& command, const std::string& name, std::string& value,
                        const std::vector<std::string>& choices, const std::string& help) {
  return check_choice(command.add_option(name, value, help), choices)->type_name("NAME");
}

CLI::Option* add_dtype(CLI::App& command, const std::string& name, std::string& value,
                       const std::string& help, const std::vector<std::string>& or_else) {
  std::vector<std::string> choices = {"float32", "bfloat16", "float16"};
  choices.insert(choices.end(), or_else.begin(), or_else.end());
  const auto spell = [](std::string& text) -> std::string {
    const auto found = dtype_aliases().find(text);
    if (found != dtype_aliases().end()) text = found->second;
    return "";
  };
  // transform runs it before the check of the choices.
  return add_choice(command, name, value, choices, help)
      ->transform(CLI::Validator(spell, "", "aliases"))
      ->type_name("DTYPE");
}

std::string range_of(const CLI::Option& option) { return description_of(option, kRange); }

std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string joined = description_of(option, kChoices);
  return joined.empty() ? std::vector<std::string>() : CLI::detail::split(joined, ' ');
}

void describe_range(CLI::Option& option, const std::string& words) {
  const auto accept = [](std::string&) { return std::string(); };
  option.transform(CLI::Validator(accept, words, kRange));
}

std::string either_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  }
  return text;
}

std::optional<uint64_t> bytes_named(const std::string& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const double number = parse_number(std::string_view(text).substr(0, digits)).value_or(0);
  constexpr double kKibi = 1024.0, kMebi = kKibi * kKibi, kGibi = kMebi * kKibi;
  const std::vector<std::pair<std::string, double>> units = {
      {"KB", 1e3},    {"MB", 1e6},    {"GB", 1e9},  {"TB", 1e12}, {"KiB", kKibi},
      {"MiB", kMebi}, {"GiB", kGibi}, {"K", kKibi}, {"M", kMebi}, {"G", kGibi}};
  for (const auto& [unit, factor] : units) {
    if (text.substr(digits) == unit && number * factor >= 1 && number * factor < 1e18) {
      return static_cast<uint64_t>(number * factor);
    }
  }
  return std::nullopt;
}

CLI::Option* add_size(CLI::App& command, const std::string& name, std::string& value,
                      const std::string& help) {
  const auto check = [](std::string& text) {
    if (bytes_named(text)) return std::string();
    return fmt::format("must be a size such as 5GB, 200MB or 1GiB, but is \"{}\"", printable(text));
  };
  return command.add_option(name, value, help)->check(CLI::Validator(check, ""))->type_name("SIZE");
}

}  // namespace twofour::cli
