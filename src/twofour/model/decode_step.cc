#include "twofour/model/decode_step.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <numbers>
#include <utility>
#include <vector>

#include "twofour/base/error.h"
#include "twofour/kernels/buffer.h"
#include "twofour/kernels/decode/attend.h"
#include "twofour/kernels/decode/token_rows.h"
#include "twofour/kernels/products/few_tokens/few_dense.h"
#include "twofour/kernels/training/gelu.h"
#include "twofour/tensor/kernel_types.h"

namespace twofour::model {

class DecodeStep::Runner {
 public:
  virtual ~Runner() = default;
  virtual std::span<const float> run(std::span<const DecodeRow> rows, KeyValueCache& cache) = 0;
};

namespace {

using kernels::FewProduct;

struct Norm {
  const float *weight, *bias;
};

template <class T>
struct Block {
  Norm attention_norm;
  std::vector<FewProduct<T>> attention_in;
  const float *query_norm, *key_norm;
  FewProduct<T> attention_out;
  Norm feed_forward_norm;
  std::vector<FewProduct<T>> feed_forward_in;
  FewProduct<T> feed_forward_out;
};

/// Rows of T that are kept between steps.
template <class T>
struct Rows {
  kernels::Buffer<T> memory;
  int64_t width = 0;

  T* row(int64_t i) { return memory.data() + i * width; }
  void resize(int64_t rows) { memory.resize(static_cast<size_t>(rows * width)); }
};

template <class T>
const T* data_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<const T*>(tensor.const_data_ptr()) : nullptr;
}

Norm norm_of(const DecodeNorm& norm) {
  return {data_of<float>(norm.weight), data_of<float>(norm.bias)};
}

template <class T>
FewProduct<T> product_of(const DecodeLinear& linear, Rows<T>& y, int64_t first_column = 0) {
  FewProduct<T> product;
  if (linear.weight.defined()) {
    const at::Tensor& weight = linear.weight;
    product.a =
        kernels::DenseView<T>{weight.size(0), weight.size(1), weight.stride(0), data_of<T>(weight)};
  } else {
    const sparse::Packed& packed = linear.packed;
    product.a =
        kernels::Packed24View<T>{packed.values.size(0), 2 * packed.values.size(1),
                                 data_of<T>(packed.values), data_of<uint8_t>(packed.positions)};
  }
  product.bias = data_of<T>(linear.bias);
  product.y = y.row(0) + first_column;
  product.y_stride = y.width;
  return product;
}

template <class T>
std::vector<FewProduct<T>> products_of(const std::vector<DecodeLinear>& linears, Rows<T>& y) {
  std::vector<FewProduct<T>> products;
  int64_t column = 0;
  for (const DecodeLinear& linear : linears) {
    products.push_back(product_of(linear, y, column));
    column += linear.outputs();
  }
  return products;
}

template <class T, class Fn>
void for_each_entry(T* row, int64_t count, const Fn& fn) {
  for (int64_t i = 0; i < count; ++i) kernels::store(fn(kernels::to_float(row[i])), row[i]);
}

template <class T>
class TypedRunner final : public DecodeStep::Runner {
 public:
  explicit TypedRunner(DecodePlan plan);
  std::span<const float> run(std::span<const DecodeRow> rows, KeyValueCache& cache) override;

 private:
  void check(std::span<const DecodeRow> rows, const KeyValueCache& cache) const;
  void make_room(int64_t rows);
  void make_rotation(int64_t positions);

  void embed(std::span<const DecodeRow> rows);
  void normalise(const Norm& norm, int64_t rows);
  void multiply(std::span<const FewProduct<T>> products, Rows<T>& x, int64_t rows);
  void attend(const Block<T>& block, std::span<const DecodeRow> rows, KeyValueCache& cache,
              size_t layer);
  void bring_heads_together(T* heads);
  void normalise_heads(const Block<T>& block, T* heads) const;
  void rotate_heads(T* heads, const DecodeRow& row) const;
  void place_heads(const T* heads, const DecodeRow& row, T* keys, T* values,
                   int64_t capacity) const;
  void feed_forward(const Block<T>& block, int64_t rows);
  void activate(T* hidden) const;
  void add(Rows<T>& to, Rows<T>& what, int64_t rows);
  std::span<const float> logits(int64_t rows);

