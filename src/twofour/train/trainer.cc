#include "twofour/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/base/parts.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/sparse/dtype.h"
#include "twofour/train/metrics.h"
#include "twofour/train/run_state.h"
#include "twofour/train/stepper.h"
#include "twofour/train/stop_signal.h"
#include "twofour/train/validation.h"

namespace twofour::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_options(const TrainOptions& options) {
  options.sizes.check();
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    if (value < least) fail_usage("--{} must be at least {}, not {}", name, least, value);
  };
  at_least("steps", options.steps, 1);
  at_least("batch", options.batch, 1);
  at_least("accumulate", options.accumulate, 1);
  at_least("keep", options.keep, 1);
  at_least("warmup", options.warmup, 0);
  at_least("validation-windows", options.validation_windows, 0);
  at_least("loss-scale-growth", options.loss_scale_growth, 1);
  if (!(options.learning_rate > 0)) fail_usage("--lr must be positive");
  if (!(options.beta1 >= 0 && options.beta1 < 1)) {
    fail_usage("--beta1 {} must lie in [0, 1)", options.beta1);
  }
  const int64_t unset = TrainOptions().loss_scale_growth;
  if (options.first_loss_scale() == 0 && options.loss_scale_growth != unset) {
    fail_usage("--loss-scale-growth {} makes no sense without a --loss-scale",
               options.loss_scale_growth);
  }
  const double scale = options.loss_scale.value_or(0);
  if (!(scale >= 0 && scale <= 0x1p126)) {
    fail_usage("--loss-scale {} must lie in [0, 2^126]; 0 = none", scale);
  }
  if (options.dtype == "float16" && options.loss_scale == 0.0) {
    fail_usage("--loss-scale 0 with --dtype float16: its gradients would vanish");
  }
  check_method(options.method, options.steps, sparse::dtype_named(options.dtype));
  if (options.min_learning_rate > options.learning_rate) {
    fail_usage("--min-lr {} is above --lr {}", options.min_learning_rate, options.learning_rate);
  }
}

class Trainer {
 public:
  Trainer(const TrainOptions& options, const text::TokenFile& data,
          std::optional<text::TokenFile> validation_data)
      : options_(options),
        validation_data_(std::move(validation_data)),
        fingerprint_(fingerprint(options, data)),
        stepper_(options, data) {}

  TrainSummary run(const std::string& config);

 private:
  int64_t start(const std::string& config);
  RunDescription description(int64_t first_step) const;
  StepMetrics metrics_of(int64_t steps_done, const StepResult& result, double rate) const;
  void save_if_due(int64_t steps_done, bool stops);
  std::optional<double> validate();
  void keep_tokenizer() const;
  void finish();

  int64_t tokens_per_step() const {
    return options_.batch * options_.accumulate * options_.sizes.context;
  }
  int64_t last_step() const {
    return options_.stop_after > 0 ? std::min(options_.stop_after, options_.steps) : options_.steps;
  }
  bool is_due(int64_t every, int64_t steps_done) const {
    return steps_done == last_step() || (every > 0 && steps_done % every == 0);
  }

  const TrainOptions& options_;
  std::optional<text::TokenFile> validation_data_;
  nlohmann::ordered_json fingerprint_;
  Stepper stepper_;
  bool is_checkpoint_due_ = false;
};

// Returns the number of steps already done.
int64_t Trainer::start(const std::string& config) {
  if (options_.resume) {
    remove_abandoned(options_.out / "checkpoints");
    const int64_t step = load_run(options_, fingerprint_, stepper_.state());
    keep_tokenizer();
    spdlog::info("going on after step {} of {}", step, options_.steps);
    return step;
  }
  if (checkpoint::latest_checkpoint(options_.out)) {
    fail("\"{}\" already holds a run: go on with --resume, or choose another --out",
         options_.out.string());
  }
  make_folder(options_.out / "checkpoints");
  write_file(options_.out / "config.toml", config);
  keep_tokenizer();
  stepper_.initialise();
  return 0;
}

RunDescription Trainer::description(int64_t first_step) const {
  return {options_.method.name, options_.dtype,    options_.sizes.parameters(),
          options_.steps,       tokens_per_step(), first_step,
          thread_count()};
}

StepMetrics Trainer::metrics_of(int64_t steps_done, const StepResult& result, double rate) const {
  StepMetrics metrics;
  metrics.step = steps_done;
  metrics.loss = result.loss;
  metrics.learning_rate = result.learning_rate;
  metrics.gradient_norm = result.gradient_norm;
  metrics.tokens_per_second = rate;
  metrics.part_seconds = take_part_seconds();
  if (stepper_.loss_scale() != 1.0) metrics.loss_scale = stepper_.loss_scale();
  if (!options_.method.has_masks()) return metrics;
  const SparsityStatistics sparsity = stepper_.weights().statistics();
  metrics.flip_rate = sparsity.flip_rate;
  metrics.flip_rates = stepper_.weights().flip_rates();
  if (!options_.method.is_sparse()) return metrics;
  metrics.zeros = sparsity.zeros;
  metrics.phase = result.is_sparse ? "sparse" : "dense";
  return metrics;
}

