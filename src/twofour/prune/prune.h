// One-shot pruning of a model folder, block by block, in the memory of one block and the
// activations of the calibration samples.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/base/stop_signal.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/prune/layer.h"
#include "twofour/prune/layer_plan.h"
#include "twofour/prune/options.h"

namespace twofour::prune {

struct PruneSummary {
  std::vector<LayerResult> layers;  ///< in the model's order
  std::vector<SkippedLayer> skipped;
  double seconds = 0;             ///< of this process
  nlohmann::ordered_json record;  ///< prune.json
};

/// For the caller's StopSignal.
inline constexpr StopMessages kStopMessages = {
    "stopping after this block; once more to stop at once", "stopped at once, after block ",
    ": continue with --resume", "stopped at once, before a block was finished"};

/// Throws Error (usage) for options that cannot be combined.
void check_combination(const PruneOptions& options);

/// Prunes the model of `folder` into options.out. `calibration`: the samples of
/// options.calibration; without ids if it names no files. For each block: its layers are observed
/// on the calibration samples while the block is dense, then all of them are pruned, then the
/// samples pass the pruned block (Inputs::kSequential) on their way to the next. A pure function of
/// the model, the calibration data, the options, the number of threads and the chosen products; a
/// killed run that is resumed gives the same bytes. SIGINT and the like end it after a block, if
/// the caller has made a StopSignal. Throws Error as the functions of this folder do.
PruneSummary prune(const checkpoint::ModelFolder& folder, const PruneOptions& options,
                   const Calibration& calibration);

}  // namespace twofour::prune
