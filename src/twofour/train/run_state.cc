#include "twofour/train/run_state.h"

#include <algorithm>
#include <thread>
#include <unordered_map>

#include <fmt/ranges.h>

#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/checkpoint/model_config.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/tensor/choice.h"

namespace twofour::train {
namespace {

using Json = nlohmann::ordered_json;
using checkpoint::NamedTensors;

// Copies each stored tensor into the live one of the same name. Both sides need the same names.
void restore(const NamedTensors& live, const NamedTensors& stored, const std::string& file) {
  const at::NoGradGuard no_gradients;
  std::unordered_map<std::string, at::Tensor> by_name(stored.begin(), stored.end());
  if (live.size() != stored.size()) {
    fail("the checkpoint's {} holds {} tensors, expected {}", file, stored.size(), live.size());
  }
  for (const auto& [name, tensor] : live) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) fail("the checkpoint's {} lacks \"{}\"", file, name);
    if (found->second.sizes() != tensor.sizes() ||
        found->second.scalar_type() != tensor.scalar_type()) {
      fail("the checkpoint's {} has another shape or dtype of \"{}\"", file, name);
    }
    tensor.copy_(found->second);
  }
}

// A number of an axis is kept as text.
std::string as_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::vector<Change> changes_between(const Json& then, const Json& now) {
  std::vector<Change> changes;
  for (const auto& [key, value] : now.items()) {
    Json stored = then.contains(key) ? then[key] : Json();
    if (stored.is_null() && key == "freeze") stored = "all";  // older checkpoints have no choice
    if (stored.is_null() && key == "architecture") continue;
    if (as_text(stored) != as_text(value)) changes.push_back({key, stored, value});
  }
  return changes;
}

void check_changes(const RunOptions& options, int64_t steps, const Resumed& resumed) {
  const std::vector<std::string>& may_change = changeable_options();
  for (const Change& change : resumed.changes) {
    if (options.may_change &&
        std::find(may_change.begin(), may_change.end(), change.option) != may_change.end())
      continue;
    fail("cannot resume \"{}\": {} was {} and is now {}; use the same value, or another --out",
         options.out.string(), change.option, change.before.dump(), change.after.dump());
  }
  if (steps < resumed.step) {
    fail("cannot resume \"{}\": {} steps are done, more than --steps {}", options.out.string(),
         resumed.step, steps);
  }
  if (options.stop_after > 0 && options.stop_after < resumed.step) {
    fail("cannot resume \"{}\": {} steps are done, more than --stop-after {}", options.out.string(),
         resumed.step, options.stop_after);
  }
}

// The step of the requested checkpoint.
int64_t step_to_resume(const RunOptions& options) {
  const std::vector<int64_t> steps = checkpoint::checkpoint_steps(options.out);
  if (steps.empty()) {
    fail("cannot resume \"{}\": it holds no checkpoint; leave --resume out to start",
         options.out.string());
  }
  if (!options.resume_from) return steps.back();
  if (std::find(steps.begin(), steps.end(), *options.resume_from) == steps.end()) {
    fail("cannot resume \"{}\" from step {}: it holds checkpoints of the steps {}",
         options.out.string(), *options.resume_from, fmt::join(steps, ", "));
  }
  return *options.resume_from;
}

// A run's bits depend on its number of threads, so a resumed run uses the same number.
void use_threads(const RunOptions& options, int threads) {
  const auto most = static_cast<int>(std::thread::hardware_concurrency());
  if (!options.keeps_threads && threads > 0 && threads <= most) set_thread_count(threads);
  if (threads == thread_count()) return;
  spdlog::warn(
      "the number of threads was {} and is now {}: the run continues, but not bit for bit{}",
      threads, thread_count(),
      options.keeps_threads ? "" : fmt::format(" (--threads {} would)", threads));
}

}  // namespace

Json fingerprint(const TrainOptions& options, const text::TokenFile& data) {
  const model::Sizes sizes = options.model.sizes();
  Json values = {{"method", options.model.method.name},
                 {"layers", sizes.layers},
                 {"heads", sizes.heads},
                 {"width", sizes.width},
                 {"context", options.context()},
                 {"feed-forward", sizes.feed_forward},
                 {"vocabulary", sizes.vocabulary},
                 {"dtype", options.model.dtype},
                 {"seed", options.run.seed},
                 {"steps", options.optimizer.steps},
                 {"batch", options.data.batch},
                 {"accumulate", options.data.accumulate},
                 {"lr", options.optimizer.learning_rate},
                 {"min-lr", options.optimizer.min_learning_rate},
                 {"warmup", options.optimizer.warmup},
                 {"weight-decay", options.optimizer.weight_decay},
                 {"beta1", options.optimizer.beta1},
                 {"epsilon", options.optimizer.epsilon},
                 {"clip", options.optimizer.clip},
                 {"loss-scale", options.first_loss_scale()},
                 {"loss-scale-growth", options.optimizer.loss_scale_growth},
                 {"divergence-factor", options.optimizer.divergence_factor}};
  if (!options.model.init.empty()) values["init"] = options.model.init.string();
  if (!options.model.masks.empty()) values["masks"] = options.model.masks.string();
  if (!options.model.teacher.empty()) {
    values["distill"] = options.model.teacher.string();
    values["distill-weight"] = options.model.distill_weight;
  }
  values["architecture"] =
      checkpoint::config_json(options.model.config, options.model.special, at::kFloat);
  for (const Axis& axis : axes()) values[axis.name] = axis.get(options.model.method);
  if (options.model.method.second_moment == SecondMoment::kAdapt)
    values.erase("freeze");  // it has no effect
  values["number of training tokens"] = data.size();
  values["training data (content hash)"] = data.content_hash();
  return values;
}

void save_run(const fs::path& run, const Json& fingerprint, int64_t step, const StateFiles& files,
              int64_t keep) {
  checkpoint::RunState state;
  state.state = {{"step", step},
                 {"threads", thread_count()},
                 {"options", fingerprint},
                 {"products", tensor::choices_made()}};
  state.files = files;
  checkpoint::save_checkpoint(run, step, state, keep);
}

const std::vector<std::string>& changeable_options() {
  static const std::vector<std::string> kNames = {"steps",
                                                  "lr",
                                                  "min-lr",
                                                  "warmup",
                                                  "weight-decay",
                                                  "clip",
                                                  "decay",
                                                  "dtype",
                                                  "loss-scale",
                                                  "loss-scale-growth",
                                                  "divergence-factor",
                                                  "seed"};
  return kNames;
}

Resumed load_run(const RunOptions& options, const Json& fingerprint, const StateFiles& files) {
  const int64_t step = step_to_resume(options);
  const checkpoint::RunState stored = checkpoint::load_checkpoint(options.out, step);
  const Resumed resumed{step, changes_between(stored.state.at("options"), fingerprint)};
  check_changes(options, fingerprint.at("steps").get<int64_t>(), resumed);
  use_threads(options, stored.state.at("threads").get<int>());
  std::unordered_map<std::string, NamedTensors> by_file(stored.files.begin(), stored.files.end());
  for (const auto& [file, tensors] : files) restore(tensors, by_file[file], file);
  if (stored.state.contains("products")) tensor::use_choices(stored.state.at("products"));
  return resumed;
}

}  // namespace twofour::train
