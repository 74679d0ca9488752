#include "twofour/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "twofour/base/error.h"
#include "twofour/base/folder_lock.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/base/parts.h"
#include "twofour/base/stop_signal.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/tensor/dtype.h"
#include "twofour/train/metrics.h"
#include "twofour/train/pretraining.h"
#include "twofour/train/run_state.h"
#include "twofour/train/sampler.h"
#include "twofour/train/starting_point.h"
#include "twofour/train/stepper.h"
#include "twofour/train/validation.h"

namespace twofour::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_options(const TrainOptions& options) {
  model::check(options.model.config);
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    if (value < least) fail_usage("--{} must be at least {}, not {}", name, least, value);
  };
  at_least("steps", options.optimizer.steps, 1);
  at_least("batch", options.data.batch, 1);
  at_least("accumulate", options.data.accumulate, 1);
  at_least("keep", options.run.keep, 1);
  at_least("warmup", options.optimizer.warmup, 0);
  at_least("validation-windows", options.data.validation_windows, 0);
  at_least("sample-every", options.run.sample_every, 0);
  at_least("sample-tokens", options.run.sample_tokens, 1);
  at_least("loss-scale-growth", options.optimizer.loss_scale_growth, 1);
  if (!(options.optimizer.learning_rate > 0)) fail_usage("--lr must be positive");
  if (!(options.optimizer.beta1 >= 0 && options.optimizer.beta1 < 1)) {
    fail_usage("--beta1 {} must lie in [0, 1)", options.optimizer.beta1);
  }
  const double scale = options.optimizer.loss_scale.value_or(0);
  if (!(scale >= 0 && scale <= 0x1p126)) {
    fail_usage("--loss-scale {} must lie in [0, 2^126]; 0 = none", scale);
  }
  if (options.model.dtype == "float16" && options.optimizer.loss_scale == 0.0) {
    fail_usage("--loss-scale 0 with --dtype float16: its gradients would vanish");
  }
  const int64_t context = options.model.sizes().context;
  if (options.data.context < 0 || options.data.context > context) {
    fail_usage("--context {} is outside 1 to {}, the model's context", options.data.context,
               context);
  }
  if (!(options.model.distill_weight >= 0 && options.model.distill_weight <= 1)) {
    fail_usage("--distill-weight {} must lie in [0, 1]", options.model.distill_weight);
  }
  check_method(options.model.method, options.optimizer.steps,
               tensor::dtype_named(options.model.dtype));
  if (options.optimizer.min_learning_rate > options.optimizer.learning_rate) {
    fail_usage("--min-lr {} is above --lr {}", options.optimizer.min_learning_rate,
               options.optimizer.learning_rate);
  }
}

class Trainer {
 public:
  Trainer(const TrainOptions& options, TrainedModel& trained, const text::TokenFile& data,
          std::optional<text::TokenFile> validation_data, tensor::Ranks& ranks)
      : options_(options),
        trained_(trained),
        ranks_(ranks),
        validation_data_(std::move(validation_data)),
        fingerprint_(fingerprint(options, data)),
        stepper_(options, trained, data, ranks) {
    trained.complete_fingerprint(fingerprint_);
    if (options.run.sample_every > 0) sampler_.emplace(options);
  }

  TrainSummary run(const std::string& config);

 private:
  Resumed start(const std::string& config);
  RunDescription description(int64_t first_step) const;
  StepMetrics metrics_of(int64_t steps_done, const StepResult& result, double rate);
  void save_if_due(int64_t steps_done, bool stops);
  std::optional<double> validate();
  fs::path tokenizer_folder() const;
  void keep_tokenizer() const;
  void sample_if_due(int64_t steps_done, Metrics& metrics);
  void do_what_is_due(int64_t steps_done, Metrics& metrics, TrainSummary& summary);
  [[noreturn]] void fail_stopped(int64_t steps_done, const Metrics& metrics) const;

  int64_t tokens_per_step() const {
    return options_.data.batch * options_.data.accumulate * options_.context() * ranks_.size();
  }
  int64_t last_step() const {
    return options_.run.stop_after > 0 ? std::min(options_.run.stop_after, options_.optimizer.steps)
                                       : options_.optimizer.steps;
  }
  bool is_due(int64_t every, int64_t steps_done) const {
    return steps_done == last_step() || (every > 0 && steps_done % every == 0);
  }

  const TrainOptions& options_;
  TrainedModel& trained_;
  tensor::Ranks& ranks_;
  std::optional<text::TokenFile> validation_data_;
  std::optional<Sampler> sampler_;
  nlohmann::ordered_json fingerprint_;
  Stepper stepper_;
  bool is_checkpoint_due_ = false;
};

