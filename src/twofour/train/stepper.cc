#include "twofour/train/stepper.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/scalar_tensor.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/parts.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/model/loss.h"
#include "twofour/train/schedule.h"

namespace twofour::train {
namespace {

AdamWOptions optimizer_options(const TrainOptions& options, const TrainedModel& trained) {
  return {.beta1 = options.optimizer.beta1,
          .beta2 = options.model.method.beta2,
          .epsilon = options.optimizer.epsilon,
          .clip = options.optimizer.clip,
          .groups = trained.groups(options.optimizer.weight_decay),
          .moments = options.optimizer.moments,
          .seed = options.run.seed};
}

// Whether the named weight's second moment freezes with the others; none = all do.
std::function<bool(const std::string&)> freezes(const Method& method, const TrainedModel& trained) {
  if (method.second_moment == SecondMoment::kAdapt) return {};
  return [&trained](const std::string& name) { return trained.freezes(name); };
}

}  // namespace

Stepper::Stepper(const TrainOptions& options, TrainedModel& trained, const text::TokenFile& data,
                 tensor::Ranks& ranks)
    : options_(options),
      trained_(trained),
      batches_(data, options.context(), options.run.seed),
      ranks_(ranks),
      gradients_(trained.parameters()),
      optimizer_(trained.parameters(), optimizer_options(options, trained),
                 freezes(options.model.method, trained)),
      phases_(options.model.method, options.optimizer.steps),
      scaler_(options.first_loss_scale(), options.optimizer.loss_scale_growth),
      divergence_(options.optimizer.divergence_factor) {}

bool Stepper::is_sparse(int64_t step) const {
  return phases_.is_sparse(std::min(step, options_.optimizer.steps - 1));
}

void Stepper::take_over(const std::vector<Change>& changes) {
  const auto has_changed = [&](const char* option) {
    return std::any_of(changes.begin(), changes.end(),
                       [&](const Change& change) { return change.option == option; });
  };
  if (has_changed("loss-scale")) scaler_.restart();
  const bool is_undecided = options_.model.method.has_auto_switch() && phases_.sparse_from() < 0;
  if (has_changed("steps") && is_undecided) {
    fail_usage(
        "--steps cannot change before AutoSwitch has decided, whose bounds are shares of them");
  }
}

void Stepper::prepare(int64_t step) {
  trained_.prepare(step, optimizer_.steps_taken(), is_sparse(step));
}

at::Tensor Stepper::loss_of(const at::Tensor& ids, std::span<const int64_t> targets,
                            double scale) const {
  model::Teacher teacher;
  if (const model::Model* from = trained_.teacher()) {
    const at::NoGradGuard no_gradients;
    teacher = {from->output(), model::hidden_of(*from, ids), options_.model.distill_weight};
  }
  const model::Model& model = trained_.model();
  const at::Tensor hidden = model::hidden_of(model, ids, {options_.model.recompute});
  return model::next_token_loss(model.output(), hidden, targets, scale, teacher);
}

double Stepper::mean_over_ranks(double value) {
  at::Tensor sum = at::scalar_tensor(value, at::kDouble);
  ranks_.sum(sum);
  return sum.item<double>() / static_cast<double>(ranks_.size());
}

double Stepper::accumulate_gradients(int64_t step) {
  const int64_t batch = options_.data.batch, accumulate = options_.data.accumulate;
  const int64_t context = options_.context(), tokens = batch * context;
  const double scale = scaler_.scale() / static_cast<double>(accumulate * ranks_.size());
  std::vector<int64_t> inputs(static_cast<size_t>(tokens)), targets(inputs);
  double loss = 0.0;
  for (int64_t micro = 0; micro < accumulate; ++micro) {
    // The ranks take micro-batches in turn.
    const int64_t own = micro * ranks_.size() + ranks_.rank();
    batches_.read((step * accumulate * ranks_.size() + own) * batch, inputs, targets);
    const at::Tensor ids =
        at::from_blob(inputs.data(), {batch, context}, at::TensorOptions().dtype(at::kLong));
    trained_.begin_micro_batch(step, own, scale);
    at::Tensor micro_loss;
    {
      const PartTimer timer(Part::kForward);
      micro_loss = loss_of(ids, targets, scale);
    }
    const PartTimer timer(Part::kBackward);
    torch::autograd::backward({micro_loss}, {});
    loss += micro_loss.item<double>();
  }
  ranks_.sum(gradients_.values());
  return mean_over_ranks(loss / static_cast<double>(accumulate));
}

// Returns the gradient's norm; if it is not finite, nothing has changed. `change` receives the
// second moment's change, if not null.
double Stepper::update(double learning_rate, SecondMomentChange* change) {
  const PartTimer timer(Part::kOptimizer);
  const double norm = optimizer_.step(learning_rate, scaler_.scale(), [&](double divisor) {
    trained_.decay_gradients(divisor);
    if (change) *change = optimizer_.second_moment_change(divisor);
  });
  if (std::isfinite(norm)) trained_.decay_weights(learning_rate);
  return norm;
}

StepResult Stepper::take(int64_t step) {
  StepResult result;
  result.is_sparse = is_sparse(step);
  result.learning_rate =
      learning_rate(step, options_.optimizer.steps, options_.optimizer.warmup,
                    options_.optimizer.learning_rate, options_.optimizer.min_learning_rate);
  result.loss = accumulate_gradients(step);
  const bool is_watched = phases_.watches(step);
  SecondMomentChange change;
  result.gradient_norm = std::isfinite(result.loss)
                             ? update(result.learning_rate, is_watched ? &change : nullptr)
                             : result.loss;
  result.was_skipped = was_skipped_ = !std::isfinite(result.gradient_norm);
  if (is_watched) phases_.record(step, result.was_skipped ? nullptr : &change);
  scaler_.update(result.was_skipped);
  if (result.was_skipped) {
    optimizer_.clear_gradients();
  } else {
    divergence_.record(result.gradient_norm);
  }
  check_divergence(step, result);
  const bool is_next_sparse = is_sparse(step + 1);
  // After a dense start of only skipped steps there is nothing to freeze.
  const bool freezes = options_.model.method.second_moment == SecondMoment::kFreeze &&
                       is_next_sparse && optimizer_.steps_taken() > 0;
  if (freezes && !optimizer_.has_frozen_second_moment()) optimizer_.freeze_second_moment();
  if (!result.was_skipped || is_next_sparse != result.is_sparse) prepare(step + 1);
  return result;
}

void Stepper::check_divergence(int64_t step, const StepResult& result) const {
  std::string what;
  if (result.was_skipped && (!scaler_.is_on() || scaler_.is_exhausted())) {
    // Drops the sign of NaN, which has no meaning.
    what = std::isfinite(result.loss)
               ? fmt::format("the gradient is {}", std::fabs(result.gradient_norm))
               : fmt::format("the loss is {}", std::fabs(result.loss));
  } else if (divergence_.has_diverged()) {
    what = fmt::format("the gradient's norm is {:.3g}, usually {:.3g},", result.gradient_norm,
                       divergence_.usual_norm());
  } else {
    return;
  }
  const auto last = checkpoint::latest_checkpoint(options_.run.out);
  fail("{} at step {}: the run diverges; {}; try a lower --lr{}{}", what, step + 1,
       last ? fmt::format("the checkpoint of step {} is kept", *last)
            : std::string("there is no checkpoint yet"),
       options_.model.dtype == "float32" ? " or a longer --warmup"
                                         : ", a longer --warmup or --dtype float32",
       last ? " with --resume" : "");
}

StateFiles Stepper::state() {
  checkpoint::NamedTensors schedule = phases_.state();
  schedule.emplace_back("loss_scale", scaler_.state());
  schedule.emplace_back("gradient_norm", divergence_.state());
  StateFiles files = trained_.state();
  files.emplace_back("optimizer.safetensors", optimizer_.state());
  files.emplace_back("schedule.safetensors", schedule);
  return files;
}

}  // namespace twofour::train
