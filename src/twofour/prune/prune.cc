#include "twofour/prune/prune.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/base/progress.h"
#include "twofour/kernels/masks/mask.h"
#include "twofour/prune/activations.h"
#include "twofour/prune/block_inputs.h"
#include "twofour/prune/permute.h"
#include "twofour/prune/pruned_folder.h"
#include "twofour/prune/reconstruct.h"
#include "twofour/prune/record.h"

namespace twofour::prune {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kTokensAtATime = 2048;

at::Tensor packed_mask(const at::Tensor& mask) {
  const at::Tensor bytes = mask.contiguous();
  at::Tensor bits = at::empty({(bytes.numel() + 7) / 8}, at::kByte);
  kernels::pack_mask(static_cast<const uint8_t*>(bytes.const_data_ptr()), bytes.numel(),
                     bits.mutable_data_ptr<uint8_t>());
  return bits;
}

// The samples as batches of about kTokensAtATime tokens, which do not depend on the machine.
std::vector<at::Tensor> batches_of_samples(const at::Tensor& ids) {
  return ids.split(std::max<int64_t>(1, kTokensAtATime / ids.size(1)));
}

// Progress over all blocks: observing counts as much as pruning.
class Bar {
 public:
  explicit Bar(int64_t blocks)
      : bar_("pruning", static_cast<uint64_t>(blocks * kPerBlock)), blocks_(blocks) {}
  void at(int64_t block, double share, const std::string& detail) {
    const auto done = static_cast<double>(block) + share;
    bar_.update(static_cast<uint64_t>(done * kPerBlock),
                fmt::format("block {} of {} · {}", block + 1, blocks_, detail));
  }
  void start_at(int64_t block) { bar_.start_at(static_cast<uint64_t>(block * kPerBlock)); }

 private:
  static constexpr int64_t kPerBlock = 1000;
  ProgressBar bar_;
  int64_t blocks_;
};

class Pruner {
 public:
  Pruner(const checkpoint::ModelFolder& folder, const PruneOptions& options, const LayerPlan& plan,
         PrunedFolder& out, const at::Tensor& ids)
      : folder_(folder),
        options_(options),
        plan_(plan),
        out_(out),
        model_(folder.load_frame(options.dtype)),
        bar_(plan.last_block() + 1) {
    if (ids.defined()) embed_samples(ids);
  }

  // Prunes all blocks that are not finished and returns the results of all.
  std::vector<LayerResult> run() {
    std::vector<LayerResult> results;
    for (int64_t i = 0; i <= plan_.last_block(); ++i) {
      const bool is_done = i < out_.blocks_done();
      is_done ? pass_finished(i) : prune_block(i);
      if (is_done) bar_.start_at(i + 1);
      const std::vector<LayerResult>& layers = out_.block(i).layers;
      results.insert(results.end(), layers.begin(), layers.end());
    }
    return results;
  }

 private:
  bool observes() const { return inputs_ != nullptr; }
  bool is_sequential() const { return options_.inputs == Inputs::kSequential; }
  bool reconstructs() const { return options_.reconstruct_passes > 0; }
  bool is_last(int64_t i) const { return i == plan_.last_block(); }

  void embed_samples(const at::Tensor& ids) {
    std::vector<int64_t> rows;
    const std::vector<at::Tensor> batches = batches_of_samples(ids);
    for (const at::Tensor& batch : batches) rows.push_back(batch.numel());
    const uint64_t most = options_.most_bytes / (reconstructs() ? 2 : 1);
    const auto make = [&] {
      return std::make_unique<Activations>(rows, model_.sizes().width, options_.dtype, most,
                                           out_.path());
    };
    inputs_ = make();
    if (reconstructs()) dense_ = make();
    for (size_t b = 0; b < batches.size(); ++b) {
      passes_.push_back(model::start(model_, batches[b]));
      inputs_->set(b, model::embed(model_, batches[b], passes_[b]));
      if (dense_) dense_->set(b, inputs_->batch(b));
    }
  }

  // Replaces the hidden states by those after the block.
  void advance(Activations& states, int64_t i, const char* detail, double from, double to) {
    for (size_t b = 0; b < states.batches(); ++b) {
      bar_.at(i,
              from + (to - from) * static_cast<double>(b) / static_cast<double>(states.batches()),
              detail);
      states.set(b, model::run_block(model_, i, states.batch(b), passes_[b]));
    }
  }

