#include "twofour/train/run_state.h"

#include <unordered_map>

#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/checkpoint/run_checkpoint.h"
#include "twofour/sparse/choice.h"

namespace twofour::train {
namespace {

using Json = nlohmann::ordered_json;
using checkpoint::NamedTensors;

// Copies each stored tensor into the live one of its name: both sides must hold the same names.
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

// An axis' number is kept as its text.
std::string as_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void check_fingerprint(const Json& now, const Json& then, const std::filesystem::path& run) {
  for (const auto& [key, value] : now.items()) {
    Json stored = then.contains(key) ? then[key] : Json();
    if (stored.is_null() && key == "freeze") stored = "all";  // before there was a choice
    if (as_text(stored) == as_text(value)) continue;
    fail("cannot resume \"{}\": {} was {} and is now {}; use the same value, or another --out",
         run.string(), key, stored.dump(), value.dump());
  }
}

}  // namespace

Json fingerprint(const TrainOptions& options, const text::TokenFile& data) {
  Json values = {{"method", options.method.name},
                 {"layers", options.sizes.layers},
                 {"heads", options.sizes.heads},
                 {"width", options.sizes.width},
                 {"context", options.sizes.context},
                 {"feed-forward", options.sizes.feed_forward},
                 {"vocabulary", options.sizes.vocabulary},
                 {"dtype", options.dtype},
                 {"seed", options.seed},
                 {"steps", options.steps},
                 {"batch", options.batch},
                 {"accumulate", options.accumulate},
                 {"lr", options.learning_rate},
                 {"min-lr", options.min_learning_rate},
                 {"warmup", options.warmup},
                 {"weight-decay", options.weight_decay},
                 {"beta1", options.beta1},
                 {"epsilon", options.epsilon},
                 {"clip", options.clip},
                 {"loss-scale", options.first_loss_scale()},
                 {"loss-scale-growth", options.loss_scale_growth},
                 {"divergence-factor", options.divergence_factor}};
  for (const Axis& axis : axes()) values[axis.name] = axis.get(options.method);
  if (options.method.second_moment == SecondMoment::kAdapt) values.erase("freeze");  // without use
  values["number of training tokens"] = data.size();
  values["training data (content hash)"] = data.content_hash();
  return values;
}

void save_run(const TrainOptions& options, const Json& fingerprint, int64_t step,
              const StateFiles& files) {
  checkpoint::RunState state;
  state.state = {{"step", step},
                 {"threads", thread_count()},
                 {"options", fingerprint},
                 {"products", sparse::choices_made()}};
  state.files = files;
  checkpoint::save_checkpoint(options.out, step, state, options.keep);
}

int64_t load_run(const TrainOptions& options, const Json& fingerprint, const StateFiles& files) {
  const auto newest = checkpoint::latest_checkpoint(options.out);
  if (!newest) {
    fail("cannot resume \"{}\": it holds no checkpoint; leave --resume out to start",
         options.out.string());
  }
  const checkpoint::RunState stored = checkpoint::load_checkpoint(options.out, *newest);
  check_fingerprint(fingerprint, stored.state.at("options"), options.out);
  if (stored.state.at("threads") != thread_count()) {
    spdlog::warn("the run used {} threads and now uses {}: it goes on, but not bit for bit",
                 stored.state.at("threads").dump(), thread_count());
  }
  std::unordered_map<std::string, NamedTensors> by_file(stored.files.begin(), stored.files.end());
  for (const auto& [file, tensors] : files) restore(tensors, by_file[file], file);
  if (stored.state.contains("products")) sparse::use_choices(stored.state.at("products"));
  return stored.state.at("step");
}

}  // namespace twofour::train
