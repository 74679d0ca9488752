#include <memory>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <ATen/ops/count_nonzero.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
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

namespace twofour::cli {
namespace {

struct MaskExtractFlags {
  std::string dense, sparse, out;
  bool allow_updated = false, is_strict = false, force = false, json = false;
};

struct UpdatedTensor {
  std::string name;
  int64_t values;
};

struct Extracted {
  checkpoint::NamedTensors masks;
  std::vector<UpdatedTensor> updated;  // those with values that neither stayed nor became 0
};

// Compares one parameter of both models and adds its mask, if entries were removed.
void compare_parameter(const MaskExtractFlags& flags, const std::string& name, bool is_linear,
                       const at::Tensor& dense, const at::Tensor& sparse, Extracted& extracted) {
  if (dense.scalar_type() != sparse.scalar_type()) {
    fail("tensor \"{}\" is {} in \"{}\" and {} in \"{}\": convert one of them with --dtype", name,
         c10::toString(dense.scalar_type()), flags.dense, c10::toString(sparse.scalar_type()),
         flags.sparse);
  }
  const at::Tensor differs = checkpoint::as_bits(dense).ne(checkpoint::as_bits(sparse));
  if (!differs.any().item<bool>()) return;
  at::Tensor updated = differs;
  if (is_linear) {
    const at::Tensor kept = checkpoint::is_nonzero(sparse);
    updated = differs.logical_and(kept);
    if (differs.logical_and(kept.logical_not()).any().item<bool>()) {
      extracted.masks.emplace_back(name, checkpoint::mask_of_nonzero(sparse));
    }
  }
  const int64_t values = at::count_nonzero(updated).item<int64_t>();
  if (values == 0) return;
  if (!flags.allow_updated) {
    fail(
        "{} values of tensor \"{}\" differ between \"{}\" and \"{}\" without being removed: "
        "--allow-updated takes the mask of a model whose weights were updated",
        values, name, flags.dense, flags.sparse);
  }
  extracted.updated.push_back({name, values});
}

Extracted extract(const MaskExtractFlags& flags, const checkpoint::ModelFolder& dense,
                  const checkpoint::ModelFolder& sparse, const checkpoint::WeightShapes& shapes) {
  const std::vector<std::string> linears = checkpoint::linear_names(dense.config().model);
  const std::set<std::string> is_linear(linears.begin(), linears.end());
  Extracted extracted;
  ProgressBar bar("comparing", shapes.size());
  uint64_t done = 0;
  for (const auto& [name, shape] : shapes) {
    compare_parameter(flags, name, is_linear.contains(name), dense.stored(name),
                      sparse.stored(name), extracted);
    dense.release(name);
    sparse.release(name);
    bar.update(++done);
  }
  return extracted;
}

void run_mask_extract(const MaskExtractFlags& flags) {
  check_mask_file(flags.out, flags.force);
  const checkpoint::ModelFolder dense = open_model({flags.dense, flags.is_strict});
  const checkpoint::ModelFolder sparse = open_model({flags.sparse, flags.is_strict});
  const checkpoint::WeightShapes shapes = checkpoint::parameter_shapes(dense.config().model);
  if (shapes != checkpoint::parameter_shapes(sparse.config().model)) {
    fail("\"{}\" and \"{}\" are models of different sizes or architectures", flags.dense,
         flags.sparse);
  }
  const Extracted extracted = extract(flags, dense, sparse, shapes);
  ProgressBar::clear_line();
  if (extracted.masks.empty()) {
    // prune --mask-only leaves the weights.
    const fs::path stored = sparse.path() / "masks.safetensors";
    fail("no linear layer of \"{}\" has zeros in place of values of \"{}\"{}", flags.sparse,
         flags.dense,
         fs::exists(stored) ? fmt::format(": its masks are in \"{}\"", stored.string()) : "");
  }
  checkpoint::write_masks(flags.out, extracted.masks, shapes);
  nlohmann::ordered_json json = {{"out", flags.out},
                                 {"masked_layers", extracted.masks.size()},
                                 {"updated", nlohmann::ordered_json::array()}};
  int64_t values = 0;
  for (const UpdatedTensor& tensor : extracted.updated) {
    json["updated"].push_back({{"name", tensor.name}, {"values", tensor.values}});
    values += tensor.values;
  }
  if (flags.json) {
    print_json_line(json);
    return;
  }
  print_line("{}: masks of {}; {}", flags.out, count_of_layers(extracted.masks.size()),
             values == 0 ? "all else is equal"
                         : fmt::format("{} values in {} tensors were updated", values,
                                       extracted.updated.size()));
}

}  // namespace

void add_mask_extract(CLI::App& group) {
  CLI::App& command = *group.add_subcommand(
      "extract", "the masks by which a sparse model differs from the dense one it was made from");
  auto flags = std::make_shared<MaskExtractFlags>();
  command.add_option("--dense", flags->dense, "the model before pruning")
      ->required()
      ->type_name("DIR");
  command.add_option("--sparse", flags->sparse, "the model after pruning")
      ->required()
      ->type_name("DIR");
  command
      .add_option("--out", flags->out,
                  "the file of masks to write: .safetensors, MaskLLM's .npz or .t24")
      ->required()
      ->type_name("FILE");
  command.add_flag("--allow-updated", flags->allow_updated,
                   "kept values may differ; their number is printed");
  add_strict_option(command, flags->is_strict);
  command.add_flag("--force", flags->force, "replace --out");
  add_threads_option(command);
  command.add_flag("--json", flags->json, "print the summary as one JSON object");
  set_example(command, "twofour mask extract --dense a --sparse b --out masks.safetensors");
  on_run(command, [flags] { run_mask_extract(*flags); });
}

}  // namespace twofour::cli