  // Repeats the effect of an already pruned block on the hidden states.
  void pass_finished(int64_t i) {
    if (!observes() || out_.blocks_done() > plan_.last_block()) return;
    if (dense_ || !is_sequential()) {
      folder_.load_block(model_, i, options_.dtype);
      advance(dense_ ? *dense_ : *inputs_, i, "again", 0.0, 0.5);
    }
    if (is_sequential()) {
      out_.load_block(model_, i, options_.dtype);
      advance(*inputs_, i, "again", 0.5, 1.0);
    } else if (dense_) {
      copy_dense();
    }
    model::drop_block(model_, i);
  }

  void copy_dense() {
    for (size_t b = 0; b < dense_->batches(); ++b) inputs_->set(b, dense_->batch(b));
  }

  void prune_block(int64_t i) {
    folder_.load_block(model_, i, options_.dtype);
    const auto& patterns = plan_.blocks[static_cast<size_t>(i)];
    std::set<std::string> names;
    for (const auto& [name, pattern] : patterns) names.insert(name);
    BlockInputs inputs(names, options_.sums);
    if (observes()) observe(i, inputs);
    std::set<std::string> permuted;
    if (options_.permute) permuted = permute(i, inputs);
    std::map<std::string, MaskedWeight> weights;
    BlockResult result;
    model_.visit_block_linears(i, [&](const std::string& name, model::Linear&) {
      if (!patterns.contains(name)) return;
      const double share = static_cast<double>(weights.size()) / static_cast<double>(names.size());
      bar_.at(i, 0.4 + 0.3 * share, detail_of(name, result));
      LayerWeights pruned = prune_layer(options_, name, patterns.at(name), dense_weight(name),
                                        observes() ? &inputs.gram(name) : nullptr);
      if (observes()) inputs.drop(name);
      pruned.result.is_permuted = permuted.contains(name);
      result.layers.push_back(pruned.result);
      result.masks.emplace_back(name, packed_mask(pruned.mask));
      weights[name] = {pruned.weight, pruned.mask};
    });
    if (reconstructs()) reconstruct(i, weights);
    write_weights(i, weights);
    if (observes() && is_sequential() && !is_last(i)) {
      advance(*inputs_, i, detail_of("", result).c_str(), 0.8, 1.0);
    }
    if (!is_sequential() && dense_) copy_dense();
    model::drop_block(model_, i);
    out_.finish_block(i, std::move(result));
  }

  // The last layer's error, and the next layer's name.
  static std::string detail_of(const std::string& name, const BlockResult& result) {
    std::string text = name;
    if (result.layers.empty() || !result.layers.back().error) return text;
    return text +
           fmt::format("{}error {:.4f}", text.empty() ? "" : " · ", *result.layers.back().error);
  }

  void observe(int64_t i, BlockInputs& inputs) {
    const size_t batches = inputs_->batches();
    for (size_t b = 0; b < batches; ++b) {
      bar_.at(i, 0.4 * static_cast<double>(b) / static_cast<double>(batches), "observing");
      const at::Tensor output = inputs.run(model_, i, inputs_->batch(b), passes_[b]);
      if (!is_sequential()) (dense_ ? *dense_ : *inputs_).set(b, output);
    }
    if (dense_ && is_sequential()) advance(*dense_, i, "observing", 0.3, 0.4);
  }

  // Into master_ and model_. Returns the layers whose inputs have another order.
  std::set<std::string> permute(int64_t i, BlockInputs& inputs) {
    if (!master_) master_ = model::make_empty_frame(model_.config(), at::kFloat);
    folder_.load_block(*master_, i, at::kFloat);
    const auto& patterns = plan_.blocks[static_cast<size_t>(i)];
    const auto pattern_of = [&](const std::string& name) -> std::optional<sparse::Pattern> {
      const auto found = patterns.find(name);
      if (found == patterns.end()) return std::nullopt;
      return found->second;
    };
    const auto scores_of = [&](const std::string& name, const at::Tensor& weight) {
      return layer_scores(options_, weight, observes() ? &inputs.gram(name) : nullptr, name);
    };
    std::set<std::string> names;
    for (const PermutedInputs& layer : permute_block(*master_, i, pattern_of, scores_of)) {
      if (observes()) inputs.permute(layer.name, layer.inputs.order);
      names.insert(layer.name);
    }
    copy_block(i);
    return names;
  }

  // From master_ to model_.
  void copy_block(int64_t i) {
    std::map<std::string, at::Tensor> tensors;
    master_->visit_block(
        i, [&](const std::string& name, at::Tensor& tensor) { tensors[name] = tensor; });
    model_.visit_block(
        i, [&](const std::string& name, at::Tensor& tensor) { tensor.copy_(tensors.at(name)); });
  }