  DecodePlan plan_;
  int64_t room_ = 0;  // capacity of the buffers in rows
  std::vector<Block<T>> blocks_;
  Norm last_norm_{};
  FewProduct<T> output_;
  Rotation rotation_;  // for the first positions, at least as many as were used
  // The residual stream, and the inputs and outputs of products.
  Rows<T> x_, normed_, mixed_, heads_, hidden_, attended_, projected_, rounded_logits_;
  std::vector<T> side_by_side_;  // heads of one row
  Rows<float> logits_;
  std::vector<kernels::AttendRow<T>> attend_rows_;
};

template <class T>
TypedRunner<T>::TypedRunner(DecodePlan plan) : plan_(std::move(plan)) {
  prepare(plan_);
  x_.width = normed_.width = attended_.width = projected_.width = plan_.tokens.size(1);
  mixed_.width = plan_.heads * plan_.head_width;
  heads_.width = (plan_.heads + 2 * plan_.key_value_heads) * plan_.head_width;
  hidden_.width = plan_.feed_forward * (plan_.activation == DecodeActivation::kSiluTimes ? 2 : 1);
  rounded_logits_.width = logits_.width = plan_.output.size(0);
}

template <class T>
void TypedRunner<T>::make_room(int64_t rows) {
  if (rows <= room_) return;
  for (Rows<T>* each :
       {&x_, &normed_, &mixed_, &heads_, &hidden_, &attended_, &projected_, &rounded_logits_}) {
    each->resize(rows);
  }
  logits_.resize(rows);
  blocks_.clear();
  for (const DecodeBlock& block : plan_.blocks) {
    blocks_.push_back({norm_of(block.attention_norm), products_of(block.attention_in, heads_),
                       data_of<float>(block.query_norm), data_of<float>(block.key_norm),
                       product_of(block.attention_out, attended_), norm_of(block.feed_forward_norm),
                       products_of(block.feed_forward_in, hidden_),
                       product_of(block.feed_forward_out, projected_)});
  }
  last_norm_ = norm_of(plan_.last_norm);
  output_ = product_of(DecodeLinear{plan_.output, {}, {}}, rounded_logits_);
  room_ = rows;
}

template <class T>
void TypedRunner<T>::make_rotation(int64_t positions) {
  if (!plan_.rotary_frequencies.defined()) return;
  if (rotation_.cosine.defined() && positions <= rotation_.cosine.size(0)) return;
  constexpr int64_t kAtLeast = 256;
  const int64_t more = std::min(std::max(2 * positions, kAtLeast), plan_.context);
  rotation_ = rotation_of(plan_.rotary_frequencies, 0, more, plan_.tokens.scalar_type());
}

template <class T>
void TypedRunner<T>::check(std::span<const DecodeRow> rows, const KeyValueCache& cache) const {
  for (const DecodeRow& row : rows) {
    check_id(row.id, plan_.tokens.size(0));
    check_length(row.position + 1, plan_.context);
    check_room(cache, row.position + 1);
    if (row.sequence < 0 || row.sequence >= cache.keys[0].size(0) || row.position < 0) {
      fail("the cache has no position {} of sequence {}", row.position, row.sequence);
    }
  }
}

template <class T>
std::span<const float> TypedRunner<T>::run(std::span<const DecodeRow> rows, KeyValueCache& cache) {
  check(rows, cache);
  const auto count = static_cast<int64_t>(rows.size());
  make_room(count);
  for (const DecodeRow& row : rows) make_rotation(row.position + 1);
  embed(rows);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    normalise(blocks_[i].attention_norm, count);
    attend(blocks_[i], rows, cache, i);
    if (!plan_.has_parallel_residual) add(x_, attended_, count);
    normalise(blocks_[i].feed_forward_norm, count);
    feed_forward(blocks_[i], count);
    if (plan_.has_parallel_residual) add(projected_, attended_, count);
    add(x_, projected_, count);
  }
  normalise(last_norm_, count);
  return logits(count);
}

