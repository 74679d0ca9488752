#include "twofour/model/model.h"

#include <utility>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/model/initialise.h"
#include "twofour/model/recompute.h"
#include "twofour/sparse/pattern.h"

namespace twofour::model {
namespace {

class TensorListing final : public Listing {
 public:
  explicit TensorListing(const VisitTensor& fn) : fn_(fn) {}
  void table(const std::string& name, Table& table) override {
    fn_(name + ".weight", table.weight);
  }
  void scale(const std::string& name, at::Tensor& weight) override {
    fn_(name + ".weight", weight);
  }
  void linear(const std::string& name, Linear& layer) override {
    fn_(name + ".weight", layer.weight);
    if (layer.bias.defined()) fn_(name + ".bias", layer.bias);
  }
  void norm(const std::string& name, LayerNorm& norm) override {
    fn_(name + ".weight", norm.weight);
    fn_(name + ".bias", norm.bias);
  }

 private:
  const VisitTensor& fn_;
};

class LinearListing final : public Listing {
 public:
  explicit LinearListing(const VisitLinear& fn) : fn_(fn) {}
  void table(const std::string&, Table&) override {}
  void scale(const std::string&, at::Tensor&) override {}
  void norm(const std::string&, LayerNorm&) override {}
  void linear(const std::string& name, Linear& layer) override { fn_(name + ".weight", layer); }

 private:
  const VisitLinear& fn_;
};

class TableListing final : public Listing {
 public:
  explicit TableListing(const VisitTable& fn) : fn_(fn) {}
  void table(const std::string&, Table& table) override { fn_(table); }
  void scale(const std::string&, at::Tensor&) override {}
  void norm(const std::string&, LayerNorm&) override {}
  void linear(const std::string&, Linear&) override {}

