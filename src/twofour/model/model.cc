#include "twofour/model/model.h"

#include "twofour/sparse/pattern.h"

namespace twofour::model {
namespace {

at::Tensor hidden(const Gpt2& model, const at::Tensor& ids, const ForwardOptions& options) {
  return gpt2_hidden(model, ids, options);
}
at::Tensor hidden(const Llama& model, const at::Tensor& ids, const ForwardOptions& options) {
  return llama_hidden(model, ids, options);
}
at::Tensor hidden(const Gpt2& model, const at::Tensor& ids, KeyValueCache& cache) {
  return gpt2_hidden(model, ids, cache);
}
at::Tensor hidden(const Llama& model, const at::Tensor& ids, KeyValueCache& cache) {
  return llama_hidden(model, ids, cache);
}

Model empty(const Gpt2Config& config, const at::TensorOptions& options) {
  return {make_empty_gpt2(config, options)};
}
Model empty(const LlamaConfig& config, const at::TensorOptions& options) {
  return {make_empty_llama(config, options)};
}
Model empty_frame(const Gpt2Config& config, const at::TensorOptions& options) {
  return {make_empty_gpt2_frame(config, options)};
}
Model empty_frame(const LlamaConfig& config, const at::TensorOptions& options) {
  return {make_empty_llama_frame(config, options)};
}
Model random(const Gpt2Config& config, uint64_t seed) { return {make_gpt2(config, seed)}; }
Model random(const LlamaConfig& config, uint64_t seed) { return {make_llama(config, seed)}; }

}  // namespace

int64_t Model::context() const {
  return std::visit([](const auto& each) { return each.config.context; }, network);
}

int64_t Model::vocabulary() const {
  return std::visit([](const auto& each) { return each.config.vocabulary; }, network);
}

int64_t Model::layers() const {
  return std::visit([](const auto& each) { return each.config.layers; }, network);
}

ModelConfig Model::config() const {
  return std::visit([](const auto& each) { return ModelConfig(each.config); }, network);
}

OutputMatrix Model::output() const {
  return std::visit([](const auto& each) { return each.output(); }, network);
}

Model make_empty(const ModelConfig& config, const at::TensorOptions& options) {
  return std::visit([&](const auto& each) { return empty(each, options); }, config);
}

Model make_empty_frame(const ModelConfig& config, const at::TensorOptions& options) {
  return std::visit([&](const auto& each) { return empty_frame(each, options); }, config);
}

void make_empty_block(Model& model, int64_t i, const at::TensorOptions& options) {
  const auto at = static_cast<size_t>(i);
  if (auto* gpt2 = std::get_if<Gpt2>(&model.network)) {
    gpt2->h[at] = make_empty_gpt2_block(gpt2->config, options);
  } else {
    auto& llama = std::get<Llama>(model.network);
    llama.layers[at] = make_empty_llama_block(llama.config, options);
  }
}

void drop_block(Model& model, int64_t i) {
  const auto at = static_cast<size_t>(i);
  if (auto* gpt2 = std::get_if<Gpt2>(&model.network)) {
    gpt2->h[at] = {};
  } else {
    std::get<Llama>(model.network).layers[at] = {};
  }
}

Model make_random(const ModelConfig& config, uint64_t seed) {
  return std::visit([&](const auto& each) { return random(each, seed); }, config);
}

at::Tensor hidden_of(const Model& model, const at::Tensor& ids, const ForwardOptions& options) {
  return std::visit([&](const auto& each) { return hidden(each, ids, options); }, model.network);
}

at::Tensor hidden_of(const Model& model, const at::Tensor& ids, KeyValueCache& cache) {
  return std::visit([&](const auto& each) { return hidden(each, ids, cache); }, model.network);
}

KeyValueCache make_cache(const Model& model, int64_t batch, int64_t capacity) {
  return std::visit([&](const auto& each) { return make_cache(each, batch, capacity); },
                    model.network);
}

int64_t use_24_kernels(Model& model) {
  int64_t layers = 0;
  model.visit_linears([&](const std::string&, Linear& linear) {
    if (!sparse::is_24(linear.weight)) return;
    linear.weight24 = c10::make_intrusive<sparse::Weight24>(sparse::Along::kRows);
    ++layers;
  });
  return layers;
}

int64_t keep_packed(Model& model, Pack pack) {
  int64_t layers = 0;
  model.visit_linears([&](const std::string&, Linear& linear) {
    if (!linear.weight.defined() || !sparse::is_24(linear.weight)) return;
    if (pack == Pack::kWhereItPays && !sparse::packed_pays(linear)) return;
    sparse::keep_packed(linear);
    ++layers;
  });
  return layers;
}

}  // namespace twofour::model
