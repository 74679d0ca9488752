#include "twofour/prune/prune.h"

#include <chrono>

#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/prune/block_pruner.h"
#include "twofour/prune/pruned_folder.h"
#include "twofour/prune/record.h"

namespace twofour::prune {

using Json = nlohmann::ordered_json;

namespace {

// A user who asked for these layers may not read the table.
void warn_of_misfits(const std::vector<SkippedLayer>& skipped) {
  int64_t layers = 0;
  const SkippedLayer* first = nullptr;
  for (const SkippedLayer& layer : skipped) {
    if (!layer.was_chosen) continue;
    if (++layers == 1) first = &layer;
  }
  if (!first) return;
  spdlog::warn("{} {} dense: \"{}\": {}", layers, layers == 1 ? "layer stays" : "layers stay",
               first->name, first->reason);
}

}  // namespace

void check_combination(const PruneOptions& options) {
  const bool is_calibrated = !options.calibration.files.empty();
  const auto needs = [&](bool is_asked, const char* option) {
    if (is_asked && !is_calibrated) fail_usage("{} needs --calibration FILE", option);
  };
  needs(options.method == Method::kWanda, "--method wanda");
  needs(options.method == Method::kSparseGpt, "--method sparsegpt");
  needs(options.method == Method::kRia, "--method ria");
  needs(options.weights != Weights::kUntouched && options.weights != Weights::kMasked,
        "an update of the weights");
  needs(options.swaps, "--swaps");
  needs(options.reconstruct_passes > 0, "--reconstruct");
  if (options.weights != Weights::kUntouched) return;
  for (const auto& [is_asked, option] : {std::pair(options.reconstruct_passes > 0, "--reconstruct"),
                                         std::pair(options.permute, "--permute")}) {
    if (is_asked) fail_usage("{} changes weights, --mask-only leaves them", option);
  }
}

PruneSummary prune(const checkpoint::ModelFolder& folder, const PruneOptions& options,
                   const Calibration& calibration) {
  const at::NoGradGuard no_gradients;
  const auto start = std::chrono::steady_clock::now();
  check_combination(options);
  PruneSummary summary;
  LayerPlan plan = plan_layers(folder.config().model, options);
  warn_of_misfits(plan.skipped);
  const Json identity = {{"twofour", options.version},
                         {"settings", settings_of(options)},
                         {"model", hash_of_model(folder)},
                         {"calibration", calibration.hash}};
  PrunedFolder out(options.out, folder, identity, options.largest_shard, options.resume);
  BlockPruner(folder, options, plan, out, calibration.ids).run();
  summary.skipped = plan.skipped;
  summary.record = identity;
  summary.record["threads"] = thread_count();
  for (int64_t i = 0; i < out.blocks_done(); ++i) {
    const BlockResult& block = out.block(i);
    summary.layers.insert(summary.layers.end(), block.layers.begin(), block.layers.end());
    if (!block.reconstruction) continue;
    summary.record["reconstruction"].push_back({{"block", i},
                                                {"error_before", block.reconstruction->before},
                                                {"error_after", block.reconstruction->after}});
  }
  summary.record.update(layers_json(summary.layers, summary.skipped));
  out.finish(summary.record);
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

}  // namespace twofour::prune
