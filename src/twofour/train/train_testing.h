// Shared by the tests of training: a small model, a small run, and comparable states.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn_like.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/kernels/masks/mask.h"
#include "twofour/model/model.h"
#include "twofour/text/token_file.h"
#include "twofour/train/options.h"
#include "twofour/train/run_state.h"
#include "twofour/train/sparse_weights.h"

#include "testing.h"

namespace twofour::train {

inline model::Gpt2Config small_sizes() {
  model::Gpt2Config config;
  config.vocabulary = 19;
  config.context = 8;
  config.width = 16;
  config.layers = 2;
  config.heads = 2;
  config.feed_forward = 64;
  return config;
}

inline model::Model small_model(uint64_t seed = 1) {
  return model::make_random(small_sizes(), seed);
}

/// The first sparse layer of the small model, and one of its second block.
constexpr char kFirstLayer[] = "transformer.h.0.mlp.c_fc.weight";
constexpr char kLaterLayer[] = "transformer.h.1.mlp.c_fc.weight";

/// A token file of `tokens` ids below 19; id(i) is the id at position i.
template <class Fn>
text::TokenFile token_file(const testing::TemporaryFolder& folder, int64_t tokens, Fn&& id) {
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(id(i)) % 19;
  text::TokenFileWriter writer(folder / "train.bin", 19, "", /*with_json=*/true);
  writer.append(ids);
  writer.end_document();
  writer.commit();
  return text::TokenFile::open(folder / "train.bin");
}

/// The options of a run of `method` on the small model: ten steps of two windows, without warm-up.
inline TrainOptions small_run(const Method& method, const std::string& dtype = "float32") {
  TrainOptions options;
  options.model.config = small_sizes();
  options.model.method = method;
  options.model.dtype = dtype;
  options.optimizer.steps = 10;
  options.data.batch = 2;
  options.optimizer.warmup = 0;
  options.optimizer.learning_rate = 3e-3;
  options.optimizer.min_learning_rate = 3e-4;
  return options;
}

/// Copies of all tensors of a state, by "FILE/NAME".
using Snapshot = std::vector<std::pair<std::string, at::Tensor>>;
inline Snapshot snapshot(const StateFiles& files) {
  Snapshot copies;
  for (const auto& [file, tensors] : files) {
    for (const auto& [name, tensor] : tensors)
      copies.emplace_back(file + "/" + name, tensor.clone());
  }
  return copies;
}

/// Fills the tensors of `files`, as on resume.
inline void restore(const Snapshot& saved, const StateFiles& files) {
  size_t next = 0;
  for (const auto& [file, tensors] : files) {
    for (const auto& [name, tensor] : tensors) {
      ASSERT_EQ(saved.at(next).first, file + "/" + name);
      tensor.copy_(saved[next++].second);
    }
  }
}

inline at::Tensor tensor_of(const Snapshot& state, const std::string& name) {
  for (const auto& [key, tensor] : state) {
    if (key == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

/// The names of the tensors in which two states differ. NaN equals nothing.
inline std::vector<std::string> differences(const Snapshot& a, const Snapshot& b) {
  std::vector<std::string> names;
  EXPECT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    if (!a[i].second.equal(b[i].second)) names.push_back(a[i].first);
  }
  return names;
}

inline Method method_of(ForwardWeight forward_weight) {
  Method method;
  method.forward_weight = forward_weight;
  return method;
}

/// The small model and its forward weights at the start of a run.
struct SparseModel {
  explicit SparseModel(const Method& method, at::ScalarType dtype = at::kFloat)
      : model(small_model()), weights(model, method, dtype, 1) {
    weights.initialise();
  }
  /// The first feed-forward layer, the first one that is sparse.
  model::Linear& layer() { return model::linear_named(model, kFirstLayer); }
  at::Tensor& master() { return layer().weight; }
  at::Tensor used() {
    return layer().forward_weight.defined() ? layer().forward_weight : layer().weight;
  }
  /// Changes every feed-forward master by about `size`.
  void move(double size) {
    model.visit_linears([&](const std::string& name, model::Linear& layer) {
      if (name.find(".mlp.") != std::string::npos) {
        layer.weight.add_(at::randn_like(layer.weight), size);
      }
    });
  }
  /// The mask of master() as [out, in] of 0 and 1.
  at::Tensor mask() {
    const auto state = weights.state();
    at::Tensor bytes = at::empty(master().sizes(), at::kByte);
    EXPECT_EQ(state.at(0).first, "transformer.h.0.mlp.c_fc.weight.mask");
    kernels::unpack_mask(state.at(0).second.const_data_ptr<uint8_t>(), bytes.numel(),
                         bytes.mutable_data_ptr<uint8_t>());
    return bytes;
  }
  Snapshot state() { return snapshot({{"sparsity", weights.state()}}); }

  model::Model model;
  SparseWeights weights;
};

}  // namespace twofour::train
