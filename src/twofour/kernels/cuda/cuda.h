// The kernels on CUDA: the same arithmetic per group as the functions of the same names in mask.h,
// soft_threshold.h, mvue.h, fp8.h and packed24.h, which document the results.
//
// These were compiled with nvcc but not run: no result was compared on hardware. They share the
// group arithmetic of group.h, which the CPU's tests cover. MVUE draws the same numbers as the CPU;
// sums in double may differ in the last bits.
//
// Every pointer is memory of the current device. A call only enqueues its work on `stream`;
// results, including counts, are ready once the stream reaches them. Throws Error if a launch
// fails. The caller checks shapes. This header does not need CUDA.
#pragma once

#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/kernels/mvue/mvue.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels::cuda {

/// A cudaStream_t; null is the default stream.
using Stream = void*;

/// `group`, at most 8, must divide columns.
template <class T>
void magnitude_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, int kept,
                    int group, uint8_t* mask, Stream stream);

/// rows and columns must be multiples of 4.
template <class T>
void transposable_mask24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                         uint8_t* mask, Stream stream);

template <class T>
void apply_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, const uint8_t* mask,
                T* out, Stream stream);

/// Adds the number of entries that differ between two masks to *flips.
void mask_flips(const uint8_t* mask, const uint8_t* other, int64_t count, int64_t* flips,
                Stream stream);

/// Adds the number of the first `count` bits that differ between two masks to *flips.
void bit_flips(const uint8_t* bits, const uint8_t* other, int64_t count, int64_t* flips,
               Stream stream);

void pack_mask(const uint8_t* mask, int64_t count, uint8_t* bits, Stream stream);
void unpack_mask(const uint8_t* bits, int64_t count, uint8_t* mask, Stream stream);

/// columns must be a multiple of 4. Adds the number of changed bits of `mask` to counts[0] and the
/// zeros of out to counts[1].
template <class T>
void soft_threshold24(const float* weight, int64_t rows, int64_t columns, int64_t stride,
                      float scale, T* out, uint8_t* mask, int64_t* counts, Stream stream);

/// Number of doubles that soft_threshold_scale needs as `workspace` for `count` entries.
int64_t soft_threshold_workspace(int64_t count);

/// *scale = β. Sums have a fixed order, so repetitions give the same bits.
void soft_threshold_scale(const float* weight, int64_t rows, int64_t columns, int64_t stride,
                          double* workspace, double* scale, Stream stream);

template <class T>
void mvue24(const T* dz, int64_t tokens, int64_t features, int64_t stride,
            const RandomStream& numbers, T* out, Mvue kind, Stream stream);

template <class T>
void round_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out, Stream stream);

/// *amax, initially 0, = the maximum of *amax and the magnitudes of `count` entries.
template <class T>
void largest_magnitude(const T* in, int64_t count, float* amax, Stream stream);

/// mask may be null. *violation, initially rows * columns, becomes the first entry (row * columns +
/// column) of a group that keeps more than two; the result is then undefined.
template <class T>
void pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride, const uint8_t* mask,
            T* values, uint8_t* positions, int64_t* violation, Stream stream);

template <class T>
void unpack24(const T* values, const uint8_t* positions, int64_t rows, int64_t columns, T* weight,
              int64_t stride, Stream stream);

}  // namespace twofour::kernels::cuda
