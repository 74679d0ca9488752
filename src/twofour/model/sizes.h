#pragma once

#include <cstdint>

namespace twofour::model {

/// The common part of all configurations.
struct Sizes {
  int64_t vocabulary = 0;
  int64_t context = 0;  ///< largest number of tokens of a sequence
  int64_t width = 0;
  int64_t layers = 0;
  int64_t heads = 0;            ///< of the queries
  int64_t key_value_heads = 0;  ///< fewer if several heads share keys and values
  int64_t head_width = 0;
  int64_t feed_forward = 0;
  bool is_tied = false;  ///< the output matrix is the token embedding

  bool operator==(const Sizes&) const = default;
};

/// The sizes of a configuration, with omitted ones derived from others.
template <class Config>
Sizes sizes_from(const Config& config) {
  Sizes sizes;
  sizes.vocabulary = config.vocabulary;
  sizes.context = config.context;
  sizes.width = config.width;
  sizes.layers = config.layers;
  sizes.heads = sizes.key_value_heads = config.heads;
  sizes.head_width = config.heads > 0 ? config.width / config.heads : 0;
  sizes.feed_forward = config.feed_forward;
  sizes.is_tied = true;
  if constexpr (requires { config.key_value_heads; }) {
    sizes.key_value_heads = config.key_value_heads;
  }
  if constexpr (requires { config.head_width; }) sizes.head_width = config.head_width;
  if constexpr (requires { config.tied; }) sizes.is_tied = config.tied;
  return sizes;
}

/// The inverse.
template <class Config>
void set_sizes(Config& config, const Sizes& sizes) {
  config.vocabulary = sizes.vocabulary;
  config.context = sizes.context;
  config.width = sizes.width;
  config.layers = sizes.layers;
  config.heads = sizes.heads;
  config.feed_forward = sizes.feed_forward;
  if constexpr (requires { config.key_value_heads; }) {
    config.key_value_heads = sizes.key_value_heads;
  }
  if constexpr (requires { config.head_width; }) config.head_width = sizes.head_width;
  if constexpr (requires { config.tied; }) config.tied = sizes.is_tied;
}

/// The feed-forward width of gated layers, for as many parameters as GPT-2's with 4 · width: two
/// thirds of that (Shazeer, arXiv 2002.05202, section 3), rounded up to a multiple of 16.
constexpr int64_t gated_feed_forward_width(int64_t width) { return (8 * width + 47) / 48 * 16; }

/// Throws Error (usage) for a size that is not positive, and for heads that are no multiple of the
/// key-value heads.
void check_sizes(const Sizes& sizes);

/// The same, and for a width that is no multiple of the heads.
void check_sizes_of_whole_heads(const Sizes& sizes);

}  // namespace twofour::model
