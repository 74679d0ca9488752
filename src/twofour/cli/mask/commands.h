// The functions of `mask`'s commands: each declares one.
#pragma once

#include <CLI/CLI.hpp>

namespace twofour::cli {

void add_mask_show(CLI::App& group);
void add_mask_apply(CLI::App& group);
void add_mask_diff(CLI::App& group);
void add_mask_extract(CLI::App& group);

}  // namespace twofour::cli
