// The two 8-bit floats, simulated: values are rounded to values of the format. S-STE: arXiv
// 2409.09099, section 5.3; formats: arXiv 2209.05433.
#pragma once

#include <cstdint>

#include "twofour/kernels/types.h"

namespace twofour::kernels {

/// kE4M3 (torch.float8_e4m3fn): largest 448, no infinity. kE5M2 (torch.float8_e5m2): largest 57344.
enum class Float8 { kE4M3, kE5M2 };

constexpr float largest(Float8 format) { return format == Float8::kE4M3 ? 448.0f : 57344.0f; }

/// out = the value of `format` nearest to scale * in, ties to even, divided by scale. It saturates:
/// values beyond the largest, and infinities, become the largest. NaN stays NaN; subnormals of the
/// format are kept. Equals clamping and torch's conversions to float8 and back.
template <class T>
void round_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out);

/// out = the value of `format` nearest to scale * in, like above but not divided by scale; exact in
/// every T. For products that divide their result by the scales.
template <class T>
void scale_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out);

/// The largest magnitude of `count` entries; infinite if there is an infinity, NaN if there is a
/// NaN.
template <class T>
float largest_magnitude(const T* in, int64_t count);

/// The per-tensor scale largest(format) / amax, at most the largest float; 1 if amax is 0 or not
/// finite. A scale from the finite entries would make an infinity as small as these.
float float8_scale(float amax, Float8 format);

}  // namespace twofour::kernels
