#include "twofour/prune/permute.h"

#include <map>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

namespace twofour::prune {
namespace {

// A group of M may not reach into the channels of another head.
bool can_permute(const model::ChannelGroup& group, const sparse::Pattern& pattern) {
  return pattern.is_structured() && group.size % pattern.group == 0;
}

// Those of all columns of a group, one below another: [columns · out, size].
at::Tensor scores_of_group(const at::Tensor& scores, const model::ChannelGroup& group) {
  std::vector<at::Tensor> parts;
  for (const int64_t first : group.columns) parts.push_back(scores.narrow(1, first, group.size));
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

// Permutes one group and enters it into the order of all inputs.
void permute_group(const model::ChannelGroup& group, const at::Tensor& scores,
                   const sparse::Pattern& pattern, Permutation& inputs) {
  const Permutation found = find_permutation(scores_of_group(scores, group), pattern);
  inputs.kept_before += found.kept_before;
  inputs.kept_after += found.kept_after;
  if (!found.improves()) return;
  model::permute_channels(group, found.order);
  for (const int64_t first : group.columns) {
    inputs.order.narrow(0, first, group.size).copy_(found.order.add(first));
  }
}

}  // namespace

std::vector<PermutedInputs> permute_block(
    model::Model& model, int64_t i,
    const std::function<std::optional<sparse::Pattern>(const std::string& name)>& pattern_of,
    const std::function<at::Tensor(const std::string& name, const at::Tensor& weight)>& scores_of) {
  std::map<const model::Linear*, std::string> names;
  model.visit_block_linears(
      i, [&](const std::string& name, model::Linear& layer) { names[&layer] = name; });
  std::vector<PermutedInputs> permuted;
  const model::Linear* consumer = nullptr;
  at::Tensor scores;  // of the consumer; its groups have different columns
  for (const model::ChannelGroup& group : model.network().channel_groups(static_cast<size_t>(i))) {
    const std::string& name = names.at(group.consumer);
    const std::optional<sparse::Pattern> pattern = pattern_of(name);
    if (!pattern || !can_permute(group, *pattern)) continue;
    if (group.consumer != consumer) {
      consumer = group.consumer;
      scores = scores_of(name, consumer->weight);
      permuted.push_back({name, {at::arange(consumer->weight.size(1), at::kLong)}});
    }
    permute_group(group, scores, *pattern, permuted.back().inputs);
  }
  std::erase_if(permuted, [](const PermutedInputs& each) { return !each.inputs.improves(); });
  return permuted;
}

}  // namespace twofour::prune
