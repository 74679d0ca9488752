// What a run tells while it trains: lines on stdout, RUN/log.jsonl, TensorBoard events and the
// progress bar, all from the same records.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "twofour/base/parts.h"
#include "twofour/base/progress.h"
#include "twofour/train/events.h"
#include "twofour/train/run_state.h"

namespace twofour::train {

struct StepMetrics {
  int64_t step = 0;  ///< steps done
  double loss = 0;   ///< mean next-token negative log likelihood of the step's tokens, nats
  double learning_rate = 0;
  double gradient_norm = 0;          ///< before clipping
  double tokens_per_second = 0;      ///< since the last record
  std::optional<double> flip_rate;   ///< where there are masks
  std::optional<double> zeros;       ///< of W̃, for a sparse method
  std::optional<double> loss_scale;  ///< where the loss is scaled
  std::string phase;                 ///< "sparse" or "dense", for a sparse method
  std::vector<std::pair<std::string, double>> flip_rates;  ///< by the layer's weight
  std::array<double, kPartNames.size()> part_seconds{};    ///< since the last record
};

struct RunDescription {
  std::string method;
  std::string dtype;
  int64_t parameters = 0, steps = 0, tokens_per_step = 0, first_step = 0;
  int threads = 0;
};

/// Throws Error when a line cannot be written (a full disk): a run must not go on unrecorded.
class Metrics {
 public:
  /// Appends to what an earlier part of the run wrote.
  Metrics(const std::filesystem::path& run, const RunDescription& description, bool quiet);

  void record_step(const StepMetrics& metrics);
  void record_validation(int64_t step, double loss);
  /// An option that changed where the run was resumed.
  void record_change(int64_t step, const Change& change);
  void record_sample(int64_t step, const std::string& prompt, const std::string& continuation);
  void record_end(int64_t step, double seconds);
  void update_progress(int64_t step, double loss, double tokens_per_second);

  /// Why the last line for stdout could not be written, as "Broken pipe" (nobody reads it any
  /// more); empty where all could.
  const std::string& output_error() const { return output_error_; }

 private:
  void write_line(const std::string& json);
  void print(const std::string& line);
  std::string step_label(int64_t step) const;
  void write_events(const StepMetrics& metrics, double time);
  void print_step(const StepMetrics& metrics);
  RunDescription description_;
  bool quiet_;
  std::string output_error_;
  std::filesystem::path log_path_;
  std::ofstream log_;
  EventWriter events_;
  ProgressBar bar_;
};

}  // namespace twofour::train
