#include "twofour/learn/mask_learning.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/checkpoint/conversion.h"
#include "twofour/learn/mask_changes.h"
#include "twofour/learn/mask_statistics.h"
#include "twofour/learn/prior.h"
#include "twofour/model/initialise.h"
#include "twofour/prune/layer_plan.h"
#include "twofour/prune/pruned_folder.h"
#include "twofour/sparse/masks.h"
#include "twofour/tensor/dtype.h"
#include "twofour/train/starting_point.h"
#include "twofour/train/trainer.h"

namespace twofour::learn {
namespace {

using Json = nlohmann::ordered_json;
using train::Metric;

prune::LayerPlan plan_of(const LearnOptions& options) {
  prune::PruneOptions layers;
  layers.pattern = options.pattern;
  layers.include = options.include;
  layers.exclude = options.exclude;
  prune::LayerPlan plan = prune::plan_layers(options.train.model.config, layers);
  for (const prune::SkippedLayer& skipped : plan.skipped) {
    if (skipped.was_chosen) spdlog::warn("\"{}\" stays dense: {}", skipped.name, skipped.reason);
  }
  return plan;
}

Metric share(const char* name, double value, const char* shown) {
  return {name, value, std::string("masks/") + name,
          fmt::format("{} {:.3g} %", shown, 100 * value)};
}

Metric figure(const char* name, double value) {
  return {name, value, std::string("masks/") + name};
}

}  // namespace

MaskLearning::MaskLearning(const LearnOptions& options)
    : options_(options), candidates_(options.pattern.kept, options.pattern.group) {
  const train::ModelOptions& model = options.train.model;
  const checkpoint::ModelFolder folder(model.init);
  model_hash_ = prune::hash_of_model(folder);
  const at::ScalarType dtype = tensor::dtype_named(model.dtype);
  model_.emplace(folder.load(options.trains_weights ? at::kFloat : dtype));
  if (options.distills_itself) {
    teacher_.emplace(*model_);
  } else {
    teacher_ = train::teacher_model(model, options.train.context());
  }
  choose_layers();
  if (!options.prior.masks.empty()) check_prior(options.prior.masks, options.prior.name);
  if (options.trains_weights)
    weights_.emplace(*model_, model.method, dtype, options.train.run.seed);
  evaluated_.emplace(*model_);
  evaluated_->visit_linears([](const std::string&, model::Linear& linear) {
    linear.mask_use = sparse::MaskUse::kEvaluate;
  });
}

void MaskLearning::choose_layers() {
  const prune::LayerPlan plan = plan_of(options_);
  model_->visit_linears([&](const std::string& name, model::Linear& linear) {
    const bool is_chosen = std::any_of(plan.blocks.begin(), plan.blocks.end(),
                                       [&](const auto& block) { return block.contains(name); });
    if (!is_chosen) return;
    const int64_t rows = linear.weight.size(0), columns = linear.weight.size(1);
    const at::Tensor logits = at::zeros({rows, columns / candidates_.group(), candidates_.count()},
                                        at::TensorOptions().dtype(options_.logits));
    linear.soft_mask = std::make_shared<sparse::SoftMask>(candidates_, logits);
    kernels::SoftMaskOptions& noisy = linear.soft_mask->options;
    noisy.choice = options_.is_hard ? kernels::Choice::kHard : kernels::Choice::kSoft;
    noisy.noise = kernels::Noise::kDrawn;
    noisy.stream.seed = options_.train.run.seed;
    noisy.stream.tensor = static_cast<uint32_t>(layers_.size());
    const at::Tensor bits = at::zeros({(rows * columns + 7) / 8}, at::kByte);
    layers_.push_back({name, &linear, linear.soft_mask, bits, bits.clone()});
  });
}

checkpoint::NamedTensors MaskLearning::parameters() {
  checkpoint::NamedTensors parameters;
  for (const Layer& layer : layers_) {
    layer.mask->logits.requires_grad_();
    parameters.emplace_back(layer.name + kLogitsSuffix, layer.mask->logits);
  }
  if (!options_.trains_weights) return parameters;
  model_->visit([&](const std::string& name, at::Tensor& tensor) {
    tensor.requires_grad_();
    parameters.emplace_back(name, tensor);
  });
  return parameters;
}

std::vector<train::ParameterGroup> MaskLearning::groups(double weight_decay) const {
  train::ParameterGroup logits;
  logits.pattern = "[.]logits$";
  logits.learning_rate_factor = options_.logits_factor;
  logits.weight_decay = weight_decay;
  std::vector<train::ParameterGroup> groups = {logits};
  for (const train::ParameterGroup& group : train::decay_on_matrices(weight_decay)) {
    groups.push_back(group);
  }
  return groups;
}

void MaskLearning::check_prior(const checkpoint::NamedTensors& masks,
                               const std::string& place) const {
  const std::map<std::string, at::Tensor> given(masks.begin(), masks.end());
  for (const Layer& layer : layers_) {
    const auto mask = given.find(layer.name);
    if (mask == given.end()) {
      fail_usage("--prior \"{}\" has no mask of \"{}\": exclude the layer, or learn without it",
                 place, layer.name);
    }
    check_prior_mask(mask->second, layer.linear->weight.size(0), layer.linear->weight.size(1),
                     candidates_, layer.name, place);
  }
}

void MaskLearning::initialise() {
  const at::NoGradGuard no_gradients;
  const checkpoint::NamedTensors masks =
      options_.prior.method ? pruned_prior(options_) : options_.prior.masks;
  // Those of a file were checked before RUN was made.
  if (options_.prior.method) check_prior(masks, (options_.train.run.out / "prior").string());
  const std::map<std::string, at::Tensor> by_name(masks.begin(), masks.end());
  for (Layer& layer : layers_) {
    at::Tensor& logits = layer.mask->logits;
    at::Tensor drawn = at::empty(logits.sizes(), at::kFloat);
    model::fill_normal(drawn, static_cast<float>(options_.deviation), options_.train.run.seed,
                       layer.mask->options.stream.tensor);
    if (!by_name.empty()) {
      const at::Tensor& mask = by_name.at(layer.name);
      add_prior_mask(drawn, mask, candidates_, options_.prior.strength);
      layer.prior.copy_(mask);
    }
    logits.copy_(drawn);
    layer.recorded.copy_(sparse::best_mask(*layer.mask));
    if (by_name.empty()) layer.prior.copy_(layer.recorded);
  }
}

void MaskLearning::prepare(int64_t step, int64_t updates, bool is_sparse) {
  const int64_t steps = options_.train.optimizer.steps;
  prepared_ = {options_.kappa.at(step, steps), options_.tau.at(step, steps),
               Linear{options_.regularisation, 0}.at(step, steps)};
  for (const Layer& layer : layers_) {
    layer.mask->options.kappa = static_cast<float>(prepared_.kappa);
    layer.mask->options.tau = static_cast<float>(prepared_.tau);
  }
  if (weights_) weights_->prepare(updates, is_sparse);
}

void MaskLearning::begin_micro_batch(int64_t step, int64_t micro_batch, double gradient_scale) {
  taken_ = prepared_;
  for (const Layer& layer : layers_) {
    layer.mask->options.stream.step = static_cast<uint32_t>(step);
    layer.mask->options.stream.micro_batch = static_cast<uint32_t>(micro_batch);
    layer.mask->regularisation = prepared_.regularisation * gradient_scale;
  }
}

void MaskLearning::complete_fingerprint(Json& fingerprint) const {
  for (const train::Axis& axis : train::axes()) {
    if (axis.name != "beta2") fingerprint.erase(axis.name);
  }
  fingerprint.erase("init");
  fingerprint["model (content hash)"] = model_hash_;
  fingerprint["pattern"] = prune::name_of(options_.pattern);
  fingerprint["include"] = options_.include;
  fingerprint["exclude"] = options_.exclude;
  fingerprint["prior"] = options_.prior.name;
  fingerprint["prior-strength"] = options_.prior.strength;
  fingerprint["kappa"] = options_.kappa.first;
  fingerprint["kappa-end"] = options_.kappa.last;
  fingerprint["tau"] = options_.tau.first;
  fingerprint["tau-end"] = options_.tau.last;
  fingerprint["weight-reg"] = options_.regularisation;
  fingerprint["hard"] = options_.is_hard;
  fingerprint["init-std"] = options_.deviation;
  fingerprint["logits-lr-factor"] = options_.logits_factor;
  fingerprint["train-weights"] = options_.trains_weights;
  fingerprint["moments"] = name_of(options_.train.optimizer.moments);
  fingerprint["logits"] = tensor::dtype_name(options_.logits);
  if (!options_.distills_itself) return;
  fingerprint["distill"] = "self";
  fingerprint["distill-weight"] = options_.train.model.distill_weight;
}

train::StateFiles MaskLearning::state() {
  checkpoint::NamedTensors logits, watched, weights;
  for (const Layer& layer : layers_) {
    logits.emplace_back(layer.name + kLogitsSuffix, layer.mask->logits.detach());
    watched.emplace_back(layer.name + ".recorded", layer.recorded);
    watched.emplace_back(layer.name + ".prior", layer.prior);
  }
  train::StateFiles files = {{"logits.safetensors", logits}, {"watched.safetensors", watched}};
  if (!options_.trains_weights) return files;
  model_->visit([&](const std::string& name, at::Tensor& tensor) {
    weights.emplace_back(name, tensor.detach());
  });
  files.emplace_back("weights.safetensors", weights);
  files.emplace_back("sparsity.safetensors", weights_->state());
  return files;
}

std::vector<Metric> MaskLearning::record() {
  MaskStatistics all;
  std::vector<Metric> of_layers;
  double squares = 0;
  for (Layer& layer : layers_) {
    const at::Tensor now = sparse::best_mask(*layer.mask);
    MaskStatistics own =
        mask_statistics(*layer.mask, layer.linear->weight, static_cast<float>(taken_.kappa));
    own.changed = changed_groups(now, layer.recorded, candidates_.group(), own.groups);
    own.changed_from_prior = changed_groups(now, layer.prior, candidates_.group(), own.groups);
    layer.recorded.copy_(now);
    own.add_metrics(layer.name, of_layers);
    all += own;
    squares += layer.mask->squares;
  }
  const double term = taken_.regularisation * squares;
  std::vector<Metric> metrics = {
      {"regularisation", term, "loss/regularisation", fmt::format("reg {:.2e}", term)},
      {"kappa", taken_.kappa, "masks/kappa", fmt::format("κ {:.3g}", taken_.kappa)},
      {"tau", taken_.tau, "masks/tau", fmt::format("τ {:.3g}", taken_.tau)},
      {"max_probability", all.mean_probability(), "masks/max_probability",
       fmt::format("max p {:.3f}", all.mean_probability())},
      share("changed", all.changed_share(), "changed"),
      share("changed_from_prior", all.prior_share(), "from prior"),
      figure("logit_mean", all.mean()),
      figure("logit_deviation", all.deviation()),
      figure("kept_l2", all.kept_norm())};
  metrics.insert(metrics.end(), of_layers.begin(), of_layers.end());
  return metrics;
}

Json MaskLearning::observe() {
  constexpr int64_t kRows = 48, kColumns = 64;  // of the corner
  Json histograms = Json::object();
  for (const Layer& layer : layers_) {
    const MaskStatistics own =
        mask_statistics(*layer.mask, layer.linear->weight, static_cast<float>(prepared_.kappa));
    histograms[layer.name] = own.logits.histogram;
  }
  const Layer& first = layers_.front();
  const at::Tensor mask =
      sparse::unpacked_mask(sparse::best_mask(*first.mask), first.linear->weight.sizes());
  const int64_t columns = mask.size(1);
  std::vector<std::string> rows;
  for (int64_t row = 0; row < std::min(kRows, mask.size(0)); ++row) {
    const uint8_t* entries = mask.const_data_ptr<uint8_t>() + row * columns;
    std::string& text = rows.emplace_back();
    for (int64_t i = 0; i < std::min(kColumns, columns); ++i) text += entries[i] != 0 ? '1' : '0';
  }
  return {{"histograms", histograms}, {"layer", first.name}, {"rows", rows}};
}

void MaskLearning::summarise(train::TrainSummary& summary) const {
  summary.zeros =
      1.0 - static_cast<double>(candidates_.kept()) / static_cast<double>(candidates_.group());
  int64_t changed = 0, groups = 0;
  for (const Layer& layer : layers_) {
    changed += changed_groups(sparse::best_mask(*layer.mask), layer.prior, candidates_.group(),
                              layer.mask->groups());
    groups += layer.mask->groups();
  }
  summary.changed_from_prior = static_cast<double>(changed) / static_cast<double>(groups);
}

checkpoint::NamedTensors MaskLearning::masks() const {
  checkpoint::NamedTensors masks;
  for (const Layer& layer : layers_) {
    masks.emplace_back(layer.name, sparse::best_mask(*layer.mask));
  }
  return masks;
}

void MaskLearning::save(const std::filesystem::path& folder,
                        const std::filesystem::path& tokenizer) {
  const at::NoGradGuard no_gradients;
  if (!options_.trains_weights) {
    checkpoint::ModelFolder sparse(options_.train.model.init);
    sparse.put_masks(masks());
    AtomicFolder out(folder);
    checkpoint::write_folder(out.path(), checkpoint::open_folder(std::move(sparse)),
                             checkpoint::kLargestShard);
    out.commit();
    return;
  }
  for (const Layer& layer : layers_) {
    layer.linear->weight.copy_(sparse::best_masked_weight(layer.linear->weight, *layer.mask));
  }
  checkpoint::SaveOptions options;
  options.special = options_.train.model.special;
  options.masks = masks();
  options.tokenizer = tokenizer;
  checkpoint::save_model(folder, *model_, options);
}

}  // namespace twofour::learn
