// completion bash|zsh|fish: a script for the shell, generated from the declarations of all
// commands.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "twofour/base/streams.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/values.h"

namespace twofour::cli {
namespace {

enum class Argument { kNone, kChoice, kFolder, kFile, kOther };

// One option or positional argument.
struct Word {
  std::string name, letter, help;  ///< "--steps"; empty for a positional argument
  Argument argument = Argument::kNone;
  std::vector<std::string> choices;
};

// A command or a group of them.
struct Node {
  std::string path, help;  ///< "/eval/perplexity", "" for the program
  std::vector<Word> words;
  std::vector<std::pair<std::string, std::string>> commands;  ///< name, help
};

Argument argument_of(const CLI::Option& option) {
  if (option.get_expected_max() == 0) return Argument::kNone;
  if (!choices_of(option).empty()) return Argument::kChoice;
  const std::string type = option.get_type_name().substr(0, option.get_type_name().find(':'));
  if (type == "DIR" || type == "RUN") return Argument::kFolder;
  const bool is_path =
      type.starts_with("FILE") || type == "PATH" || type == "RUNS" || type == "IN" || type == "OUT";
  return is_path ? Argument::kFile : Argument::kOther;
}

void collect(const CLI::App& app, const std::string& path, std::vector<Node>& nodes) {
  Node node{path, app.get_description(), {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    Word word{"", "", option->get_description(), argument_of(*option), choices_of(*option)};
    if (!option->get_positional()) word.name = "--" + option->get_lnames().front();
    if (!option->get_snames().empty()) word.letter = "-" + option->get_snames().front();
    node.words.push_back(std::move(word));
  }
  for (const CLI::App* command : app.get_subcommands({})) {
    node.commands.emplace_back(command->get_name(), command->get_description());
  }
  nodes.push_back(node);
  for (const CLI::App* command : app.get_subcommands({})) {
    collect(*command, path + "/" + command->get_name(), nodes);
  }
}

// "/data | /train": the paths of all commands, as a pattern of `case`.
std::string path_pattern(const std::vector<Node>& nodes) {
  std::string pattern;
  for (const Node& node : nodes) {
    if (!node.path.empty()) pattern += (pattern.empty() ? "" : " | ") + node.path;
  }
  return pattern;
}

// `text` with a backslash before each of `special`.
std::string escaped(const std::string& text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// `text` inside the single quotes of bash and zsh.
std::string unquoted(const std::string& text) {
  return CLI::detail::find_and_replace(text, "'", R"('\'')");
}

const char* bash_action(const Word& word) {
  switch (word.argument) {
    case Argument::kFolder:
      return "_twofour_paths -d";
    case Argument::kFile:
      return "_twofour_paths -f";
    default:
      return ":";
  }
}

std::string bash_cases(const std::vector<Node>& nodes) {
  std::string values, words;
  for (const Node& node : nodes) {
    std::string names;
    const char* positional = ":";
    for (const auto& [name, help] : node.commands) names += name + " ";
    for (const Word& word : node.words) {
      if (word.name.empty()) {
        positional = bash_action(word);
        continue;
      }
      names += word.name + " ";
      if (word.argument == Argument::kNone) continue;
      const std::string action =
          word.argument == Argument::kChoice
              ? fmt::format("_twofour_words '{}'", fmt::join(word.choices, " "))
              : bash_action(word);
      values += fmt::format("    {}:{}) {} ; return ;;\n", node.path, word.name, action);
    }
    words += fmt::format("    '{}') [[ $word == -* ]] || {} ; _twofour_words '{}' ;;\n", node.path,
                         positional, names);
  }
  return "  case $command:$before in\n" + values + "  esac\n  case $command in\n" + words +
         "  esac\n";
}

std::string bash_script(const std::vector<Node>& nodes) {
  return R"(# Completion of twofour for bash: source <(twofour completion bash)
_twofour_words() { COMPREPLY+=($(compgen -W "$1" -- "$word")); }
_twofour_paths() {
  compopt -o filenames 2>/dev/null
  local path
  while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen "$1" -- "$word")
}
_twofour() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= at
  # "--name=value" comes as three words.
  [[ $word == = ]] && word=
  [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD-2]}
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; ++at)); do
    case $command/${COMP_WORDS[at]} in
      )" +
         path_pattern(nodes) + R"() command+=/${COMP_WORDS[at]} ;;
    esac
  done
)" + bash_cases(nodes) +
         R"(}
