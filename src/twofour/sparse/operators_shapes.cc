#include "twofour/sparse/operators_shapes.h"

#include <limits>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "twofour/base/error.h"

namespace twofour::sparse::operators {
namespace {

// For messages: a symbolic size becomes its number.
int64_t number(const c10::SymInt& value) { return value.guard_int(__FILE__, __LINE__); }

std::string shape_of(const at::Tensor& tensor) {
  std::string text = "[";
  for (const c10::SymInt& size : tensor.sym_sizes()) {
    text += fmt::format("{}{}", text.size() > 1 ? ", " : "", number(size));
  }
  return text + "]";
}

void check_device(const char* what, const at::Tensor& tensor, const at::Tensor& like) {
  if (tensor.device() == like.device()) return;
  fail("{} is on {}, but the first argument on {}", what, tensor.device().str(),
       like.device().str());
}

// A second operand of a product.
void check_like(const char* what, const at::Tensor& tensor, const at::Tensor& like) {
  check_device(what, tensor, like);
  if (tensor.scalar_type() == like.scalar_type()) return;
  fail("{} is {}, but the first argument {}", what, c10::toString(tensor.scalar_type()),
       c10::toString(like.scalar_type()));
}

void check_matrix(const char* what, const at::Tensor& tensor) {
  if (tensor.dim() != 2) fail("{} must be a matrix, not {}", what, shape_of(tensor));
}

void check_size(const char* what, const c10::SymInt& size, const c10::SymInt& expected) {
  if (size == expected) return;
  fail("{} is {}, but {} is needed", what, number(size), number(expected));
}

void check_bias(const std::optional<at::Tensor>& bias, const at::Tensor& x,
                const c10::SymInt& rows) {
  if (!bias || !bias->defined()) return;
  check_like("the bias", *bias, x);
  if (bias->dim() != 1) fail("the bias must be a vector, not {}", shape_of(*bias));
  check_size("the bias' length", bias->sym_size(0), rows);
}

void check_mask_of(const at::Tensor& weight, const at::Tensor& mask) {
  check_mask(mask);
  check_device("the mask", mask, weight);
  if (mask.sym_sizes() == weight.sym_sizes()) return;
  fail("a mask {} does not fit a weight {}", shape_of(mask), shape_of(weight));
}

void check_packed(const at::Tensor& values, const at::Tensor& positions) {
  check_floating("the values", values);
  check_matrix("the values", values);
  check_matrix("the positions", positions);
  check_device("the matrix of positions", positions, values);
  if (positions.scalar_type() != at::kByte) {
    fail("positions are uint8, not {}", c10::toString(positions.scalar_type()));
  }
  const c10::SymInt kept = values.sym_size(1);
  if (kept % 2 != 0) fail("a row of {} kept values is not 2:4", number(kept));
  check_size("the number of rows of positions", positions.sym_size(0), values.sym_size(0));
  check_size("the width of positions", positions.sym_size(1), (kept + 3) / 4);
}

// z = x Wᵀ + bias, W of `columns`.
void check_product(const at::Tensor& x, const c10::SymInt& columns) {
  check_floating("x", x);
  if (x.dim() == 0) fail("x must be [.., in], not a single number");
  check_size("x's width", x.sym_size(-1), columns);
}

at::Tensor empty_of_bool(const at::Tensor& like) {
  return at::empty_symint(like.sym_sizes(), like.options().dtype(at::kBool));
}

at::Tensor empty_of_its_dtype(const at::Tensor& like) {
  return at::empty_symint(like.sym_sizes(), like.options());
}

// [.., rows] of x [.., columns].
at::Tensor empty_product(const at::Tensor& x, const c10::SymInt& rows) {
  std::vector<c10::SymInt> sizes = x.sym_sizes().vec();
  sizes.back() = rows;
  return at::empty_symint(sizes, x.options());
}

uint32_t stream_number(const char* name, const c10::SymInt& value) {
  const int64_t number = value.guard_int(__FILE__, __LINE__);
  if (number >= 0 && number <= std::numeric_limits<uint32_t>::max()) {
    return static_cast<uint32_t>(number);
  }
  fail("{} is {}, but must lie between 0 and 2^32 - 1", name, number);
}

}  // namespace

void check_floating(const char* what, const at::Tensor& tensor) {
  const at::ScalarType dtype = tensor.scalar_type();
  if (dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf) return;
  fail("{} must be float32, bfloat16 or float16, not {}", what, c10::toString(dtype));
}

void check_mask(const at::Tensor& mask) {
  if (mask.scalar_type() == at::kBool || mask.scalar_type() == at::kByte) return;
  fail("a mask must be bool or uint8, not {}", c10::toString(mask.scalar_type()));
}

void check_masks(const at::Tensor& mask, const at::Tensor& other) {
  check_mask(mask);
  check_mask(other);
  check_device("the other mask", other, mask);
  if (mask.sym_sizes() == other.sym_sizes()) return;
  fail("masks of the shapes {} and {} cannot be compared", shape_of(mask), shape_of(other));
}

void check_groups(const at::Tensor& weight, int64_t group) {
  if (weight.dim() == 0) fail("a single number has no groups of {}", group);
  const c10::SymInt columns = weight.sym_size(-1);
  if (columns % group == 0) return;
  fail("{} columns are not a multiple of {}", number(columns), group);
}

kernels::Float8 float8_named(std::string_view format) {
  if (format == "e4m3") return kernels::Float8::kE4M3;
  if (format == "e5m2") return kernels::Float8::kE5M2;
  fail("unknown format \"{}\": choose e4m3 or e5m2", printable(format));
}

RandomStream stream_of(int64_t seed, const c10::SymInt& step, const c10::SymInt& micro_batch,
                       int64_t tensor) {
  return {static_cast<uint64_t>(seed), stream_number("step", step),
          stream_number("micro_batch", micro_batch), stream_number("tensor", tensor)};
}

Rows::Rows(const at::Tensor& source) {
  const bool in_place = source.dim() == 2 && source.stride(1) == 1;
  tensor = in_place ? source : source.contiguous();
  columns = source.dim() == 0 ? 1 : source.size(-1);
  rows = columns == 0 ? 0 : source.numel() / columns;
  stride = in_place ? source.stride(0) : columns;
}

namespace shapes {

at::Tensor magnitude_mask(const at::Tensor& weight, int64_t kept, int64_t group) {
  check_floating("the weight", weight);
  if (group < 1 || group > 8 || kept < 0 || kept > group) {
    fail("the pattern {}:{} is not one of N:M with N <= M <= 8", kept, group);
  }
  check_groups(weight, group);
  return empty_of_bool(weight);
}

at::Tensor transposable_mask24(const at::Tensor& weight) {
  check_floating("the weight", weight);
  check_matrix("the weight", weight);
  check_groups(weight, 4);
  if (weight.sym_size(0) % 4 != 0) {
    fail("{} rows are not a multiple of 4, as a transposable mask needs",
         number(weight.sym_size(0)));
  }
  return empty_of_bool(weight);
}

at::Tensor apply_mask(const at::Tensor& weight, const at::Tensor& mask) {
  check_floating("the weight", weight);
  check_mask_of(weight, mask);
  return empty_of_its_dtype(weight);
}

at::Tensor pack_mask(const at::Tensor& mask) {
  check_mask(mask);
  return at::empty_symint({(mask.sym_numel() + 7) / 8}, mask.options().dtype(at::kByte));
}

at::Tensor unpack_mask(const at::Tensor& bits, c10::SymIntArrayRef shape) {
  if (bits.scalar_type() != at::kByte) {
    fail("packed masks are uint8, not {}", c10::toString(bits.scalar_type()));
  }
  c10::SymInt count = 1;
  for (const c10::SymInt& size : shape) {
    if (size < 0) fail("a mask cannot have a dimension of {} entries", number(size));
    count *= size;
  }
  check_size("the number of bytes", bits.sym_numel(), (count + 7) / 8);
  return at::empty_symint(shape, bits.options().dtype(at::kBool));
}

std::tuple<at::Tensor, at::Tensor> soft_threshold24(const at::Tensor& weight, double) {
  check_floating("the weight", weight);
  check_groups(weight, 4);
  return {empty_of_its_dtype(weight), empty_of_bool(weight)};
}

at::Tensor mvue24(const at::Tensor& gradient, int64_t, c10::SymInt, c10::SymInt, int64_t, bool) {
  check_floating("the gradient", gradient);
  if (gradient.dim() < 2) fail("a gradient must be [.., features], not {}", shape_of(gradient));
  return empty_of_its_dtype(gradient);
}

at::Tensor round_to_float8(const at::Tensor& x, std::string_view format, double) {
  check_floating("x", x);
  float8_named(format);
  return empty_of_its_dtype(x);
}

std::tuple<at::Tensor, at::Tensor> pack24(const at::Tensor& weight,
                                          const std::optional<at::Tensor>& mask) {
  check_floating("the weight", weight);
  check_matrix("the weight", weight);
  check_groups(weight, 4);
  if (mask) check_mask_of(weight, *mask);
  const c10::SymInt rows = weight.sym_size(0), columns = weight.sym_size(1);
  return {at::empty_symint({rows, columns / 2}, weight.options()),
          at::empty_symint({rows, (columns + 7) / 8}, weight.options().dtype(at::kByte))};
}

at::Tensor unpack24(const at::Tensor& values, const at::Tensor& positions) {
  check_packed(values, positions);
  return at::empty_symint({values.sym_size(0), 2 * values.sym_size(1)}, values.options());
}

at::Tensor linear24(const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& mask,
                    bool transposable, bool, bool, int64_t, c10::SymInt, c10::SymInt, int64_t) {
  check_like("the weight", weight, x);
  check_matrix("the weight", weight);
  check_groups(weight, 4);
  check_product(x, weight.sym_size(1));
  check_bias(bias, x, weight.sym_size(0));
  if (mask) check_mask_of(weight, *mask);
  if (transposable && weight.sym_size(0) % 4 != 0) {
    fail("{} rows are not a multiple of 4, as a transposable weight needs",
         number(weight.sym_size(0)));
  }
  return empty_product(x, weight.sym_size(0));
}

at::Tensor input_gradient24(const at::Tensor& dz, const at::Tensor& weight) {
  check_floating("dz", dz);
  check_like("the weight", weight, dz);
  check_matrix("dz", dz);
  check_matrix("the weight", weight);
  check_size("dz's width", dz.sym_size(1), weight.sym_size(0));
  if (weight.sym_size(0) % 4 != 0) {
    fail("{} rows are not a multiple of 4", number(weight.sym_size(0)));
  }
  return empty_product(dz, weight.sym_size(1));
}

at::Tensor weight_gradient24(const at::Tensor& dz, const at::Tensor& x, int64_t, c10::SymInt,
                             c10::SymInt, int64_t, bool) {
  check_floating("dz", dz);
  check_like("x", x, dz);
  check_matrix("dz", dz);
  check_matrix("x", x);
  check_size("the number of x's tokens", x.sym_size(0), dz.sym_size(0));
  return at::empty_symint({dz.sym_size(1), x.sym_size(1)}, dz.options());
}

at::Tensor linear24_packed(const at::Tensor& x, const at::Tensor& values,
                           const at::Tensor& positions, const std::optional<at::Tensor>& bias) {
  check_packed(values, positions);
  check_like("the matrix of values", values, x);
  check_product(x, 2 * values.sym_size(1));
  check_bias(bias, x, values.sym_size(0));
  return empty_product(x, values.sym_size(0));
}

at::Tensor linear24_prepared(const at::Tensor& x, const c10::intrusive_ptr<PreparedWeight>& weight,
                             const std::optional<at::Tensor>& bias) {
  const at::Tensor dense = weight->dense();
  check_product(x, dense.sym_size(1));
  if (x.scalar_type() != dense.scalar_type()) {
    fail("x is {}, but the prepared weight {}", c10::toString(x.scalar_type()),
         c10::toString(dense.scalar_type()));
  }
  check_bias(bias, x, dense.sym_size(0));
  return empty_product(x, dense.sym_size(0));
}

}  // namespace shapes
}  // namespace twofour::sparse::operators
