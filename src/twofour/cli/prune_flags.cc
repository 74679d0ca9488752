#include "twofour/cli/prune_flags.h"

#include <algorithm>
#include <map>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/numbers.h"
#include "twofour/cli/command.h"
#include "twofour/cli/input_options.h"
#include "twofour/cli/output_folder.h"
#include "twofour/cli/toml.h"
#include "twofour/cli/values.h"
#include "twofour/tensor/dtype.h"

namespace twofour::cli {
namespace {

constexpr int64_t kLongestContext = 2048;  // unless --context asks for more

std::vector<TomlEntry> entries_of(const std::string& file) {
  const std::string text = read_file(file, kLargestSettings);
  try {
    return read_toml(text);
  } catch (const Error& error) {
    fail_usage("cannot read \"{}\": {}", file, error.what());
  }
}

// Each line of the file is "regular expression" = "pattern".
std::vector<prune::LayerRule> read_rules(const std::string& file) {
  std::vector<prune::LayerRule> rules;
  for (const TomlEntry& entry : entries_of(file)) {
    if (entry.is_list || entry.values.size() != 1) {
      fail_usage("\"{}\", line {}: expected one pattern, as \"2:4\", \"0.5\" or \"dense\"", file,
                 entry.line);
    }
    prune::LayerRule rule{entry.key, std::nullopt};
    try {
      if (entry.values[0] != "dense") rule.pattern = prune::pattern_named(entry.values[0]);
    } catch (const Error& error) {
      fail_usage("\"{}\", line {}: {}", file, entry.line, error.what());
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

// "3" or "0-11".
std::pair<int64_t, int64_t> blocks_named(const std::string& text) {
  const std::string_view whole = text;
  const size_t dash = whole.find('-');
  const auto first = parse_number<int64_t>(whole.substr(0, dash));
  const auto last =
      dash == std::string::npos ? first : parse_number<int64_t>(whole.substr(dash + 1));
  if (!first || !last) {
    fail_usage("--blocks \"{}\" is no range of blocks such as 0-11", printable(text));
  }
  return {*first, *last};
}

// By the measurements in docs/results/oneshot.md, ADMM costs little and lowers perplexity on every
// model, so it replaces sparsegpt's own weights.
std::string reweight_of(const PruneFlags& flags) {
  if (!flags.reweight.empty()) return flags.reweight;
  const bool keeps_own = flags.published || flags.no_update_weights || flags.update_weights;
  return flags.method == "sparsegpt" && !keeps_own ? "admm" : "none";
}

prune::Weights weights_named(const PruneFlags& flags) {
  if (flags.mask_only) return prune::Weights::kUntouched;
  const std::string reweight = reweight_of(flags);
  if (reweight == "admm") return prune::Weights::kAdmm;
  if (reweight == "exact") return prune::Weights::kExact;
  const bool updates =
      flags.method == "sparsegpt" ? !flags.no_update_weights : flags.update_weights;
  return updates ? prune::Weights::kUpdated : prune::Weights::kMasked;
}

void check_contradictions(const PruneFlags& flags, const CLI::App& command) {
  const auto is_given = [&](const char* name) { return command.count(name) > 0; };
  const auto exclude = [&](const char* one, const char* other) {
    if (is_given(one) && is_given(other)) fail_usage("{} and {} exclude each other", one, other);
  };
  exclude("--pattern", "--sparsity");
  exclude("--mask-only", "--update-weights");
  exclude("--no-update-weights", "--update-weights");
  exclude("--published", "--swaps");
  exclude("--published", "--permute");
  exclude("--published", "--reconstruct");
  if (flags.method != "sparsegpt") exclude("--published", "--update-weights");
  const auto only_with = [&](const char* option, bool has_effect, const char* where) {
    if (is_given(option) && !has_effect) fail_usage("{} has an effect only with {}", option, where);
  };
  only_with("--reconstruct-lr", flags.options.reconstruct_passes > 0, "--reconstruct");
  only_with("--ria-power", flags.method == "ria", "--method ria");
  only_with("--admm-iterations", reweight_of(flags) == "admm", "--reweight admm");
  const bool has_groups = !flags.sparsity || !flags.patterns_file.empty();
  only_with("--swaps", has_groups, "N:M patterns");
  only_with("--permute", has_groups, "N:M patterns");
  if (flags.out.empty()) fail_usage("--out names no folder");
  const bool reweights = !flags.reweight.empty() && flags.reweight != "none";
  if (flags.mask_only && reweights) {
    fail_usage("--reweight changes weights, --mask-only leaves them");
  }
  if (flags.no_update_weights && reweights) {
    fail_usage("--reweight and --no-update-weights exclude each other");
  }
  if (flags.published && reweights) fail_usage("--published and --reweight exclude each other");
}

// The places that are written, because one would be in the way of another at the very end.
void check_places_differ(const PruneFlags& flags) {
  std::map<fs::path, const char*> options;
  for (const auto& [option, path] :
       {std::pair("--out", &flags.out), std::pair("--report", &flags.report),
        std::pair("--save-samples", &flags.save_samples)}) {
    if (path->empty()) continue;
    const auto [other, is_new] = options.emplace(fs::absolute(*path).lexically_normal(), option);
    if (!is_new) fail_usage("{} and {} are both \"{}\"", other->second, option, *path);
  }
}

// The file must be new, because it may be the wrong one. A resumed run may write it again.
void check_new_file(const char* option, const std::string& file, const PruneFlags& flags) {
  if (file.empty()) return;
  if (is_taken(file) && !(flags.options.resume && fs::is_regular_file(file))) {
    fail_usage("{} \"{}\" exists: choose another name, or remove it", option, file);
  }
  const fs::path folder = fs::absolute(file).parent_path();
  if (!fs::is_directory(folder)) {
    fail_usage("{} \"{}\": there is no folder \"{}\"", option, file, folder.string());
  }
}

// Float16 may overflow in activations, so such models run in float32.
at::ScalarType dtype_for(const std::string& asked, const checkpoint::ModelFolder& folder) {
  if (!asked.empty()) return tensor::dtype_named(asked);
  at::ScalarType dtype = at::kFloat;
  for (const std::string& name : folder.weights().names()) {
    if (folder.weights().entry(name).dtype == at::kBFloat16) dtype = at::kBFloat16;
  }
  return dtype;
}

void complete_calibration(const PruneFlags& flags, const checkpoint::ModelFolder& folder,
                          prune::CalibrationOptions& calibration) {
  const model::Sizes sizes = model::sizes_of(folder.config().model);
  calibration.files.assign(flags.calibration.begin(), flags.calibration.end());
  const bool is_sparsegpt = flags.sampling == "sparsegpt";
  calibration.sampling = is_sparsegpt ? prune::Sampling::kSparseGpt : prune::Sampling::kStream;
  calibration.tokenizer =
      flags.tokenizer.empty() ? folder.place().tokenizer : fs::path(flags.tokenizer);
  calibration.vocabulary = sizes.vocabulary;
  if (calibration.context == 0) calibration.context = std::min(sizes.context, kLongestContext);
  if (calibration.context > sizes.context) {
    fail_usage("--context {} is beyond the model's {}", calibration.context, sizes.context);
  }
}

void add_layer_flags(CLI::App& command, PruneFlags& flags) {
  command.add_option("--pattern", flags.pattern, "N of every M entries of a row stay, 1:2 to 7:8")
      ->type_name("N:M");
  add_number(command, "--sparsity", flags.sparsity,
             {.low = 0, .high = 1, .without_low = true, .without_high = true},
             "unstructured: this share of the weights becomes zero");
  command
      .add_option("--include", flags.include,
                  "prune only layers whose weight's name matches this regular expression")
      ->type_name("REGEX");
  command.add_option("--exclude", flags.exclude, "keep layers dense whose weight's name matches")
      ->type_name("REGEX");
  command
      .add_option("--patterns", flags.patterns_file,
                  "TOML file of lines \"REGEX\" = \"N:M\", a share, or \"dense\"; the first match "
                  "replaces --pattern")
      ->type_name("FILE");
  command.add_option("--blocks", flags.blocks, "prune only these blocks, as 0-11")
      ->type_name("A-B");
}

void add_calibration_flags(CLI::App& command, PruneFlags& flags) {
  prune::CalibrationOptions& calibration = flags.options.calibration;
  command
      .add_option("--calibration", flags.calibration,
                  "text, JSON lines (C4), both also compressed, or token files (.bin)")
      ->type_name("FILE");
  add_number(command, "--samples", calibration.samples, between(1, 1e7), "windows to draw");
  add_number(command, "--context", calibration.context, between(0, kLargestSize),
             "tokens of a window; 0 = the model's context, at most 2048");
  add_number(command, "--seed", calibration.seed, at_least(0), "of the windows");
  add_choice(command, "--sampling", flags.sampling, {"stream", "sparsegpt"},
             "stream: windows of all documents joined; sparsegpt: as its loader, a window of a "
             "random document that is longer");
  add_choice(command, "--calibrate", flags.inputs, {"sequential", "dense"},
             "a block's inputs come from the pruned blocks before it, or from the dense model");
  command
      .add_option("--tokenizer", flags.tokenizer,
                  "folder or file of the tokenizer (default: the model's)")
      ->type_name("PATH");
  add_input_options(command, calibration.documents);
  add_dtype(command, "--dtype", flags.dtype,
            "dtype of the activations (default: bfloat16 for a bfloat16 model, else float32)");
  add_size(command, "--memory", flags.memory,
           "activations beyond this size are kept in a file beside --out");
}

void add_arithmetic_flags(CLI::App& command, PruneFlags& flags) {
  prune::PruneOptions& options = flags.options;
  command.add_flag(
      "--update-weights", flags.update_weights,
      "update the kept weights by SparseGPT's rule, also after another method's mask and "
      "in place of ADMM");
  command.add_flag("--no-update-weights", flags.no_update_weights,
                   "sparsegpt: choose masks only, from the untouched weights");
  command.add_flag("--mask-only", flags.mask_only,
                   "leave all weights as they are; only masks.safetensors says what is pruned");
  command.add_flag("--swaps", options.swaps, "improve each mask by exact swaps (SparseSwaps)");
  add_choice(command, "--reweight", flags.reweight, {"none", "admm", "exact"},
             "the best weights for each mask, by ADMM or by one linear system a row, which is slow "
             "(default: admm for sparsegpt, none for others)");
  add_number(command, "--reconstruct", options.reconstruct_passes, between(0, 1000),
             "passes that train each block's kept weights to give the dense block's output");
  add_number(command, "--reconstruct-lr", options.reconstruct_rate, above(0),
             "rate of --reconstruct, relative to the weights' root mean square");
  command.add_flag("--permute", options.permute,
                   "permute channels inside each block so that more score survives");
  command.add_flag("--published", flags.published,
                   "the method exactly as published: no additions, and its sampling");
  add_choice(command, "--hessian", flags.sums, {"float32", "float64"},
             "dtype of the Hessian's sums");
  add_number(command, "--damping", options.damping, between(0, 1e6),
             "added to the Hessian's diagonal, relative to its mean");
  add_number(command, "--block-columns", options.block_columns, between(1, kLargestSize),
             "columns that sparsegpt updates at a time");
  add_number(command, "--ria-power", options.ria_power, between(0, 10),
             "exponent of the activations' norm in ria");
  add_number(command, "--admm-iterations", options.admm_iterations, between(1, 10000),
             "iterations of --reweight admm");
}

void add_output_flags(CLI::App& command, PruneFlags& flags) {
  add_size(command, "--max-shard-size", flags.largest_shard,
           "maximum size of a file of weights: 5GB (default), 200MB, 1GiB");
  command.add_flag("--resume", flags.options.resume, "go on with an interrupted run of this --out")
      ->configurable(false);
  command
      .add_option("--evaluate", flags.evaluate,
                  "measure perplexity on this text or token file, before and after")
      ->type_name("FILE");
  command.add_option("--report", flags.report, "write the result as an HTML page")
      ->type_name("FILE");
  command
      .add_option("--save-samples", flags.save_samples,
                  "write the drawn windows, one after another, as a token file")
      ->type_name("FILE");
  command.add_flag("--json", flags.json, "print the result as one JSON object")
      ->configurable(false);
}

}  // namespace

void add_prune_flags(CLI::App& command, PruneFlags& flags) {
  add_model_options(command, flags.model)->required();
  command.add_option("--out", flags.out, "the new folder")->required()->type_name("DIR");
  add_choice(command, "--method", flags.method, {"magnitude", "wanda", "sparsegpt", "ria"},
             "the score by which weights stay");
  add_layer_flags(command, flags);
  add_calibration_flags(command, flags);
  add_arithmetic_flags(command, flags);
  add_output_flags(command, flags);
  add_threads_option(command);
}

prune::PruneOptions prune_options(const PruneFlags& flags, const CLI::App& command,
                                  const checkpoint::ModelFolder& folder) {
  check_contradictions(flags, command);
  prune::PruneOptions options = flags.options;
  check_places_differ(flags);
  check_new_file("--save-samples", flags.save_samples, flags);
  check_new_file("--report", flags.report, flags);
  options.out = fs::absolute(flags.out).lexically_normal();
  if (!options.out.has_filename()) options.out = options.out.parent_path();
  check_outside_model("--out", options.out, folder.path());
  options.method = prune::method_named(flags.method);
  options.pattern =
      flags.sparsity ? sparse::Pattern{0, 0, *flags.sparsity} : prune::pattern_named(flags.pattern);
  options.weights = weights_named(flags);
  options.include = flags.include;
  options.exclude = flags.exclude;
  if (!flags.patterns_file.empty()) options.rules = read_rules(flags.patterns_file);
  if (!flags.blocks.empty()) options.blocks = blocks_named(flags.blocks);
  options.inputs = flags.inputs == "dense" ? prune::Inputs::kDense : prune::Inputs::kSequential;
  options.dtype = dtype_for(flags.dtype, folder);
  options.most_bytes = bytes_named(flags.memory).value();
  options.sums = flags.sums == "float64" ? at::kDouble : at::kFloat;
  options.largest_shard = bytes_named(flags.largest_shard).value();
  options.version = TWOFOUR_VERSION;
  complete_calibration(flags, folder, options.calibration);
  if (flags.published && command.count("--sampling") == 0) {
    options.calibration.sampling = prune::Sampling::kSparseGpt;
  }
  return options;
}

}  // namespace twofour::cli
