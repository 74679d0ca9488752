// Everything that the next step of a run depends on, and what must not change between its parts.
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

/// The options and the data that decide the values of every step, by the names of the flags. Two
/// runs with equal fingerprints take equal steps.
nlohmann::ordered_json fingerprint(const TrainOptions& options, const text::TokenFile& data);

/// The files of a checkpoint and their tensors, which share memory with what they restore.
using StateFiles = std::vector<std::pair<std::string, checkpoint::NamedTensors>>;

/// Writes RUN/checkpoints/step-NNNNNNN, then removes all but the newest `keep`.
void save_run(const std::filesystem::path& run, const nlohmann::ordered_json& fingerprint,
              int64_t step, const StateFiles& files, int64_t keep);

/// The names in a fingerprint that may differ from a checkpoint on: what a diverged run needs, and
/// `steps`, so that a finished run can be extended.
const std::vector<std::string>& changeable_options();

/// One of them that does.
struct Change {
  std::string option;
  nlohmann::ordered_json before, after;
};

struct Resumed {
  int64_t step = 0;  ///< steps done
  std::vector<Change> changes;
};

/// Fills the tensors of `files` from the newest checkpoint, or the one of `resume_from`, and goes
/// on with the run's threads. Throws Error when there is no such checkpoint, when it is damaged, or
/// when its fingerprint differs in what must stay (the difference is named).
Resumed load_run(const RunOptions& options, const nlohmann::ordered_json& fingerprint,
                 const StateFiles& files);

}  // namespace twofour::train
