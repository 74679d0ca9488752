// The kernels on CUDA: the same arithmetic, group by group, as the functions of the same names in
// mask.h, soft_threshold.h, mvue.h, fp8.h and packed24.h, which say what each computes.
//
// These have been compiled with nvcc, not run: no result of theirs has been compared on hardware.
// What they compute a group with is the code of group.h, which the CPU's tests cover. MVUE draws
// the same numbers as the CPU; sums in double may differ in the last bits.
//
// Every pointer is device memory, of the device that is current. A call only enqueues its work on
// `stream`: results, counts included, are there once the stream has reached them. Throws Error when
// a launch fails; shapes are the caller's to check. This header needs no CUDA.
#pragma once

#include <cstdint>

#include "twofour/base/random.h"
#include "twofour/kernels/fp8/fp8.h"
#include "twofour/kernels/mvue/mvue.h"
#include "twofour/kernels/types.h"

namespace twofour::kernels::cuda {

/// A cudaStream_t; null is the default stream.
using Stream = void*;

/// group <= 8 divides columns.
template <class T>
void magnitude_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, int kept,
                    int group, uint8_t* mask, Stream stream);

/// rows and columns are multiples of 4.
template <class T>
void transposable_mask24(const T* weight, int64_t rows, int64_t columns, int64_t stride,
                         uint8_t* mask, Stream stream);

template <class T>
void apply_mask(const T* weight, int64_t rows, int64_t columns, int64_t stride, const uint8_t* mask,
                T* out, Stream stream);

/// Adds the number of entries in which two masks differ to *flips.
void mask_flips(const uint8_t* mask, const uint8_t* other, int64_t count, int64_t* flips,
                Stream stream);

/// Adds the number of the first `count` bits in which two masks differ to *flips.
void bit_flips(const uint8_t* bits, const uint8_t* other, int64_t count, int64_t* flips,
               Stream stream);

void pack_mask(const uint8_t* mask, int64_t count, uint8_t* bits, Stream stream);
void unpack_mask(const uint8_t* bits, int64_t count, uint8_t* mask, Stream stream);

/// columns is a multiple of 4. Adds the bits of `mask` that changed to counts[0] and the zeros of
/// out to counts[1].
template <class T>
void soft_threshold24(const float* weight, int64_t rows, int64_t columns, int64_t stride,
                      float scale, T* out, uint8_t* mask, int64_t* counts, Stream stream);

/// The doubles that soft_threshold_scale needs as `workspace` for `count` entries.
int64_t soft_threshold_workspace(int64_t count);

/// *scale = β. The sums have a fixed order, so that a repetition gives the same bits.
void soft_threshold_scale(const float* weight, int64_t rows, int64_t columns, int64_t stride,
                          double* workspace, double* scale, Stream stream);

template <class T>
void mvue24(const T* dz, int64_t tokens, int64_t features, int64_t stride,
            const RandomStream& numbers, T* out, Mvue kind, Stream stream);

template <class T>
void round_to_float8(const T* in, int64_t count, Float8 format, float scale, T* out, Stream stream);

/// *amax = the largest of *amax, which starts at 0, and the magnitudes of `count` entries.
template <class T>
void largest_magnitude(const T* in, int64_t count, float* amax, Stream stream);

/// mask may be null. *violation, which starts at rows * columns, becomes the first entry (row *
/// columns + column) of a group that keeps more than two; then the result is undefined.
template <class T>
void pack24(const T* weight, int64_t rows, int64_t columns, int64_t stride, const uint8_t* mask,
            T* values, uint8_t* positions, int64_t* violation, Stream stream);

template <class T>
void unpack24(const T* values, const uint8_t* positions, int64_t rows, int64_t columns, T* weight,
              int64_t stride, Stream stream);

}  // namespace twofour::kernels::cuda
