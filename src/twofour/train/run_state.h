// The state that the next step of a run depends on, and the options that must not change.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/checkpoint/safetensors.h"
#include "twofour/text/token_file.h"
#include "twofour/train/options.h"

namespace twofour::train {

/// The options and data that determine the values of every step, by the names of the flags. Runs
/// with equal fingerprints take equal steps.
nlohmann::ordered_json fingerprint(const TrainOptions& options, const text::TokenFile& data);

/// The files of a checkpoint and their tensors, which share memory with the live state.
using StateFiles = std::vector<std::pair<std::string, checkpoint::NamedTensors>>;

/// Writes RUN/checkpoints/step-NNNNNNN, then removes all but the newest `keep`.
void save_run(const std::filesystem::path& run, const nlohmann::ordered_json& fingerprint,
              int64_t step, const StateFiles& files, int64_t keep);

/// The names in a fingerprint that may differ from the checkpoint's: those that help a diverged
/// run, and `steps`, to extend a finished run.
const std::vector<std::string>& changeable_options();

/// A changed option.
struct Change {
  std::string option;
  nlohmann::ordered_json before, after;
};

struct Resumed {
  int64_t step = 0;  ///< steps done
  std::vector<Change> changes;
};

/// Fills the tensors of `files` from the newest checkpoint, or from `resume_from`, and sets the
/// run's number of threads. Throws Error if the checkpoint is missing or damaged, or if its
/// fingerprint differs in an option that must stay (the difference is named).
Resumed load_run(const RunOptions& options, const nlohmann::ordered_json& fingerprint,
                 const StateFiles& files);

}  // namespace twofour::train
