#include "twofour/cli/input_options.h"

#include "twofour/cli/values.h"

namespace twofour::cli {

void add_input_options(CLI::App& command, text::DocumentOptions& options) {
  add_choice(command, "--input-format", options.format, {"auto", "text", "jsonl", "json"},
             "text, jsonl (a document a line), json (an array, or one document); auto = by content "
             "and name");
  command.add_option("--text-field", options.text_field, "JSON field that holds the text")
      ->type_name("NAME");
}

}  // namespace twofour::cli