template <class T>
void TypedRunner<T>::embed(std::span<const DecodeRow> rows) {
  const T *tokens = data_of<T>(plan_.tokens), *positions = data_of<T>(plan_.positions);
  for (size_t i = 0; i < rows.size(); ++i) {
    T* x = x_.row(static_cast<int64_t>(i));
    std::memcpy(x, tokens + rows[i].id * x_.width, static_cast<size_t>(x_.width) * sizeof(T));
    if (positions) kernels::add(x, positions + rows[i].position * x_.width, x_.width);
  }
}

template <class T>
void TypedRunner<T>::normalise(const Norm& norm, int64_t rows) {
  const auto epsilon = static_cast<float>(plan_.norm_epsilon);
  for (int64_t i = 0; i < rows; ++i) {
    if (plan_.norm == NormKind::kLayerNorm) {
      kernels::layer_norm(x_.row(i), x_.width, norm.weight, norm.bias, epsilon, normed_.row(i));
    } else {
      kernels::rms_norm(x_.row(i), x_.width, norm.weight, epsilon, normed_.row(i));
    }
  }
}

template <class T>
void TypedRunner<T>::multiply(std::span<const FewProduct<T>> products, Rows<T>& x, int64_t rows) {
  kernels::multiply_few<T>(products, x.row(0), rows, x.width);
}

// [H, 3, d] becomes [3, H, d].
template <class T>
void TypedRunner<T>::bring_heads_together(T* heads) {
  const int64_t width = plan_.head_width;
  side_by_side_.assign(heads, heads + heads_.width);
  for (int64_t h = 0; h < plan_.heads; ++h) {
    for (int64_t part = 0; part < 3; ++part) {
      const T* from = side_by_side_.data() + (3 * h + part) * width;
      std::copy(from, from + width, heads + (part * plan_.heads + h) * width);
    }
  }
}

template <class T>
void TypedRunner<T>::normalise_heads(const Block<T>& block, T* heads) const {
  const auto epsilon = static_cast<float>(plan_.norm_epsilon);
  const int64_t width = plan_.head_width;
  for (int64_t h = 0; h < plan_.heads + plan_.key_value_heads; ++h) {
    T* const head = heads + h * width;
    const float* norm = h < plan_.heads ? block.query_norm : block.key_norm;
    if (norm) kernels::rms_norm(head, width, norm, epsilon, head);
  }
}

// Rotates queries and keys by their position.
template <class T>
void TypedRunner<T>::rotate_heads(T* heads, const DecodeRow& row) const {
  if (!rotation_.cosine.defined()) return;
  const int64_t half = rotation_.cosine.size(1);
  const T* cosine = data_of<T>(rotation_.cosine) + row.position * half;
  const T* sine = data_of<T>(rotation_.sine) + row.position * half;
  for (int64_t h = 0; h < plan_.heads + plan_.key_value_heads; ++h) {
    kernels::rotate(heads + h * plan_.head_width, half, cosine, sine);
  }
}

// Writes keys and values into [G, capacity, d].
template <class T>
void TypedRunner<T>::place_heads(const T* heads, const DecodeRow& row, T* keys, T* values,
                                 int64_t capacity) const {
  const int64_t width = plan_.head_width, groups = plan_.key_value_heads;
  const T* const own_keys = heads + plan_.heads * width;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t place = (g * capacity + row.position) * width;
    const size_t bytes = static_cast<size_t>(width) * sizeof(T);
    std::memcpy(keys + place, own_keys + g * width, bytes);
    std::memcpy(values + place, own_keys + (groups + g) * width, bytes);
  }
}

