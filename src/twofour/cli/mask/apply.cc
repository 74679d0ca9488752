#include <algorithm>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/base/progress.h"
#include "twofour/base/streams.h"
#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/masks_of_model.h"
#include "twofour/cli/command.h"
#include "twofour/cli/help.h"
#include "twofour/cli/json_output.h"
#include "twofour/cli/mask/commands.h"
#include "twofour/cli/mask/masks.h"
#include "twofour/cli/model_option.h"
#include "twofour/cli/output_folder.h"

namespace twofour::cli {
namespace {

struct MaskApplyFlags {
  ModelOption model;
  std::string out;
  bool force = false, json = false;
};

int64_t removed_by(const MaskSet& set) {
  int64_t removed = 0;
  for (const auto& [name, mask] : set.masks) {
    const int64_t entries = c10::multiply_integers(set.shapes.at(name));
    const at::Tensor kept = unpacked(mask, entries);
    const auto* first = kept.const_data_ptr<uint8_t>();
    removed += std::count(first, first + entries, uint8_t{0});
  }
  return removed;
}

void run_mask_apply(const MaskApplyFlags& flags) {
  check_output_folder(flags.out, flags.model.path, flags.force);
  checkpoint::ModelFolder model = open_model({flags.model.path, flags.model.is_strict});
  const MaskSet set = masks_for(flags.model.masks, model.config().model);
  model.put_masks(set.masks);
  checkpoint::ModelSource source = checkpoint::open_folder(std::move(model));
  uint64_t total = 0, done = 0;
  for (const auto& tensor : source.tensors) total += tensor.bytes();
  ProgressBar bar("applying", total);
  for (auto& tensor : source.tensors) {
    tensor.make = [&, make = tensor.make, bytes = tensor.bytes()] {
      bar.update(done += bytes);
      return make();
    };
  }
  AtomicFolder folder(flags.out);
  checkpoint::write_folder(folder.path(), source, checkpoint::kLargestShard);
  folder.commit();
  ProgressBar::clear_line();
  const int64_t zeros = removed_by(set);
  if (flags.json) {
    print_json_line({{"out", flags.out},
                     {"masked_layers", set.masks.size()},
                     {"other_linear_layers", without_mask(set)},
                     {"removed", zeros}});
  } else {
    print_line("{}: masks of {} applied, which remove {} entries", flags.out,
               count_of_layers(set.masks.size()), zeros);
  }
}

}  // namespace

void add_mask_apply(CLI::App& group) {
  CLI::App& command = *group.add_subcommand("apply", "a dense model and masks to a sparse model");
  auto flags = std::make_shared<MaskApplyFlags>();
  add_model_options(command, flags->model)->required();
  add_masks_option(command, flags->model)->required();
  command.add_option("--out", flags->out, "the folder to write")->required()->type_name("DIR");
  command.add_flag("--force", flags->force, "replace --out");
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print the summary as one JSON object");
  set_example(command, "twofour mask apply --model dense --masks masks.npz --out sparse");
  on_run(command, [flags] { run_mask_apply(*flags); });
}

}  // namespace twofour::cli
