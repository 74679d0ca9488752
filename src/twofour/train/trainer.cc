#include "twofour/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "twofour/base/error.h"
#include "twofour/base/folder_lock.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/base/parts.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/tensor/dtype.h"
#include "twofour/train/metrics.h"
#include "twofour/train/run_state.h"
#include "twofour/train/sampler.h"
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
  at_least("sample-every", options.sample_every, 0);
  at_least("sample-tokens", options.sample_tokens, 1);
  at_least("loss-scale-growth", options.loss_scale_growth, 1);
  if (!(options.learning_rate > 0)) fail_usage("--lr must be positive");
  if (!(options.beta1 >= 0 && options.beta1 < 1)) {
    fail_usage("--beta1 {} must lie in [0, 1)", options.beta1);
  }
  const double scale = options.loss_scale.value_or(0);
  if (!(scale >= 0 && scale <= 0x1p126)) {
    fail_usage("--loss-scale {} must lie in [0, 2^126]; 0 = none", scale);
  }
  if (options.dtype == "float16" && options.loss_scale == 0.0) {
    fail_usage("--loss-scale 0 with --dtype float16: its gradients would vanish");
  }
  check_method(options.method, options.steps, tensor::dtype_named(options.dtype));
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
        stepper_(options, data) {
    if (options.sample_every > 0) sampler_.emplace(options);
  }

  TrainSummary run(const std::string& config);

 private:
  Resumed start(const std::string& config);
  RunDescription description(int64_t first_step) const;
  StepMetrics metrics_of(int64_t steps_done, const StepResult& result, double rate) const;
  void save_if_due(int64_t steps_done, bool stops);
  std::optional<double> validate();
  void keep_tokenizer() const;
  void sample_if_due(int64_t steps_done, Metrics& metrics);
  void do_what_is_due(int64_t steps_done, Metrics& metrics, TrainSummary& summary);
  [[noreturn]] void fail_stopped(int64_t steps_done, const Metrics& metrics) const;
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
  std::optional<Sampler> sampler_;
  nlohmann::ordered_json fingerprint_;
  Stepper stepper_;
  bool is_checkpoint_due_ = false;
};

Resumed Trainer::start(const std::string& config) {
  const fs::path kept = options_.out / "config.toml";
  remove_abandoned(options_.out / "checkpoints");
  if (options_.resume) {
    Resumed resumed = load_run(options_, fingerprint_, stepper_.state());
    keep_tokenizer();
    stepper_.take_over(resumed.changes);
    if (const auto aside = checkpoint::set_aside_after(options_.out, resumed.step)) {
      spdlog::info("newer checkpoints are now in \"{}\"", aside->string());
    }
    write_file(kept, config);  // with what has changed
    spdlog::info("going on after step {} of {}", resumed.step, options_.steps);
    for (const Change& change : resumed.changes) {
      spdlog::info("from here on {} is {} (was {})", change.option, change.after.dump(),
                   change.before.dump());
    }
    return resumed;
  }
  if (checkpoint::latest_checkpoint(options_.out)) {
    fail("\"{}\" already holds a run: go on with --resume, or choose another --out",
         options_.out.string());
  }
  make_folder(options_.out / "checkpoints");
  write_file(kept, config);
  keep_tokenizer();
  stepper_.initialise();
  return {};
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

void Trainer::sample_if_due(int64_t steps_done, Metrics& metrics) {
  if (!sampler_ || !is_due(options_.sample_every, steps_done)) return;
  std::string continuation;
  try {
    continuation = sampler_->continuation(stepper_.model(), steps_done);
  } catch (const Error& error) {  // weights that are no numbers: the run itself will say so
    spdlog::warn("no sample after step {}: {}", steps_done, error.what());
    return;
  }
  metrics.record_sample(steps_done, options_.sample_prompt, continuation);
}

void Trainer::fail_stopped(int64_t steps_done, const Metrics& metrics) const {
  const std::string after = fmt::format(
      "after step {} of {}, with a checkpoint: go on with --resume", steps_done, options_.steps);
  if (!metrics.output_error().empty()) {
    fail("the standard output cannot be written ({}): stopped {}", metrics.output_error(), after);
  }
  fail("stopped as asked {}", after);
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
  StopSignal::set_saved(steps_done);
}

void Trainer::do_what_is_due(int64_t steps_done, Metrics& metrics, TrainSummary& summary) {
  const bool is_wanted = !StopSignal::requested() && metrics.output_error().empty();
  const bool stops = !is_wanted && steps_done < last_step();
  const bool ends = stops || steps_done == last_step();
  if (ends) save_if_due(steps_done, stops);  // first: a second signal must not cost the steps
  if (is_due(options_.validate_every, steps_done)) {
    summary.validation_loss = validate();
    if (summary.validation_loss) metrics.record_validation(steps_done, *summary.validation_loss);
  }
  sample_if_due(steps_done, metrics);
  if (!ends) save_if_due(steps_done, stops);
  if (stops) fail_stopped(steps_done, metrics);
}

TrainSummary Trainer::run(const std::string& config) {
  const FolderLock lock(options_.out);
  const Resumed resumed = start(config);
  const int64_t first_step = resumed.step;
  StopSignal::set_saved(first_step);
  TrainSummary summary;
  summary.parameters = options_.sizes.parameters();
  Metrics metrics(options_.out, description(first_step), options_.quiet);
  for (const Change& change : resumed.changes) metrics.record_change(first_step, change);
  stepper_.prepare(first_step);
  take_part_seconds();
  const auto begin = Clock::now();
  auto last_record = begin;
  int64_t last_recorded_step = first_step;
  for (int64_t step = first_step; step < last_step(); ++step) {
    if (step == first_step && StopSignal::requested()) {
      fail("stopped as asked before step {}", step + 1);
    }
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
    do_what_is_due(done, metrics, summary);
    last_record += Clock::now() - pause;
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
  if (first_step >= last_step()) {
    summary.validation_loss = validate();
    if (summary.validation_loss) metrics.record_validation(first_step, *summary.validation_loss);
  }
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