std::optional<double> Trainer::validate() {
  if (!validation_data_ || options_.validation_windows == 0) return std::nullopt;
  return validation_loss(stepper_.model(), *validation_data_, options_.batch,
                         options_.validation_windows);
}

// Beside the checkpoints, so that what they hold can be sampled while the run goes on.
void Trainer::keep_tokenizer() const {
  const fs::path from = options_.data / "tokenizer", to = options_.out / "tokenizer";
  if (!fs::is_directory(from) || fs::exists(to)) return;
  AtomicFolder folder(to);
  checkpoint::copy_tokenizer(from, folder.path());
  folder.commit();
}

void Trainer::finish() {
  const fs::path tokenizer = options_.data / "tokenizer";
  stepper_.weights().replace_masters();
  checkpoint::SaveOptions options;
  options.masks = stepper_.weights().masks();
  if (fs::is_directory(tokenizer)) options.tokenizer = tokenizer;
  checkpoint::save_model(options_.out / "model", {stepper_.model()}, options);
}

// A checkpoint that is due in a suspicious moment waits for the next step that is not: a run that
// diverges must not push out the last good one.
void Trainer::save_if_due(int64_t steps_done, bool stops) {
  const bool ends = stops || steps_done == last_step();
  is_checkpoint_due_ |= is_due(options_.checkpoint_every, steps_done);
  if (!ends && !(is_checkpoint_due_ && stepper_.is_worth_saving())) return;
  is_checkpoint_due_ = false;
  save_run(options_, fingerprint_, steps_done, stepper_.state());
}

TrainSummary Trainer::run(const std::string& config) {
  const StopSignal stop_signal;
  const int64_t first_step = start(config);
  TrainSummary summary;
  summary.parameters = options_.sizes.parameters();
  Metrics metrics(options_.out, description(first_step), options_.quiet);
  stepper_.prepare(first_step);
  take_part_seconds();
  const auto begin = Clock::now();
  auto last_record = begin;
  int64_t last_recorded_step = first_step;
  for (int64_t step = first_step; step < last_step(); ++step) {
    const StepResult result = stepper_.take(step);
    const int64_t done = step + 1;
    summary.train_loss = result.loss;
    summary.skipped += result.was_skipped;
    const double rate = static_cast<double>((done - last_recorded_step) * tokens_per_step()) /
                        seconds_since(last_record);
    metrics.update_progress(done, result.loss, rate);
    if (is_due(options_.log_every, done)) {
      metrics.record_step(metrics_of(done, result, rate));
      last_record = Clock::now();
      last_recorded_step = done;
    }
    const auto pause = Clock::now();  // what follows is no part of the training speed
    if (is_due(options_.validate_every, done)) {
      summary.validation_loss = validate();
      if (summary.validation_loss) metrics.record_validation(done, *summary.validation_loss);
    }
    const bool stop = StopSignal::requested() && done < last_step();
    save_if_due(done, stop);
    last_record += Clock::now() - pause;
    if (stop) {
      fail("stopped as asked after step {} of {}, with a checkpoint: go on with --resume", done,
           options_.steps);
    }
  }
  summary.steps = last_step();
  summary.seconds = seconds_since(begin);
  if (first_step < last_step()) {
    summary.tokens_per_second =
        static_cast<double>((last_step() - first_step) * tokens_per_step()) / summary.seconds;
  }
  const SparsityStatistics sparsity = stepper_.weights().statistics();
  if (options_.method.has_masks()) summary.flip_rate = sparsity.flip_rate;
  if (options_.method.is_sparse()) summary.zeros = sparsity.zeros;
  if (first_step >= last_step()) summary.validation_loss = validate();
  metrics.record_end(last_step(), summary.seconds);
  if (last_step() == options_.steps) finish();
  return summary;
}

}  // namespace

TrainSummary train(const TrainOptions& options, const std::string& config) {
  check_options(options);
  text::TokenFile data = text::TokenFile::open(options.data / "train.bin");
  data.check(options.sizes.vocabulary);
  std::optional<text::TokenFile> validation_data;
  if (fs::exists(options.data / "val.bin")) {
    validation_data = text::TokenFile::open(options.data / "val.bin");
    validation_data->check(options.sizes.vocabulary);
  }
  Trainer trainer(options, data, std::move(validation_data));
  return trainer.run(config);
}

}  // namespace twofour::train
