#include "twofour/cli/help.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "twofour/cli/values.h"

namespace twofour::cli {
namespace {

constexpr size_t kColumn = 30, kWidth = 100;

// "name   text". The text is wrapped beside the name, or below a name that is too long.
std::string entry(const std::string& name, const std::string& text) {
  std::string out = "  " + name;
  size_t at = out.size();
  if (at + 2 > kColumn) {
    out += "\n";
    at = 0;
  }
  out += std::string(kColumn - at, ' ');
  at = kColumn;
  bool is_first = true;
  for (const std::string& word : CLI::detail::split(text, ' ')) {
    if (!is_first && at + 1 + word.size() > kWidth) {
      out += "\n" + std::string(kColumn, ' ');
      at = kColumn;
      is_first = true;
    }
    out += (is_first ? "" : " ") + word;
    at += word.size() + !is_first;
    is_first = false;
  }
  return out + "\n";
}

bool is_flag(const CLI::Option& option) { return option.get_expected_max() == 0; }

// Removes the brackets of lists.
std::string default_of(const CLI::Option& option) {
  const std::string text = option.get_default_str();
  const bool is_list = text.starts_with('[') && text.ends_with(']');
  return is_list ? text.substr(1, text.size() - 2) : text;
}

// Whether the option is required, its allowed values and its default, in parentheses.
std::string facts_of(const CLI::Option& option) {
  std::vector<std::string> facts;
  if (option.get_required()) facts.emplace_back("required");
  const std::vector<std::string> choices = choices_of(option);
  const std::string range = range_of(option);
  // Choices that the description names are not listed again.
  const std::string& help = option.get_description();
  const bool are_named = std::all_of(choices.begin(), choices.end(), [&](const auto& choice) {
    return help.find(choice) != std::string::npos;
  });
  if (!are_named) facts.push_back(either_of(choices));
  if (!range.empty()) facts.push_back(range);
  const std::string value = default_of(option);
  if (!is_flag(option) && !value.empty()) facts.push_back("default " + value);
  return facts.empty() ? "" : fmt::format(" ({})", fmt::join(facts, "; "));
}

std::string options_of(const CLI::App& command, const std::string& group, bool positional) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_group() != group || option->get_positional() != positional) continue;
    text += entry(option_name(*option), option->get_description() + facts_of(*option));
  }
  return text.empty() ? text : "\n" + (positional ? "Arguments" : group) + ":\n" + text;
}

std::string usage_of(const CLI::App& command) {
  std::string usage = "Usage: " + full_name(command);
  if (!command.get_subcommands({}).empty()) return usage + " COMMAND [OPTIONS]\n";
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name = option_name(*option);
    usage += option->get_required() ? " " + name : " [" + name + "]";
  }
  return usage + " [OPTIONS]\n";
}

// The commands of the program or of a group, each with its example.
std::string commands_of(const CLI::App& group) {
  const auto commands = group.get_subcommands({});
  if (commands.empty()) return "";
  size_t width = 0;
  for (const CLI::App* command : commands) width = std::max(width, command->get_name().size());
  std::string text = group.get_parent() ? "\nCommands:\n" : "\nCommands, in the order of use:\n";
  for (const CLI::App* command : commands) {
    text += fmt::format("  {:<{}}  {}\n", command->get_name(), width, command->get_description());
    const std::string example = example_of(*command);
    if (!example.empty()) text += fmt::format("  {:<{}}    {}\n", "", width, example);
  }
  return text;
}

}  // namespace

std::string option_name(const CLI::Option& option) {
  const std::string type = option.get_type_name().substr(0, option.get_type_name().find(':'));
  if (option.get_positional()) return type;
  std::string name;
  for (const std::string& letter : option.get_snames()) name += "-" + letter + ", ";
  name += "--" + option.get_lnames().front();
  return is_flag(option) ? name : name + " " + type;
}

void set_example(CLI::App& command, const std::string& line) { command.footer(line); }

// A group's example is its first command's.
std::string example_of(const CLI::App& command) {
  const auto commands = command.get_subcommands({});
  const std::string own = command.get_footer();
  return own.empty() && !commands.empty() ? example_of(*commands.front()) : own;
}

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent ? full_name(*parent) + " " + command.get_name() : command.get_name();
}

std::string help_of(const CLI::App& command) {
  const bool is_program = command.get_parent() == nullptr;
  std::string text =
      fmt::format("{}: {}\n\n{}", full_name(command), command.get_description(), usage_of(command));
  text += commands_of(command);
  std::vector<std::string> groups = command.get_groups();
  text += options_of(command, "Options", /*positional=*/true);
  for (const std::string& group : groups) text += options_of(command, group, /*positional=*/false);
  if (is_program) return text + "\nEvery command takes --help.\n";
  if (command.get_subcommands({}).empty() && !command.get_footer().empty()) {
    text += "\nExample:\n  " + command.get_footer() + "\n";
  }
  return text;
}

}  // namespace twofour::cli
