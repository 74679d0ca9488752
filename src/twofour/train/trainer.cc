#include "twofour/train/trainer.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <optional>

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/model/loss.h"
#include "twofour/sparse/dtype.h"
#include "twofour/text/batches.h"
#include "twofour/train/metrics.h"
#include "twofour/train/run_state.h"
#include "twofour/train/schedule.h"
#include "twofour/train/stop_signal.h"
#include "twofour/train/validation.h"

namespace twofour::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::pair<std::string, at::Tensor>> parameters_of(model::Gpt2& model) {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  model.visit([&](const std::string& name, at::Tensor& tensor) {
    tensor.requires_grad_();
    parameters.emplace_back(name, tensor);
  });
  return parameters;
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
  if (!(options.learning_rate > 0)) fail_usage("--lr must be positive");
  if (options.min_learning_rate > options.learning_rate) {
    fail_usage("--min-lr {} is above --lr {}", options.min_learning_rate, options.learning_rate);
  }
}

/// The parts of a run that every step touches.
class Trainer {
 public:
  Trainer(const TrainOptions& options, const text::TokenFile& data,
          std::optional<text::TokenFile> validation_data)
      : options_(options),
        batches_(data, options.sizes.context, options.seed),
        validation_data_(std::move(validation_data)),
        fingerprint_(fingerprint(options, data)),
        model_(model::make_gpt2(options.sizes, options.seed)),
        optimizer_(parameters_of(model_), {options.beta1, options.beta2, options.epsilon,
                                           options.weight_decay, options.clip}),
        weights_(model_, method_named(options.method), sparse::dtype_named(options.dtype),
                 options.seed) {}

  TrainSummary run(const std::string& config);

 private:
  struct StepResult {
    double loss, gradient_norm, learning_rate;
  };
  int64_t start(const std::string& config);
  StepResult take_step(int64_t step);
  double accumulate_gradients(int64_t step);
  double validate() const;
  void finish();

  int64_t tokens_per_step() const {
    return options_.batch * options_.accumulate * options_.sizes.context;
  }
  bool is_due(int64_t every, int64_t steps_done) const {
    return steps_done == options_.steps || (every > 0 && steps_done % every == 0);
  }

  const TrainOptions& options_;
  text::Batches batches_;
  std::optional<text::TokenFile> validation_data_;
  nlohmann::ordered_json fingerprint_;
  model::Gpt2 model_;
  AdamW optimizer_;
  SparseWeights weights_;
};

// Returns the number of steps already done.
int64_t Trainer::start(const std::string& config) {
  if (options_.resume) {
    remove_abandoned(options_.out / "checkpoints");
    const int64_t step = load_run(options_, fingerprint_, model_, optimizer_, weights_);
    spdlog::info("going on after step {} of {}", step, options_.steps);
    return step;
  }
  if (checkpoint::latest_checkpoint(options_.out)) {
    fail("\"{}\" already holds a run: go on with --resume, or choose another --out",
         options_.out.string());
  }
  make_folder(options_.out / "checkpoints");
  write_file(options_.out / "config.toml", config);
  weights_.initialise();
  return 0;
}

double Trainer::accumulate_gradients(int64_t step) {
  const int64_t tokens = options_.batch * options_.sizes.context;
  std::vector<int64_t> inputs(static_cast<size_t>(tokens)), targets(inputs);
  double loss = 0.0;
  for (int64_t micro = 0; micro < options_.accumulate; ++micro) {
    batches_.read((step * options_.accumulate + micro) * options_.batch, inputs, targets);
    const at::Tensor ids = at::from_blob(inputs.data(), {options_.batch, options_.sizes.context},
                                         at::TensorOptions().dtype(at::kLong));
    weights_.set_stream(step, micro);
    const at::Tensor hidden = model::gpt2_hidden(model_, ids, {options_.recompute});
    const at::Tensor micro_loss = model::next_token_loss(
        model_, hidden, targets, 1.0 / static_cast<double>(options_.accumulate));
    torch::autograd::backward({micro_loss}, {});
    loss += micro_loss.item<double>();
  }
  return loss;
}

