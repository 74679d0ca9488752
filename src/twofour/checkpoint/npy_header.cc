#include "twofour/checkpoint/npy_header.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "twofour/base/error.h"

namespace twofour::checkpoint {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMostNpyDimensions = 64;  // as NumPy

struct NpyTypeName {
  const char* name;
  at::ScalarType dtype;
};

constexpr std::array<NpyTypeName, 8> kNpyTypes = {{{"|u1", at::kByte},
                                                   {"|i1", at::kChar},
                                                   {"<i2", at::kShort},
                                                   {"<i4", at::kInt},
                                                   {"<i8", at::kLong},
                                                   {"<f2", at::kHalf},
                                                   {"<f4", at::kFloat},
                                                   {"<f8", at::kDouble}}};

uint64_t byte_at(std::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

// Reads the subset of Python literals that a header may contain.
class Literal {
 public:
  explicit Literal(std::string_view text) : rest_(text) {}

  bool take(char wanted) {
    skip_spaces();
    if (rest_.empty() || rest_[0] != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char wanted) {
    if (!take(wanted)) fail("has a header without '{}' where one belongs", wanted);
  }
  std::string_view string() {
    skip_spaces();
    const char quote = rest_.empty() ? '\0' : rest_[0];
    const size_t end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : std::string::npos;
    if (end == std::string::npos) fail("has a header without a quoted word where one belongs");
    const std::string_view word = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return word;
  }
  bool boolean() {
    skip_spaces();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    fail("has a fortran_order that is neither True nor False");
  }
  int64_t size() {
    skip_spaces();
    int64_t value = -1;
    const auto parsed = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (parsed.ec != std::errc() || value < 0) fail("has a shape that is no tuple of sizes");
    rest_.remove_prefix(static_cast<size_t>(parsed.ptr - rest_.data()));
    return value;
  }
  bool at_end() {
    skip_spaces();
    return rest_.empty();
  }

 private:
  void skip_spaces() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n')) rest_.remove_prefix(1);
  }
  std::string_view rest_;
};

at::ScalarType read_dtype(Literal& literal) {
  const std::string name(literal.string());
  const auto type = std::find_if(kNpyTypes.begin(), kNpyTypes.end(),
                                 [&](const NpyTypeName& known) { return name == known.name; });
  if (type == kNpyTypes.end()) fail("has the dtype '{}', which is not supported", printable(name));
  return type->dtype;
}

std::vector<int64_t> read_shape(Literal& literal) {
  std::vector<int64_t> shape;
  literal.expect('(');
  while (!literal.take(')')) {
    shape.push_back(literal.size());
    if (shape.size() > kMostNpyDimensions) fail("has more than {} dimensions", kMostNpyDimensions);
    if (literal.take(',')) continue;
    if (shape.size() == 1) fail("has a shape that is no tuple of sizes");
    literal.expect(')');
    break;
  }
  return shape;
}

}  // namespace

uint64_t npy_header_bytes(std::string_view start) {
  if (start.size() < kNpyFixedBytes || !start.starts_with(kMagic)) fail("is no NumPy array");
  const uint64_t version = byte_at(start, 6);
  if (version < 1 || version > 3 || byte_at(start, 7) != 0) {
    fail("has NumPy's format {}.{}, expected 1.0 to 3.0", version, byte_at(start, 7));
  }
  uint64_t bytes = byte_at(start, 8) + (byte_at(start, 9) << 8);
  if (version > 1) bytes += (byte_at(start, 10) << 16) + (byte_at(start, 11) << 24);
  bytes += version > 1 ? 12 : 10;
  if (bytes < kNpyFixedBytes || bytes > kLargestNpyHeader) {
    fail("has a header of {} bytes, expected at most {}", bytes, kLargestNpyHeader);
  }
  return bytes;
}

NpyHeader parse_npy_header(std::string_view header) {
  const uint64_t fixed = byte_at(header, 6) > 1 ? 12 : 10;
  Literal literal(header.substr(fixed));
  NpyHeader parsed;
  int seen[3] = {};
  literal.expect('{');
  while (!literal.take('}')) {
    const std::string key(literal.string());
    literal.expect(':');
    if (key == "descr") {
      parsed.dtype = read_dtype(literal);
      ++seen[0];
    } else if (key == "fortran_order") {
      parsed.fortran_order = literal.boolean();
      ++seen[1];
    } else if (key == "shape") {
      parsed.shape = read_shape(literal);
      ++seen[2];
    } else {
      fail("has a header with the unknown entry '{}'", printable(key));
    }
    if (literal.take(',')) continue;
    literal.expect('}');
    break;
  }
  if (!literal.at_end()) fail("has a header with something after its dictionary");
  if (seen[0] != 1 || seen[1] != 1 || seen[2] != 1) {
    fail("has a header without descr, fortran_order and shape once each");
  }
  // Strides must not overflow either, so a size of 0 does not excuse the others.
  int64_t bytes = static_cast<int64_t>(c10::elementSize(parsed.dtype));
  for (const int64_t size : parsed.shape) {
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) {
      fail("has a shape too large for any memory");
    }
  }
  const bool empty = std::find(parsed.shape.begin(), parsed.shape.end(), 0) != parsed.shape.end();
  parsed.data_bytes = empty ? 0 : static_cast<uint64_t>(bytes);
  return parsed;
}

std::string make_npy_header(const at::Tensor& array) {
  const auto type = std::find_if(kNpyTypes.begin(), kNpyTypes.end(), [&](const NpyTypeName& known) {
    return known.dtype == array.scalar_type();
  });
  if (type == kNpyTypes.end()) fail("has the type {}", c10::toString(array.scalar_type()));
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", type->name,
                  fmt::join(array.sizes(), ", "), array.dim() == 1 ? "," : "");
  const size_t bytes = (10 + text.size() + 1 + 63) / 64 * 64;
  text.resize(bytes - 11, ' ');
  text += '\n';
  std::string header(kMagic);
  header +=
      {'\x01', '\x00', static_cast<char>(text.size() & 255), static_cast<char>(text.size() >> 8)};
  return header + text;
}

}  // namespace twofour::checkpoint