  at::Tensor dense_weight(const std::string& name) const {
    if (master_) return model::linear_named(*master_, name).weight.clone();
    const std::string stored = folder_.stored_name(name);
    const at::Tensor view = folder_.weights().view(stored);
    const bool is_transposed = checkpoint::stores_transposed(model_.config(), name);
    const at::Tensor weight =
        (is_transposed ? view.t() : view).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
    folder_.weights().release(stored);
    return weight.contiguous();
  }

  void reconstruct(int64_t i, std::map<std::string, MaskedWeight>& weights) {
    if (weights.empty()) return;
    const auto steps =
        static_cast<double>(options_.reconstruct_passes) * static_cast<double>(inputs_->batches());
    double done = 0;
    const Reconstruction result =
        reconstruct_block(model_, i, *inputs_, *dense_, passes_, options_.reconstruct_passes,
                          options_.reconstruct_rate, weights,
                          [&] { bar_.at(i, 0.7 + 0.1 * ++done / steps, "reconstructing"); });
    spdlog::debug("block {}: reconstruction lowered its error from {:.5f} to {:.5f}", i,
                  result.error_before, result.error_after);
  }

  // To the folder, and to the model as they will be read.
  void write_weights(int64_t i, const std::map<std::string, MaskedWeight>& weights) {
    if (master_) {  // any tensor of the block may have another order
      master_->visit_block(i, [&](const std::string& name, const at::Tensor& tensor) {
        if (!weights.contains(name)) out_.put(name, tensor);
      });
      model::drop_block(*master_, i);
    }
    for (const auto& [name, layer] : weights) {
      const bool is_untouched = options_.weights == Weights::kUntouched;
      at::Tensor stored =
          is_untouched ? layer.weight.mul(layer.mask) : out_.put(name, layer.weight);
      model::linear_named(model_, name).weight.copy_(stored);
    }
  }

  const checkpoint::ModelFolder& folder_;
  const PruneOptions& options_;
  const LayerPlan& plan_;
  PrunedFolder& out_;
  model::Model model_;                          // with one block, in options_.dtype
  mutable std::optional<model::Model> master_;  // the dense block in float32, if it is permuted
  Bar bar_;
  std::vector<model::Pass> passes_;
  std::unique_ptr<Activations> inputs_;  // of the next block; null without calibration
  std::unique_ptr<Activations> dense_;   // the dense model's, as targets; null without
};

}  // namespace

void check_combination(const PruneOptions& options) {
  const bool is_calibrated = !options.calibration.files.empty();
  const auto needs = [&](bool is_asked, const char* option) {
    if (is_asked && !is_calibrated) fail_usage("{} needs --calibration FILE", option);
  };
  needs(options.method == Method::kWanda, "--method wanda");
  needs(options.method == Method::kSparseGpt, "--method sparsegpt");
  needs(options.method == Method::kRia, "--method ria");
  needs(options.weights != Weights::kUntouched && options.weights != Weights::kMasked,
        "an update of the weights");
  needs(options.swaps, "--swaps");
  needs(options.reconstruct_passes > 0, "--reconstruct");
  if (options.weights != Weights::kUntouched) return;
  for (const auto& [is_asked, option] : {std::pair(options.reconstruct_passes > 0, "--reconstruct"),
                                         std::pair(options.permute, "--permute")}) {
    if (is_asked) fail_usage("{} changes weights, --mask-only leaves them", option);
  }
}

PruneSummary prune(const checkpoint::ModelFolder& folder, const PruneOptions& options,
                   const Calibration& calibration) {
  const at::NoGradGuard no_gradients;
  const auto start = std::chrono::steady_clock::now();
  check_combination(options);
  PruneSummary summary;
  LayerPlan plan = plan_layers(folder.config().model, options);
  const Json identity = {{"twofour", options.version},
                         {"settings", settings_of(options)},
                         {"model", hash_of_model(folder)},
                         {"calibration", calibration.hash}};
  PrunedFolder out(options.out, folder, identity, options.largest_shard, options.resume);
  summary.layers = Pruner(folder, options, plan, out, calibration.ids).run();
  summary.skipped = plan.skipped;
  summary.record = identity;
  summary.record["threads"] = thread_count();
  summary.record.update(layers_json(summary.layers, summary.skipped));
  out.finish(summary.record);
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

}  // namespace twofour::prune
