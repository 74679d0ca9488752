// --config and --print-config.
#include <algorithm>
#include <cstdio>

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

// Sets every option that `path` names and the command line does not: flags win over the file.
void apply_config(CLI::App& command, const std::string& path) {
  check_readable(path);
  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_file(path);
  } catch (const CLI::Error& error) {
    fail_usage("cannot read the config \"{}\": {}", path, error.what());
  }
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") continue;  // CLI11's marks of a section
    const std::string key = item.fullname();
    const auto known = configurable_names(command);
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      const std::string near = nearest(key, known);
      fail_usage("unknown key \"{}\" in the config \"{}\"{}", printable(key), path,
                 near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near));
    }
    CLI::Option* option = command.get_option("--" + key);
    if (option->count() > 0) continue;
    try {
      if (option->get_expected_max() == 0) {
        option->add_result(option->get_flag_value("--" + key, item.inputs.at(0)));
      } else {
        option->add_result(item.inputs);
      }
      option->run_callback();
    } catch (const std::exception& error) {
      fail_usage("bad value of \"{}\" in the config \"{}\": {}", key, path, error.what());
    }
  }
}

}  // namespace

void add_config_options(CLI::App& command, std::function<std::string()> implicit_file) {
  command.add_option("--config", "options from a TOML file, keys as the long names; flags win")
      ->configurable(false)
      ->type_name("FILE");
  command.add_flag("--print-config")
      ->description("print the effective options as such a file and do nothing else")
      ->configurable(false);
  // Before the command's own callback, whatever the order of declaration.
  command.parse_complete_callback([&command, implicit_file] {
    const CLI::Option* config = command.get_option("--config");
    std::string path = implicit_file ? implicit_file() : "";
    if (config->count() > 0) path = config->as<std::string>();
    if (!path.empty()) apply_config(command, path);
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
