#include "twofour/cli/command.h"
#include "twofour/cli/mask/commands.h"

namespace twofour::cli {

void add_mask(CLI::App& program) {
  CLI::App& group = *program.add_subcommand(
      "mask", "show, apply, compare and extract the masks of sparse models");
  group.require_subcommand(1);
  add_mask_show(group);
  add_mask_apply(group);
  add_mask_diff(group);
  add_mask_extract(group);
}

}  // namespace twofour::cli
