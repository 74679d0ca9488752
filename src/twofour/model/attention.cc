#include "twofour/model/attention.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "twofour/base/error.h"
#include "twofour/model/causal_attention.h"

namespace twofour::model {
namespace {

// Appends keys and values [B, G, T, d] to the cache and replaces them by all of the layer's.
void extend(KeyValueCache& cache, size_t layer, at::Tensor& keys, at::Tensor& values) {
  const int64_t added = keys.size(2), length = cache.length + added;
  cache.keys[layer].narrow(2, cache.length, added).copy_(keys);
  cache.values[layer].narrow(2, cache.length, added).copy_(values);
  keys = cache.keys[layer].narrow(2, 0, length);
  values = cache.values[layer].narrow(2, 0, length);
}

// [B, G, T, d] as [B, H, T, d]: each key head is repeated for its queries.
at::Tensor for_each_query(const at::Tensor& x, int64_t heads) {
  const int64_t batch = x.size(0), groups = x.size(1), tokens = x.size(2), width = x.size(3);
  if (groups == heads) return x;
  return x.unsqueeze(2)
      .expand({batch, groups, heads / groups, tokens, width})
      .reshape({batch, heads, tokens, width});
}

}  // namespace

KeyValueCache make_cache(int64_t layers, int64_t batch, int64_t heads, int64_t capacity,
                         int64_t head_width, const at::Tensor& like) {
  KeyValueCache cache;
  for (int64_t i = 0; i < layers; ++i) {
    cache.keys.push_back(at::empty({batch, heads, capacity, head_width}, like.options()));
    cache.values.push_back(at::empty({batch, heads, capacity, head_width}, like.options()));
  }
  return cache;
}

void check_room(const KeyValueCache& cache, int64_t tokens) {
  if (tokens > cache.capacity()) fail("the cache has room for {} tokens", cache.capacity());
}

void check_cache(const KeyValueCache& cache, int64_t tokens) {
  if (tokens > 1 && cache.length > 0) {
    fail("several tokens at once can only begin a sequence: the cache already holds {}",
         cache.length);
  }
  check_room(cache, cache.length + tokens);
}

void check_id(int64_t id, int64_t vocabulary) {
  if (id < 0 || id >= vocabulary) {
    fail("token id {} is outside the model's vocabulary of {}", id, vocabulary);
  }
}

void check_length(int64_t tokens, int64_t context) {
  if (tokens > context) fail("{} tokens are more than the model's context of {}", tokens, context);
}

void check_ids(const at::Tensor& ids, int64_t first_position, int64_t vocabulary, int64_t context) {
  check_length(first_position + ids.size(1), context);
  if (ids.numel() == 0) fail("no tokens to run the model on");
  check_id(ids.min().item<int64_t>(), vocabulary);
  check_id(ids.max().item<int64_t>(), vocabulary);
}

at::Tensor split_heads(const at::Tensor& x, int64_t batch, int64_t heads) {
  return x.view({batch, -1, heads, x.size(1) / heads}).transpose(1, 2);
}

at::Tensor attend(const at::Tensor& queries, at::Tensor keys, at::Tensor values,
                  KeyValueCache* cache, size_t layer) {
  const int64_t batch = queries.size(0), heads = queries.size(1), tokens = queries.size(2);
  const int64_t width = queries.size(3), groups = keys.size(1);
  if (cache) extend(*cache, layer, keys, values);
  if (tokens > 1) {
    const at::Tensor mixed =
        causal_attention(queries, for_each_query(keys, heads), for_each_query(values, heads));
    return mixed.transpose(1, 2).reshape({batch * tokens, heads * width});
  }
  // A single token sees everything. The queries that share a key head take the place of tokens, so
  // no key is copied.
  const at::Tensor grouped = queries.reshape({batch, groups, heads / groups, width});
  return at::scaled_dot_product_attention(grouped, keys, values, {}, /*dropout_p=*/0.0)
      .reshape({batch, heads * width});
}

}  // namespace twofour::model
