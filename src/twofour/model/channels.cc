#include "twofour/model/channels.h"

#include <utility>

#include <ATen/ops/index_select.h>

namespace twofour::model {
namespace {

void permute_part(at::Tensor& tensor, int64_t dimension, int64_t first, const at::Tensor& order) {
  if (!tensor.defined()) return;
  at::Tensor part = tensor.narrow(dimension, first, order.size(0));
  part.copy_(part.index_select(dimension, order));
}

}  // namespace

ChannelGroup hidden_units(const std::vector<Linear*>& producers, Linear& consumer) {
  ChannelGroup group{consumer.weight.size(1), {}, &consumer, {0}};
  for (Linear* producer : producers) group.producers.push_back({producer, 0});
  return group;
}

std::vector<ChannelGroup> value_channels(Linear& values, int64_t first, int64_t stride,
                                         Linear& output, const Sizes& sizes) {
  const int64_t queries = sizes.heads / sizes.key_value_heads;  // that share a head of values
  std::vector<ChannelGroup> groups;
  for (int64_t g = 0; g < sizes.key_value_heads; ++g) {
    ChannelGroup group{sizes.head_width, {{&values, first + g * stride}}, &output, {}};
    for (int64_t h = g * queries; h < (g + 1) * queries; ++h) {
      group.columns.push_back(h * sizes.head_width);
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

void permute_channels(const ChannelGroup& group, const at::Tensor& order) {
  for (const ChannelRows& rows : group.producers) {
    permute_part(rows.layer->weight, 0, rows.first, order);
    permute_part(rows.layer->bias, 0, rows.first, order);
  }
  for (const int64_t first : group.columns) {
    permute_part(group.consumer->weight, 1, first, order);
  }
}

}  // namespace twofour::model
