#include "twofour/model/model.h"

#include "twofour/sparse/pattern.h"

namespace twofour::model {
namespace {

std::vector<Gpt2Block>& blocks_of(Gpt2& model) { return model.h; }
std::vector<LlamaBlock>& blocks_of(Llama& model) { return model.layers; }

}  // namespace

int64_t Model::context() const {
  return std::visit([](const auto& each) { return each.config.context; }, network);
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
  return std::visit([&](const auto& each) { return Model{make_empty(each, options)}; }, config);
}

Model make_empty_frame(const ModelConfig& config, const at::TensorOptions& options) {
  return std::visit([&](const auto& each) { return Model{make_empty_frame(each, options)}; },
                    config);
}

Model make_shapes(const ModelConfig& config) {
  return make_empty(config, at::TensorOptions().dtype(at::kFloat).device(at::kMeta));
}

void make_empty_block(Model& model, int64_t i, const at::TensorOptions& options) {
  const auto make = [&](auto& each) {
    blocks_of(each)[static_cast<size_t>(i)] = make_empty_block(each.config, options);
  };
  std::visit(make, model.network);
}

void drop_block(Model& model, int64_t i) {
  std::visit([&](auto& each) { blocks_of(each)[static_cast<size_t>(i)] = {}; }, model.network);
}

Model make_random(const ModelConfig& config, uint64_t seed) {
  return std::visit([&](const auto& each) { return Model{make_random(each, seed)}; }, config);
}

at::Tensor hidden_of(const Model& model, const at::Tensor& ids, const ForwardOptions& options) {
  return std::visit([&](const auto& each) { return hidden_of(each, ids, options); }, model.network);
}

at::Tensor hidden_of(const Model& model, const at::Tensor& ids, KeyValueCache& cache) {
  return std::visit([&](const auto& each) { return hidden_of(each, ids, cache); }, model.network);
}

KeyValueCache make_cache(const Model& model, int64_t batch, int64_t capacity) {
  return std::visit([&](const auto& each) { return make_cache(each, batch, capacity); },
                    model.network);
}

DecodePlan decode_plan(const Model& model) {
  return std::visit([](const auto& each) { return decode_plan(each); }, model.network);
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
