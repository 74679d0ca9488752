// The output of a run during training, all from the same records: lines on stdout, RUN/log.jsonl,
// TensorBoard events and the progress bar.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/base/progress.h"
#include "twofour/train/events.h"
#include "twofour/train/run_state.h"

namespace twofour::train {

/// One value of a step, for all outputs.
struct Metric {
  std::string name;             ///< in log.jsonl
  std::optional<double> value;  ///< none: null there, and absent elsewhere
  std::string tag = {};         ///< in TensorBoard; empty: absent
  std::string shown = {};       ///< on stdout, as "grad norm 0.512"; empty: absent
  std::string group = {};       ///< its object in log.jsonl; empty: the line itself
  std::string text = {};        ///< replaces the value
};

struct StepMetrics {
  int64_t step = 0;  ///< steps done
  std::vector<Metric> values;
};

/// "950", "12.3k", "1.25M".
std::string short_count(double count);

struct RunDescription {
  std::string method;
  std::string dtype;
  int64_t parameters = 0, steps = 0, tokens_per_step = 0, first_step = 0;
  int threads = 0;
};

/// Throws Error if a line cannot be written (a full disk), because a run must be recorded.
class Metrics {
 public:
  /// Appends to the output of earlier parts of the run.
  Metrics(const std::filesystem::path& run, const RunDescription& description, bool quiet);

  void record_step(const StepMetrics& metrics);
  void record_validation(int64_t step, double loss);
  /// Records an option that changed when the run was resumed.
  void record_change(int64_t step, const Change& change);
  void record_sample(int64_t step, const std::string& prompt, const std::string& continuation);
  /// Records the fields of TrainedModel::observe(); null: nothing.
  void record_masks(int64_t step, const nlohmann::ordered_json& fields);
  void record_end(int64_t step, double seconds);
  void update_progress(int64_t step, double loss, double tokens_per_second);

  /// The reason why the last line for stdout could not be written, as "Broken pipe" (no reader is
  /// left); empty if all were written.
  const std::string& output_error() const { return output_error_; }

 private:
  void write_line(const std::string& json);
  void print(const std::string& line);
  std::string step_label(int64_t step) const;
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
