// Channels inside a block that may change places without a change of the function that the block
// computes, for pruning to N:M (RIA, ICLR 2024, section on channel permutation).
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "twofour/model/layers.h"
#include "twofour/model/sizes.h"

namespace twofour::model {

/// Neighbouring output rows of a layer, from `first`.
struct ChannelRows {
  Linear* layer = nullptr;
  int64_t first = 0;
};

/// The rows of all producers (with their biases) and the columns of the consumer may be permuted
/// alike.
struct ChannelGroup {
  int64_t size = 0;                    ///< channels
  std::vector<ChannelRows> producers;  ///< each with `size` rows
  Linear* consumer = nullptr;
  std::vector<int64_t> columns;  ///< first ones of each `size` input columns of the consumer
};

/// The hidden units between the first layers of a feed-forward and its last.
ChannelGroup hidden_units(const std::vector<Linear*>& producers, Linear& consumer);

/// The channels of each head of values: a group for each of them, with the columns of all query
/// heads that share it. The values of head g are the rows from first + g · stride.
std::vector<ChannelGroup> value_channels(Linear& values, int64_t first, int64_t stride,
                                         Linear& output, const Sizes& sizes);

/// Permutes the group's rows, biases and columns in place: channel i becomes the old channel
/// order[i] (int64 [size], a permutation).
void permute_channels(const ChannelGroup& group, const at::Tensor& order);

}  // namespace twofour::model