complete -F _twofour twofour
)";
}

std::string zsh_action(const Word& word) {
  switch (word.argument) {
    case Argument::kChoice:
      return fmt::format(":value:({})", fmt::join(word.choices, " "));
    case Argument::kFolder:
      return ":folder:_files -/";
    case Argument::kFile:
      return ":file:_files";
    default:
      return word.argument == Argument::kNone ? "" : ":value: ";
  }
}

std::string zsh_script(const std::vector<Node>& nodes) {
  std::string cases;
  for (const Node& node : nodes) {
    cases += fmt::format("    '{}')\n", node.path);
    if (!node.commands.empty()) {
      cases += "      _values command";
      for (const auto& [name, help] : node.commands) {
        cases += fmt::format(" '{}[{}]'", name, unquoted(escaped(help, "[]:\\")));
      }
      cases += "\n      ;;\n";
      continue;
    }
    cases += "      _arguments";
    for (const Word& word : node.words) {
      const std::string help = unquoted(escaped(word.help, "[]:\\"));
      cases += word.name.empty() ? fmt::format(" '*{}'", zsh_action(word))
                                 : fmt::format(" \\\n        '{}{}[{}]{}'", word.name,
                                               word.argument == Argument::kNone ? "" : "=", help,
                                               zsh_action(word));
    }
    cases += "\n      ;;\n";
  }
  return R"(#compdef twofour
# Completion of twofour for zsh: source <(twofour completion zsh)
_twofour() {
  local command= depth=1
  while ((depth + 1 < CURRENT)); do
    case $command/$words[depth+1] in
      ()" +
         path_pattern(nodes) + R"() command+=/$words[depth+1] ; ((++depth)) ;;
      (*) break ;;
    esac
  done
  words=("${(@)words[depth,-1]}")
  ((CURRENT -= depth - 1))
  case $command in
)" + cases +
         R"(  esac
}
compdef _twofour twofour
)";
}

std::string fish_line(const Node& node, const Word& word) {
  std::string line = fmt::format("complete -c twofour -n '__twofour_at \"{}\"'", node.path);
  if (!word.name.empty()) line += " -l " + word.name.substr(2);
  if (!word.letter.empty()) line += " -s " + word.letter.substr(1);
  if (word.argument == Argument::kChoice) {
    line += fmt::format(" -xa '{}'", fmt::join(word.choices, " "));
  } else if (word.argument == Argument::kFolder) {
    line += " -xa '(__fish_complete_directories)'";
  } else if (word.argument == Argument::kFile) {
    line += word.name.empty() ? " -F" : " -rF";
  } else if (word.argument == Argument::kOther) {
    line += " -x";
  }
  return line + fmt::format(" -d '{}'\n", escaped(word.help, "'\\"));
}

std::string fish_script(const std::vector<Node>& nodes) {
  std::string cases;
  for (const Node& node : nodes) {
    if (!node.path.empty()) cases += " " + node.path;
  }
  std::string script = R"(# Completion of twofour for fish: twofour completion fish | source
function __twofour_at
  set -l command ""
  for word in (commandline -opc)[2..]
    contains -- "$command/$word" )" +
                       cases + R"(; and set command "$command/$word"
  end
  test "$command" = "$argv[1]"
end
complete -c twofour -f
)";
  for (const Node& node : nodes) {
    for (const auto& [name, help] : node.commands) {
      script += fmt::format("complete -c twofour -n '__twofour_at \"{}\"' -a {} -d '{}'\n",
                            node.path, name, escaped(help, "'\\"));
    }
    for (const Word& word : node.words) script += fish_line(node, word);
  }
  return script;
}

}  // namespace

void add_completion(CLI::App& program) {
  CLI::App& command = *program.add_subcommand("completion",
                                              "a script that completes commands, "
                                              "options and values in your shell");
  auto shell = std::make_shared<std::string>();
  check_choice(command.add_option("shell", *shell, "bash, zsh or fish"), {"bash", "zsh", "fish"})
      ->required()
      ->type_name("SHELL");
  set_example(command, "source <(twofour completion bash)");
  on_run(command, [shell, &program] {
    std::vector<Node> nodes;
    collect(program, "", nodes);
    write_output(*shell == "bash"  ? bash_script(nodes)
                 : *shell == "zsh" ? zsh_script(nodes)
                                   : fish_script(nodes));
  });
}

}  // namespace twofour::cli
