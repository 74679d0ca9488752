#include <algorithm>

#include <CLI/CLI.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/nearest.h"
#include "twofour/cli/toml.h"

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

// Stores the values and runs the option's checks and its callback.
void set_results(CLI::Option& option, const std::vector<std::string>& values) {
  if (option.get_expected_max() == 0) {
    option.add_result(option.get_flag_value("--" + option.get_lnames().front(), values.at(0)));
  } else {
    option.add_result(values);
  }
  option.run_callback();
}

// The message of an option's check without the option's name before it.
std::string reason_of(const CLI::Error& error) {
  const std::string message = error.what();
  const size_t colon = message.find(": ");
  return colon == std::string::npos ? message : message.substr(colon + 2);
}

std::string unknown_key(const CLI::App& command, const std::string& key) {
  const std::string near = nearest(key, configurable_names(command));
  return fmt::format("unknown key \"{}\"{}", printable(key),
                     near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near));
}

// Throws CLI::Error or Error for values that the option does not take.
void apply_entry(CLI::Option& option, const TomlEntry& entry) {
  const bool is_flag = option.get_expected_max() == 0;
  const bool takes_many = option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  if (entry.is_list && !takes_many) fail("it takes one value, not a list");
  if (is_flag && entry.values.front() != "true" && entry.values.front() != "false") {
    fail("must be true or false, but is \"{}\"", printable(entry.values.front()));
  }
  set_results(option, entry.values);
}

// Sets the options in `path` that the command line does not set. The file's values are always
// checked.
void apply_config(CLI::App& command, const std::string& path, GivenOptions& given) {
  const std::string text = read_file_or_pipe(path, kLargestSettings);
  std::vector<TomlEntry> entries;
  try {
    entries = read_toml(text);
  } catch (const Error& error) {
    fail_usage("cannot read the config \"{}\": {}", path, error.what());
  }
  for (const TomlEntry& entry : entries) {
    const auto refuse = [&](const std::string& reason) {
      fail_usage("\"{}\" in line {} of the config \"{}\": {}", printable(entry.key), entry.line,
                 path, reason);
    };
    if (!is_configurable(command, entry.key)) {
      fail_usage("{} in line {} of the config \"{}\"", unknown_key(command, entry.key), entry.line,
                 path);
    }
    CLI::Option& option = *command.get_option("--" + entry.key);
    const std::vector<std::string> typed = option.results();
    try {
      apply_entry(option, entry);
      if (typed.empty()) continue;
      option.clear();
      option.add_result(typed);
      option.run_callback();
    } catch (const CLI::Error& error) {
      refuse(reason_of(error));
    } catch (const Error& error) {
      refuse(error.what());
    }
  }
  for (const TomlEntry& entry : entries) {
    if (!entry.values.empty()) given.in_config[entry.key] = entry.values.front();
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
  command
      .add_option("--config", "TOML file of options, keyed by their long names; flags override it")
      ->configurable(false)
      ->type_name("FILE");
  command.add_flag("--print-config")
      ->description("print the effective options as TOML and exit")
      ->configurable(false);
  // Runs before the command's own callback, independent of the order of declaration.
  command.parse_complete_callback([&command, hooks] {
    if (command.get_help_ptr()->count() > 0 || command.remaining_size() > 0) return;
    GivenOptions given{given_options(command), {}};
    const CLI::Option* config = command.get_option("--config");
    std::string path = hooks.implicit_file ? hooks.implicit_file() : "";
    if (config->count() > 0) path = config->as<std::string>();
    if (!path.empty()) apply_config(command, path, given);
    if (hooks.complete) hooks.complete(given);
    if (command.get_option("--print-config")->count() > 0) {
      write_output(effective_config(command));
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
    const bool is_flag = option->get_expected_max() == 0;
    std::string value = option->get_default_str();
    if (is_flag) {
      value = option->count() > 0 && option->as<bool>() ? "true" : "false";
    } else if (option->count() > 0) {
      value = option->as<std::string>();
    } else if (value.empty()) {
      continue;
    }
    toml += fmt::format("{} = {}\n", name, to_toml(value));
  }
  return toml;
}

}  // namespace twofour::cli