Resumed Trainer::start(const std::string& config) {
  const fs::path kept = options_.run.out / "config.toml";
  remove_abandoned(options_.run.out / "checkpoints");
  if (options_.run.resume) {
    Resumed resumed = load_run(options_.run, fingerprint_, stepper_.state());
    keep_tokenizer();
    stepper_.take_over(resumed.changes);
    if (const auto aside = checkpoint::set_aside_after(options_.run.out, resumed.step)) {
      spdlog::info("newer checkpoints are now in \"{}\"", aside->string());
    }
    write_file(kept, config);  // with the changed options
    spdlog::info("continuing after step {} of {}", resumed.step, options_.optimizer.steps);
    for (const Change& change : resumed.changes) {
      spdlog::info("from here on {} is {} (was {})", change.option, change.after.dump(),
                   change.before.dump());
    }
    return resumed;
  }
  if (checkpoint::latest_checkpoint(options_.run.out)) {
    fail_usage("\"{}\" already holds a run: continue with --resume, or choose another --out",
               options_.run.out.string());
  }
  if (const fs::path model = options_.run.out / "model"; is_taken(model)) {
    fail_usage("\"{}\" exists, and the run would replace it: remove it, or choose another --out",
               model.string());
  }
  make_folder(options_.run.out / "checkpoints");
  write_file(kept, config);
  keep_tokenizer();
  trained_.initialise();
  return {};
}

RunDescription Trainer::description(int64_t first_step) const {
  return {options_.model.method.name,
          options_.model.dtype,
          model::parameters_of(options_.model.config),
          options_.optimizer.steps,
          tokens_per_step(),
          first_step,
          thread_count()};
}

StepMetrics Trainer::metrics_of(int64_t steps_done, const StepResult& result, double rate) {
  StepMetrics metrics{steps_done, {}};
  const auto add = [&](Metric metric) { metrics.values.push_back(std::move(metric)); };
  add({"loss", result.loss, "loss/train", fmt::format("loss {:.4f}", result.loss)});
  const double learning_rate = result.learning_rate;
  add({"lr", learning_rate, "learning_rate", fmt::format("lr {:.2e}", learning_rate)});
  add({"grad_norm", result.gradient_norm, "gradient_norm",
       fmt::format("grad norm {:.3f}", result.gradient_norm)});
  add({"tokens_per_second", rate, "tokens_per_second", short_count(rate) + " tokens/s"});
  for (Metric& metric : trained_.record()) add(std::move(metric));
  if (const double scale = stepper_.loss_scale(); scale != 1.0) {
    add({"loss_scale", scale, "loss_scale", fmt::format("loss scale {:g}", scale)});
  }
  if (options_.model.method.is_sparse()) {
    add({.name = "phase", .value = {}, .text = result.is_sparse ? "sparse" : "dense"});
  }
  const auto seconds = take_part_seconds();
  for (size_t i = 0; i < kPartNames.size(); ++i) {
    add({.name = kPartNames[i], .value = seconds[i], .group = "seconds"});
  }
  return metrics;
}

std::optional<double> Trainer::validate() {
  if (!validation_data_ || options_.data.validation_windows == 0) return std::nullopt;
  const ValidationWindows windows = {options_.data.validation_windows, options_.context(),
                                     options_.data.batch};
  return validation_loss(trained_.evaluated(), *validation_data_, windows, ranks_);
}

// The data's tokenizer, or the one of the initial weights; empty if neither exists.
fs::path Trainer::tokenizer_folder() const {
  const fs::path of_data = options_.data.folder / "tokenizer";
  if (fs::is_directory(of_data)) return of_data;
  if (fs::is_directory(options_.model.init)) return options_.model.init;
  const fs::path kept = options_.run.out / "tokenizer";
  return fs::is_directory(kept) ? kept : fs::path();
}

// Saved beside the checkpoints, so that they can be sampled while the run continues.
void Trainer::keep_tokenizer() const {
  const fs::path from = tokenizer_folder(), to = options_.run.out / "tokenizer";
  if (from.empty() || fs::exists(to)) return;
  AtomicFolder folder(to);
  checkpoint::copy_tokenizer(from, folder.path());
  folder.commit();
}

void Trainer::sample_if_due(int64_t steps_done, Metrics& metrics) {
  if (!sampler_ || !is_due(options_.run.sample_every, steps_done)) return;
  std::string continuation;
  try {
    continuation = sampler_->continuation(trained_.evaluated(), steps_done);
  } catch (const Error& error) {  // NaN weights, which the run itself reports
    spdlog::warn("no sample after step {}: {}", steps_done, error.what());
    return;
  }
  metrics.record_sample(steps_done, options_.run.sample_prompt, continuation);
}

void Trainer::fail_stopped(int64_t steps_done, const Metrics& metrics) const {
  const std::string after =
      fmt::format("after step {} of {}, with a checkpoint: continue with --resume", steps_done,
                  options_.optimizer.steps);
  if (!metrics.output_error().empty()) {
    fail("the standard output cannot be written ({}): stopped {}", metrics.output_error(), after);
  }
  fail("stopped on request {}", after);
}

