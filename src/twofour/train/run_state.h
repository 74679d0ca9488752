// Everything that the next step of a run depends on, and what must not change between its parts.
#pragma once

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
void save_run(const TrainOptions& options, const nlohmann::ordered_json& fingerprint, int64_t step,
              const StateFiles& files);

/// Fills the tensors of `files` from the newest checkpoint and returns its step. Throws Error when
/// there is none, when it is damaged, or when its fingerprint differs (the difference is named).
int64_t load_run(const TrainOptions& options, const nlohmann::ordered_json& fingerprint,
                 const StateFiles& files);

}  // namespace twofour::train
