// Causal attention for every model, with a cache of the keys and values of earlier tokens. B batch,
// T tokens of a sequence, N = B·T, H heads of the queries, G of the keys and values (H a multiple
// of G: grouped-query attention, Ainslie et al., arXiv 2305.13245), d width of a head.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace twofour::model {

/// Keys and values of the tokens so far, so that generation computes each token once.
struct KeyValueCache {
  std::vector<at::Tensor> keys, values;  ///< one per layer: [B, G, capacity, d]
  int64_t length = 0;                    ///< number of tokens in every layer

  int64_t capacity() const { return keys.empty() ? 0 : keys[0].size(2); }
};

/// A cache for `capacity` tokens of `batch` sequences, with the dtype of `like`.
KeyValueCache make_cache(int64_t layers, int64_t batch, int64_t heads, int64_t capacity,
                         int64_t head_width, const at::Tensor& like);

/// Throws Error unless the cache has room for `tokens`.
void check_room(const KeyValueCache& cache, int64_t tokens);

/// Throws Error unless `tokens` more fit and, if there are several, the cache is empty.
void check_cache(const KeyValueCache& cache, int64_t tokens);

/// Throws Error if the id is outside [0, vocabulary), or `tokens` exceeds `context`.
void check_id(int64_t id, int64_t vocabulary);
void check_length(int64_t tokens, int64_t context);

/// Throws Error if the ids [B, T] are empty, are outside [0, vocabulary), or end after `context`
/// tokens, of which `first_position` came before.
void check_ids(const at::Tensor& ids, int64_t first_position, int64_t vocabulary, int64_t context);

/// [N, H d] as [B, H, T, d] without a copy.
at::Tensor split_heads(const at::Tensor& x, int64_t batch, int64_t heads);

/// Attention of queries [B, H, T, d] over keys and values [B, G, T, d], where each token sees
/// itself and those before it: [N, H d]. With a cache (null: none), keys and values are first
/// appended to its `layer`, and its earlier tokens are seen too; its length does not change.
at::Tensor attend(const at::Tensor& queries, at::Tensor keys, at::Tensor values,
                  KeyValueCache* cache, size_t layer);

}  // namespace twofour::model