template <class T>
void TypedRunner<T>::attend(const Block<T>& block, std::span<const DecodeRow> rows,
                            KeyValueCache& cache, size_t layer) {
  const auto count = static_cast<int64_t>(rows.size());
  multiply(block.attention_in, normed_, count);
  const int64_t capacity = cache.capacity();
  const int64_t sequence_size = plan_.key_value_heads * capacity * plan_.head_width;
  T* const keys = static_cast<T*>(cache.keys[layer].mutable_data_ptr());
  T* const values = static_cast<T*>(cache.values[layer].mutable_data_ptr());
  attend_rows_.clear();
  for (int64_t i = 0; i < count; ++i) {
    const DecodeRow& row = rows[static_cast<size_t>(i)];
    const int64_t sequence = row.sequence * sequence_size;
    T* const heads = heads_.row(i);
    if (plan_.has_heads_side_by_side) bring_heads_together(heads);
    normalise_heads(block, heads);
    rotate_heads(heads, row);
    place_heads(heads, row, keys + sequence, values + sequence, capacity);
    attend_rows_.push_back(
        {heads, keys + sequence, values + sequence, row.position + 1, mixed_.row(i)});
  }
  kernels::attend<T>(attend_rows_,
                     {plan_.heads, plan_.key_value_heads, plan_.head_width, capacity});
  multiply({&block.attention_out, 1}, mixed_, count);
}

template <class T>
void TypedRunner<T>::feed_forward(const Block<T>& block, int64_t rows) {
  multiply(block.feed_forward_in, normed_, rows);
  for (int64_t i = 0; i < rows; ++i) activate(hidden_.row(i));
  multiply({&block.feed_forward_out, 1}, hidden_, rows);
}

template <class T>
void TypedRunner<T>::activate(T* hidden) const {
  const int64_t count = plan_.feed_forward;
  switch (plan_.activation) {
    case DecodeActivation::kGelu:
      return kernels::gelu(hidden, count, hidden);
    case DecodeActivation::kSiluTimes:
      return kernels::silu_times(hidden, hidden + count, count);
    case DecodeActivation::kExactGelu:
      return for_each_entry(hidden, count, [](float z) {
        return z * 0.5f * (1.0f + std::erf(z * std::numbers::sqrt2_v<float> * 0.5f));
      });
    case DecodeActivation::kRelu:
      return for_each_entry(hidden, count, [](float z) { return z < 0.0f ? 0.0f : z; });
  }
}

template <class T>
void TypedRunner<T>::add(Rows<T>& to, Rows<T>& what, int64_t rows) {
  kernels::add(to.row(0), what.row(0), rows * to.width);
}

template <class T>
std::span<const float> TypedRunner<T>::logits(int64_t rows) {
  multiply({&output_, 1}, normed_, rows);
  const int64_t count = rows * logits_.width;
  if constexpr (std::is_same_v<T, float>) {
    return {rounded_logits_.row(0), static_cast<size_t>(count)};
  } else {
    for (int64_t i = 0; i < count; ++i)
      logits_.row(0)[i] = kernels::to_float(rounded_logits_.row(0)[i]);
    return {logits_.row(0), static_cast<size_t>(count)};
  }
}

}  // namespace

DecodeStep::DecodeStep(DecodePlan plan) {
  assert(plan.is_runnable());
  runner_ = tensor::with_type(plan.tokens.scalar_type(), [&](auto* type) {
    using T = tensor::Pointee<decltype(type)>;
    return std::unique_ptr<Runner>(std::make_unique<TypedRunner<T>>(std::move(plan)));
  });
}

DecodeStep::~DecodeStep() = default;
DecodeStep::DecodeStep(DecodeStep&&) noexcept = default;
DecodeStep& DecodeStep::operator=(DecodeStep&&) noexcept = default;

std::span<const float> DecodeStep::run(std::span<const DecodeRow> rows, KeyValueCache& cache) {
  return runner_->run(rows, cache);
}

}  // namespace twofour::model