// A checkpoint due at a suspicious step waits for the next normal one, because a diverging run must
// not replace the last good checkpoint.
void Trainer::save_if_due(int64_t steps_done, bool stops) {
  const bool ends = stops || steps_done == last_step();
  is_checkpoint_due_ |= is_due(options_.run.checkpoint_every, steps_done);
  if (!ends && !(is_checkpoint_due_ && stepper_.is_worth_saving())) return;
  is_checkpoint_due_ = false;
  if (ranks_.is_first()) {
    save_run(options_.run.out, fingerprint_, steps_done, stepper_.state(), options_.run.keep);
  }
  ranks_.barrier();
  StopSignal::set_saved(steps_done);
}

void Trainer::do_what_is_due(int64_t steps_done, Metrics& metrics, TrainSummary& summary) {
  const bool is_wanted = !StopSignal::requested() && metrics.output_error().empty();
  const bool stops = !is_wanted && steps_done < last_step();
  const bool ends = stops || steps_done == last_step();
  if (ends)
    save_if_due(steps_done, stops);  // first, because a second signal must not lose the
                                     // steps
  if (is_due(options_.run.validate_every, steps_done)) {
    summary.validation_loss = validate();
    if (summary.validation_loss) metrics.record_validation(steps_done, *summary.validation_loss);
    metrics.record_masks(steps_done, trained_.observe());
  }
  sample_if_due(steps_done, metrics);
  if (!ends) save_if_due(steps_done, stops);
  if (stops) fail_stopped(steps_done, metrics);
}

TrainSummary Trainer::run(const std::string& config) {
  const FolderLock lock(options_.run.out);
  const Resumed resumed = start(config);
  const int64_t first_step = resumed.step;
  StopSignal::set_saved(first_step);
  TrainSummary summary;
  summary.parameters = model::parameters_of(options_.model.config);
  Metrics metrics(options_.run.out, description(first_step), options_.run.quiet);
  for (const Change& change : resumed.changes) metrics.record_change(first_step, change);
  stepper_.prepare(first_step);
  if (first_step == 0) metrics.record_masks(0, trained_.observe());
  take_part_seconds();
  const auto begin = Clock::now();
  auto last_record = begin;
  int64_t last_recorded_step = first_step;
  for (int64_t step = first_step; step < last_step(); ++step) {
    if (step == first_step && StopSignal::requested()) {
      fail("stopped on request before step {}", step + 1);
    }
    const StepResult result = stepper_.take(step);
    const int64_t done = step + 1;
    summary.train_loss = result.loss;
    summary.skipped += result.was_skipped;
    const double rate = static_cast<double>((done - last_recorded_step) * tokens_per_step()) /
                        seconds_since(last_record);
    metrics.update_progress(done, result.loss, rate);
    if (is_due(options_.run.log_every, done)) {
      metrics.record_step(metrics_of(done, result, rate));
      last_record = Clock::now();
      last_recorded_step = done;
    }
    const auto pause = Clock::now();  // the rest does not count as training time
    do_what_is_due(done, metrics, summary);
    last_record += Clock::now() - pause;
  }
  summary.steps = last_step();
  summary.seconds = seconds_since(begin);
  if (first_step < last_step()) {
    summary.tokens_per_second =
        static_cast<double>((last_step() - first_step) * tokens_per_step()) / summary.seconds;
  }
  trained_.summarise(summary);
  if (first_step >= last_step()) {
    summary.validation_loss = validate();
    if (summary.validation_loss) metrics.record_validation(first_step, *summary.validation_loss);
  }
  metrics.record_end(last_step(), summary.seconds);
  if (last_step() == options_.optimizer.steps) {
    trained_.save(options_.run.out / "model", tokenizer_folder());
  }
  return summary;
}

}  // namespace

TrainSummary train(const TrainOptions& options, const std::string& config,
                   const MakeTrainedModel& make_trained) {
  check_options(options);
  const auto ranks = tensor::single_rank();
  text::TokenFile data = text::TokenFile::open(options.data.folder / "train.bin");
  data.check(options.model.sizes().vocabulary);
  if (!options.run.resume && !options.model.init.empty()) {
    check_tokenizer(options.model.init, data);
  }
  std::optional<text::TokenFile> validation_data;
  if (fs::exists(options.data.folder / "val.bin")) {
    validation_data = text::TokenFile::open(options.data.folder / "val.bin");
    validation_data->check(options.model.sizes().vocabulary);
  }
  const std::unique_ptr<TrainedModel> trained =
      make_trained ? make_trained() : std::make_unique<Pretraining>(options);
  Trainer trainer(options, *trained, data, std::move(validation_data), *ranks);
  return trainer.run(config);
}

}  // namespace twofour::train
