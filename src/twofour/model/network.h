// The interface of an architecture: its parameters by name, and a forward pass in pieces. Each one
// is a folder beside this file and a row of architectures.cc. B batch, T tokens of a sequence, N =
// B·T, D width, V vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/model/attention.h"
#include "twofour/model/channels.h"
#include "twofour/model/decode_plan.h"
#include "twofour/model/layers.h"
#include "twofour/model/rotary.h"
#include "twofour/model/sizes.h"
#include "twofour/model/table.h"

namespace twofour::model {

/// Receives the parameters of a model, each with its name in Hugging Face's files, without
/// ".weight" or ".bias".
class Listing {
 public:
  virtual ~Listing() = default;
  virtual void table(const std::string& name, Table& table) = 0;
  virtual void linear(const std::string& name, Linear& layer) = 0;
  /// A vector for elementwise products, as a norm's weight.
  virtual void scale(const std::string& name, at::Tensor& weight) = 0;
  virtual void norm(const std::string& name, LayerNorm& norm) = 0;
};

/// A forward pass, for its blocks.
struct Pass {
  int64_t batch = 0;               ///< B
  int64_t first_position = 0;      ///< of the T tokens
  KeyValueCache* cache = nullptr;  ///< of the earlier tokens; null: there are none
  Rotation rotation;               ///< of these positions; undefined without rotary ones
  size_t block = 0;                ///< the running one
  /// The Observer of model.h for this block; empty: none.
  std::function<at::Tensor(const Linear& layer, const at::Tensor& x)> observer;

  /// x [N, in] times the layer's weight, or the observer's replacement: [N, out].
  at::Tensor linear(const at::Tensor& x, const Linear& layer) const;
  /// [N, H d] as [B, H, T, d].
  at::Tensor split_heads(const at::Tensor& x, int64_t heads) const;
  /// Attention (attention.h) with this block's part of the cache: [N, H d].
  at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys,
                    const at::Tensor& values) const;
};

/// W_down (silu(W_gate x) ⊙ W_up x), LLaMA's feed-forward (SwiGLU, Shazeer, arXiv 2002.05202).
at::Tensor gated_feed_forward(const Pass& pass, const at::Tensor& x, const Linear& gate,
                              const Linear& up, const Linear& down);

class Network {
 public:
  virtual ~Network() = default;
  /// The same tensors.
  virtual std::unique_ptr<Network> clone() const = 0;
  virtual Sizes sizes() const = 0;

  /// All parameters in a fixed order: those before the blocks, of block i, and after the blocks.
  virtual void list_before(Listing& listing) = 0;
  virtual void list_block(size_t i, Listing& listing) = 0;
  virtual void list_after(Listing& listing) = 0;

  /// Gives the parameters of block i tensors with shapes and no values; frees them.
  virtual void allocate_block(size_t i, const at::TensorOptions& options) = 0;
  virtual void drop_block(size_t i) = 0;

  /// The channels of block i that may change places. The block has tensors.
  virtual std::vector<ChannelGroup> channel_groups(size_t i) = 0;

  /// The initial deviation of the named matrix (names as in Listing).
  virtual double initial_deviation(const std::string& name) const = 0;

  /// From ids [B, T] at positions first_position… to x [N, D]; through block pass.block; through
  /// the rest, up to the output matrix's input.
  virtual at::Tensor embed(const at::Tensor& ids, int64_t first_position) const = 0;
  virtual at::Tensor run_block(const at::Tensor& x, const Pass& pass) const = 0;
  virtual at::Tensor finish(const at::Tensor& x) const = 0;
  /// For rotary positions, [r / 2] in float32; undefined without them.
  virtual at::Tensor rotary_frequencies() const { return {}; }

  virtual const Table& embedding() const = 0;  ///< of the tokens
  virtual const Table& output() const = 0;     ///< [V, width of finish]
  /// The same forward pass for one token of each sequence (decode_step.h).
  virtual DecodePlan decode_plan() const = 0;
};

/// The common part of all architectures: the sizes and one struct per block. `Block` has a static
/// empty(config, options).
template <class Self, class ConfigType, class BlockType>
class NetworkOf : public Network {
 public:
  using Config = ConfigType;
  using Block = BlockType;

  Config config;
  std::vector<Block> blocks;

  std::unique_ptr<Network> clone() const override {
    return std::make_unique<Self>(static_cast<const Self&>(*this));
  }
  Sizes sizes() const override { return sizes_from(config); }
  void allocate_block(size_t i, const at::TensorOptions& options) override {
    blocks.at(i) = Block::empty(config, options);
  }
  void drop_block(size_t i) override { blocks.at(i) = {}; }
  double initial_deviation(const std::string&) const override { return 0.02; }

 protected:
  explicit NetworkOf(const Config& sizes) : config(sizes) {
    config.check();
    blocks.resize(static_cast<size_t>(config.layers));
  }
};

}  // namespace twofour::model
