#include "twofour/cli/input_options.h"

namespace twofour::cli {

void add_input_options(CLI::App& command, text::DocumentOptions& options) {
  command
      .add_option("--input-format", options.format,
                  "text, jsonl (a document a line), json (an array, or one document); auto = by "
                  "content and name")
      ->check(CLI::IsMember({"auto", "text", "jsonl", "json"}))
      ->type_name("NAME");
  command.add_option("--text-field", options.text_field, "of JSON: the field of the text")
      ->type_name("NAME");
}

}  // namespace twofour::cli
