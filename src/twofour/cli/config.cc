// --config and --print-config.
#include <algorithm>
#include <cstdio>
#include <sstream>

#include <CLI/CLI.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/cli/command.h"
#include "twofour/cli/nearest.h"

namespace twofour::cli {
namespace {

const std::vector<std::string> kNeverWritten = {"help", "config", "print-config"};

std::vector<std::string> configurable_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_configurable() && !option->get_lnames().empty()) {
      names.push_back(option->get_lnames().front());
    }
  }
  return names;
}

bool is_configurable(const CLI::App& command, const std::string& key) {
  const auto known = configurable_names(command);
  return std::find(known.begin(), known.end(), key) != known.end();
}

void set_results(CLI::Option& option, const std::vector<std::string>& values) {
  if (option.get_expected_max() == 0) {
    option.add_result(option.get_flag_value("--" + option.get_lnames().front(), values.at(0)));
  } else {
    option.add_result(values);
  }
  option.run_callback();
}

// CLI11 takes a "#" inside quotes for a comment too. So comments go first, those outside quotes.
std::string without_comments(const std::string& text) {
  std::string out;
  char quote = '\0';
  bool in_comment = false;
  for (const char c : text) {
    if (c == '\n') {
      quote = '\0';
      in_comment = false;
    } else if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      if (!in_comment) quote = c;
    } else if (c == '#') {
      in_comment = true;
    }
    if (!in_comment) out += c;
  }
  return out;
}

std::vector<CLI::ConfigItem> read_config(const std::string& path) {
  CLI::ConfigTOML parser;
  parser.comment('\x01');
  std::istringstream text(without_comments(read_file_or_pipe(path, kLargestSettings)));
  return parser.from_config(text);
}

// Sets every option that `path` names and the command line does not: flags win over the file.
void apply_config(CLI::App& command, const std::string& path, GivenOptions& given) {
  std::vector<CLI::ConfigItem> items;
  try {
    items = read_config(path);
  } catch (const CLI::Error& error) {
    fail_usage("cannot read the config \"{}\": {}", path, error.what());
  }
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") continue;  // CLI11's marks of a section
    const std::string key = item.fullname();
    if (!is_configurable(command, key)) {
      const std::string near = nearest(key, configurable_names(command));
      fail_usage("unknown key \"{}\" in the config \"{}\"{}", printable(key), path,
                 near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near));
    }
    if (!item.inputs.empty()) given.in_config[key] = item.inputs.front();
    CLI::Option* option = command.get_option("--" + key);
    if (option->count() > 0) continue;
    try {
      set_results(*option, item.inputs);
    } catch (const std::exception& error) {
      fail_usage("bad value of \"{}\" in the config \"{}\": {}", key, path, error.what());
    }
  }
}

std::set<std::string> given_options(const CLI::App& command) {
  std::set<std::string> given;
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() > 0 && !option->get_lnames().empty()) {
      given.insert(option->get_lnames().front());
    }
  }
  return given;
}

}  // namespace

void set_option(CLI::App& command, const std::string& name, const std::string& value) {
  CLI::Option* option = command.get_option("--" + name);
  option->clear();
  set_results(*option, {value});
}

void set_option_if_unset(CLI::App& command, const std::string& name, const std::string& value) {
  if (command.get_option("--" + name)->count() == 0) set_option(command, name, value);
}

void add_config_options(CLI::App& command, ConfigHooks hooks) {
  command.add_option("--config", "options from a TOML file, keys as the long names; flags win")
      ->configurable(false)
      ->type_name("FILE");
  command.add_flag("--print-config")
      ->description("print the effective options as such a file and do nothing else")
      ->configurable(false);
  // Before the command's own callback, whatever the order of declaration.
  command.parse_complete_callback([&command, hooks] {
    GivenOptions given{given_options(command), {}};
    const CLI::Option* config = command.get_option("--config");
    std::string path = hooks.implicit_file ? hooks.implicit_file() : "";
    if (config->count() > 0) path = config->as<std::string>();
    if (!path.empty()) apply_config(command, path, given);
    if (hooks.complete) hooks.complete(given);
    if (command.get_option("--print-config")->count() > 0) {
      fmt::print("{}", effective_config(command));
      throw CLI::Success();
    }
  });
}

std::string effective_config(const CLI::App& command, const std::vector<std::string>& leave_out) {
  std::string toml;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_configurable() || option->get_lnames().empty()) continue;
    const std::string name = option->get_lnames().front();
    const auto is_name = [&](const auto& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (is_name(kNeverWritten) || is_name(leave_out)) continue;
    std::string value;
    if (option->count() > 0) {
      const bool is_flag = option->get_expected_max() == 0;
      value = is_flag ? (option->as<bool>() ? "true" : "false")
                      : CLI::detail::ini_join(option->reduced_results(), ',', '[', ']', '"', '\'');
    } else {
      value = CLI::detail::convert_arg_for_ini(option->get_default_str(), '"', '\'');
      if (option->get_expected_max() == 0) value = "false";
      if (option->get_default_str().empty() && option->get_expected_max() != 0) continue;
    }
    toml += fmt::format("{} = {}\n", name, value);
  }
  return toml;
}

}  // namespace twofour::cli