Trainer::StepResult Trainer::take_step(int64_t step) {
  const double lr = learning_rate(step, options_.steps, options_.warmup, options_.learning_rate,
                                  options_.min_learning_rate);
  const double loss = accumulate_gradients(step);
  const double norm = std::isfinite(loss) ? optimizer_.step(lr) : loss;
  if (!std::isfinite(norm)) {
    const auto last = checkpoint::latest_checkpoint(options_.out);
    fail("the {} is {} at step {}: {}; try a lower --lr, a longer --warmup or --dtype float32",
         std::isfinite(loss) ? "gradient" : "loss", norm, step + 1,
         last ? fmt::format("the checkpoint of step {} is kept", *last)
              : std::string("there is no checkpoint yet"));
  }
  return {loss, norm, lr};
}

double Trainer::validate() const {
  if (!validation_data_) return std::numeric_limits<double>::quiet_NaN();
  return validation_loss(model_, *validation_data_, options_.batch, options_.validation_windows);
}

void Trainer::finish() {
  const fs::path tokenizer = options_.data / "tokenizer";
  weights_.replace_masters();
  checkpoint::save_gpt2(options_.out / "model", model_, weights_.masks(),
                        fs::is_directory(tokenizer) ? tokenizer : fs::path());
}

TrainSummary Trainer::run(const std::string& config) {
  const StopSignal stop_signal;
  const int64_t first_step = start(config);
  TrainSummary summary;
  summary.parameters = options_.sizes.parameters();
  Metrics metrics(options_.out,
                  {options_.method, options_.dtype, summary.parameters, options_.steps,
                   tokens_per_step(), first_step, thread_count()},
                  options_.quiet);
  const bool is_sparse = method_named(options_.method).forward_weight != ForwardWeight::kDense;
  SparsityStatistics sparsity = weights_.refresh();
  const auto begin = Clock::now();
  auto last_record = begin;
  int64_t last_recorded_step = first_step;
  for (int64_t step = first_step; step < options_.steps; ++step) {
    const StepResult result = take_step(step);
    sparsity = weights_.refresh();
    const int64_t done = step + 1;
    summary.train_loss = result.loss;
    const double rate = static_cast<double>((done - last_recorded_step) * tokens_per_step()) /
                        seconds_since(last_record);
    metrics.update_progress(done, result.loss, rate);
    if (is_due(options_.log_every, done)) {
      StepMetrics record{done, result.loss, result.learning_rate, result.gradient_norm, rate,
                         {},   {}};
      if (is_sparse) {
        record.flip_rate = sparsity.flip_rate;
        record.zeros = sparsity.zeros;
      }
      metrics.record_step(record);
      last_record = Clock::now();
      last_recorded_step = done;
    }
    if (is_due(options_.validate_every, done) && validation_data_) {
      const auto pause = Clock::now();
      summary.validation_loss = validate();
      metrics.record_validation(done, summary.validation_loss);
      last_record += Clock::now() - pause;  // validation is no part of the training speed
    }
    const bool stop = StopSignal::requested() && done < options_.steps;
    if (stop || is_due(options_.checkpoint_every, done)) {
      const auto pause = Clock::now();
      save_run(options_, fingerprint_, done, model_, optimizer_, weights_);
      last_record += Clock::now() - pause;
    }
    if (stop) {
      fail("stopped as asked after step {} of {}, with a checkpoint: go on with --resume", done,
           options_.steps);
    }
  }
  summary.steps = options_.steps;
  summary.seconds = seconds_since(begin);
  summary.tokens_per_second =
      static_cast<double>((options_.steps - first_step) * tokens_per_step()) / summary.seconds;
  summary.flip_rate = sparsity.flip_rate;
  summary.zeros = sparsity.zeros;
  if (first_step == options_.steps) summary.validation_loss = validate();
  metrics.record_end(options_.steps, summary.seconds);
  finish();
  return summary;
}

}  // namespace

TrainSummary train(const TrainOptions& options, const std::string& config) {
  check_options(options);
  const text::TokenFile data = text::TokenFile::open(options.data / "train.bin");
  std::optional<text::TokenFile> validation_data;
  if (fs::exists(options.data / "val.bin")) {
    validation_data = text::TokenFile::open(options.data / "val.bin");
  }
  Trainer trainer(options, data, std::move(validation_data));
  return trainer.run(config);
}

}  // namespace twofour::train