 private:
  const VisitTable& fn_;
};

void list_all(Network& network, Listing& listing) {
  network.list_before(listing);
  const auto blocks = static_cast<size_t>(network.sizes().layers);
  for (size_t i = 0; i < blocks; ++i) network.list_block(i, listing);
  network.list_after(listing);
}

// The names of a block's layers, for an observer.
std::vector<std::pair<const Linear*, std::string>> names_in_block(const Network& network,
                                                                  size_t i) {
  std::vector<std::pair<const Linear*, std::string>> names;
  const VisitLinear add = [&](const std::string& name, Linear& layer) {
    names.emplace_back(&layer, name);
  };
  LinearListing listing(add);
  const_cast<Network&>(network).list_block(i, listing);
  return names;
}

}  // namespace

Model::Model(const ModelConfig& config, std::unique_ptr<Network> network)
    : config_(config), network_(std::move(network)) {}

Model::Model(const Model& other)
    : config_(other.config_), network_(other.network_ ? other.network_->clone() : nullptr) {}

void Model::visit(const VisitTensor& fn) {
  TensorListing listing(fn);
  list_all(*network_, listing);
}

void Model::visit_block(int64_t i, const VisitTensor& fn) {
  TensorListing listing(fn);
  network_->list_block(static_cast<size_t>(i), listing);
}

void Model::visit_frame(const VisitTensor& fn) {
  TensorListing listing(fn);
  network_->list_before(listing);
  network_->list_after(listing);
}

void Model::visit_linears(const VisitLinear& fn) {
  LinearListing listing(fn);
  list_all(*network_, listing);
}

void Model::visit_block_linears(int64_t i, const VisitLinear& fn) {
  LinearListing listing(fn);
  network_->list_block(static_cast<size_t>(i), listing);
}

void Model::visit_tables(const VisitTable& fn) {
  TableListing listing(fn);
  list_all(*network_, listing);
}

Model make_empty_frame(const ModelConfig& config, const at::TensorOptions& options) {
  return {config, make_network(config, options)};
}

Model make_empty(const ModelConfig& config, const at::TensorOptions& options) {
  Model model = make_empty_frame(config, options);
  for (int64_t i = 0; i < model.layers(); ++i) make_empty_block(model, i, options);
  return model;
}

void make_empty_block(Model& model, int64_t i, const at::TensorOptions& options) {
  model.network().allocate_block(static_cast<size_t>(i), options);
}

void drop_block(Model& model, int64_t i) { model.network().drop_block(static_cast<size_t>(i)); }

Model make_shapes(const ModelConfig& config) {
  return make_empty(config, at::TensorOptions().dtype(at::kFloat).device(at::kMeta));
}

int64_t parameters_of(const ModelConfig& config) {
  int64_t count = 0;
  make_shapes(config).visit(
      [&](const std::string&, at::Tensor& tensor) { count += tensor.numel(); });
  return count;
}

Model make_random(const ModelConfig& config, uint64_t seed) {
  Model model = make_empty(config, at::kFloat);
  uint32_t index = 0;
  model.visit([&](const std::string& name, at::Tensor& tensor) {
    if (tensor.dim() == 2) {
      const std::string matrix = name.substr(0, name.rfind('.'));
      const double deviation = model.network().initial_deviation(matrix);
      fill_normal(tensor, static_cast<float>(deviation), seed, index);
    } else {
      tensor.fill_(name.ends_with(".weight") ? 1.0 : 0.0);
    }
    ++index;
  });
  return model;
}

Pass start(const Model& model, const at::Tensor& ids, KeyValueCache* cache) {
  const Sizes sizes = model.sizes();
  const int64_t first_position = cache ? cache->length : 0;
  if (cache) check_cache(*cache, ids.size(1));
  check_ids(ids, first_position, sizes.vocabulary, sizes.context);
  Pass pass;
  pass.batch = ids.size(0);
  pass.cache = cache;
  pass.first_position = first_position;
  const at::Tensor frequencies = model.network().rotary_frequencies();
  if (frequencies.defined()) {
    pass.rotation = rotation_of(frequencies, first_position, ids.size(1),
                                model.embedding().used().scalar_type());
  }
  return pass;
}

at::Tensor embed(const Model& model, const at::Tensor& ids, const Pass& pass) {
  return model.network().embed(ids, pass.first_position);
}

at::Tensor run_block(const Model& model, int64_t i, const at::Tensor& x, const Pass& pass,
                     const Observer& observer) {
  Pass own = pass;
  own.block = static_cast<size_t>(i);
  if (observer) {
    own.observer = [&observer, names = names_in_block(model.network(), own.block)](
                       const Linear& layer, const at::Tensor& input) {
      for (const auto& [address, name] : names) {
        if (address == &layer) return observer(name, layer, input);
      }
      return at::Tensor();
    };
  }
  return model.network().run_block(x, own);
}

at::Tensor finish(const Model& model, const at::Tensor& x) { return model.network().finish(x); }

at::Tensor hidden_of(const Model& model, const at::Tensor& ids, const ForwardOptions& options) {
  const Pass pass = start(model, ids);
  at::Tensor x = embed(model, ids, pass);
  for (int64_t i = 0; i < model.layers(); ++i) {
    const auto block = [&model, i, pass](const at::Tensor& input) {
      return run_block(model, i, input, pass);
    };
    x = options.recompute_activations ? recompute(block, x) : block(x);
  }
  return finish(model, x);
}

at::Tensor hidden_of(const Model& model, const at::Tensor& ids, KeyValueCache& cache) {
  const Pass pass = start(model, ids, &cache);
  at::Tensor x = embed(model, ids, pass);
  for (int64_t i = 0; i < model.layers(); ++i) x = run_block(model, i, x, pass);
  cache.length += ids.size(1);
  return finish(model, x);
}

KeyValueCache make_cache(const Model& model, int64_t batch, int64_t capacity) {
  const Sizes sizes = model.sizes();
  return make_cache(sizes.layers, batch, sizes.key_value_heads, capacity, sizes.head_width,
                    model.embedding().used());
}

DecodePlan decode_plan(const Model& model) { return model.network().decode_plan(); }

Linear& linear_named(Model& model, const std::string& name) {
  Linear* found = nullptr;
  model.visit_linears([&](const std::string& each, Linear& layer) {
    if (each == name) found = &layer;
  });
  if (!found) fail("the model has no linear layer \"{}\"", printable(name));
  return *found;
}

int64_t use_24_kernels(Model& model) {
  int64_t layers = 0;
  model.visit_linears([&](const std::string&, Linear& linear) {
    if (!linear.weight.defined() || linear.weight24 || !sparse::is_24(linear.weight)) return;
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
