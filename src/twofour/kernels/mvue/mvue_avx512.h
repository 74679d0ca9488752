// MVUE with AVX-512, into rows or panels: 32 features at a time, with the numbers of eight Philox
// blocks.
#pragma once

#include "twofour/kernels/mvue/mvue_draw_avx512.h"
#include "twofour/kernels/mvue/mvue_table.h"
#include "twofour/kernels/products/many_tokens/panel24_write_avx512.h"
#include "twofour/kernels/simd/lanes_memory.h"

namespace twofour::kernels {
namespace {

// 32 columns, those of eight Philox blocks.
template <Mvue kKind, class T>
void mvue32_in_order(const T* in, int64_t rows, int64_t columns, int64_t stride,
                     const PhiloxLanes& numbers, int64_t out_stride, T* out) {
  const Uniforms32 u = uniforms_in_order(numbers);
  for (int part = 0; part < 2 && 16 * part < columns; ++part) {
    const int64_t begin = 16 * part;
    const Groups16 drawn =
        draw_columns<kKind>(in + begin, rows, columns - begin, stride, u.part[part]);
    for (int64_t r = 0; r < rows; ++r) {
      store_floats(drawn.entry[r], out + r * out_stride + begin, first_lanes(columns - begin));
    }
  }
}

template <Mvue kKind>
void mvue32(const bfloat16* in, int64_t rows, int64_t columns, int64_t stride,
            const PhiloxLanes& numbers, int64_t out_stride, bfloat16* out) {
  const __mmask32 lanes = first_of_32_lanes(columns);
  __m512i x[4], drawn[4];
  prefetch_columns_ahead<32>(in, rows, stride);
  load_bfloat16_rows(in, rows, lanes, stride, x);
  if (!draw32<kKind>(x, numbers, drawn)) {
    mvue32_in_order<kKind>(in, rows, columns, stride, numbers, out_stride, out);
    return;
  }
  for (int64_t r = 0; r < rows; ++r) {
    _mm512_mask_storeu_epi16(out + r * out_stride, lanes, drawn[r]);
  }
}

template <Mvue kKind, class T>
void mvue32(const T* in, int64_t rows, int64_t columns, int64_t stride, const PhiloxLanes& numbers,
            int64_t out_stride, T* out) {
  prefetch_columns_ahead<32>(in, rows, stride);
  mvue32_in_order<kKind>(in, rows, columns, stride, numbers, out_stride, out);
}

template <class T, Mvue kKind>
void mvue_rows_avx512(const T* in, int64_t rows, int64_t columns, int64_t stride,
                      const RandomStream& stream, uint32_t first_group, T* out) {
  const PhiloxRounds rounds(stream);
  for (int64_t begin = 0; begin < columns; begin += 32) {
    const PhiloxLanes numbers = philox8(rounds, (first_group + static_cast<uint32_t>(begin)) / 4);
    mvue32<kKind>(in + begin, rows, columns - begin, stride, numbers, columns, out + begin);
  }
}

// Calls use(part, kept) for the first and second 16 of 32 columns.
template <class T, class Use>
void draw_group32(const T* in, int64_t tokens, int64_t columns, int64_t stride,
                  const PhiloxLanes& numbers, Use&& use) {
  const Uniforms32 u = uniforms_in_order(numbers);
  for (int64_t part = 0; part < 2 && 16 * part < columns; ++part) {
    const int64_t begin = 16 * part;
    const Groups16 drawn =
        draw_columns<Mvue::kApproximate>(in + begin, tokens, columns - begin, stride, u.part[part]);
    use(part, kept_of_16_rows<T>(drawn));
  }
}

template <class T>
void draw_in_chunks(const T* in, int64_t tokens, int64_t columns, int64_t stride,
                    const PhiloxLanes& numbers, ChunkPair& chunks) {
  draw_group32(in, tokens, columns, stride, numbers,
               [&](int64_t part, const Kept& kept) { chunks[part].add_floats(kept); });
}
// Draws all 32 columns at once if they are finite.
inline void draw_in_chunks(const bfloat16* in, int64_t tokens, int64_t columns, int64_t stride,
                           const PhiloxLanes& numbers, ChunkPair& chunks) {
  __m512i x[4], drawn[4];
  load_bfloat16_rows(in, tokens, first_of_32_lanes(columns), stride, x);
  if (draw32<Mvue::kApproximate>(x, numbers, drawn)) {
    chunks.add(kept_of_32_rows(drawn));
  } else {
    draw_group32(in, tokens, columns, stride, numbers,
                 [&](int64_t part, const Kept& kept) { chunks[part].add_as_pairs(kept); });
  }
}

// Group g of a block has number first_group + g * group_stride.
template <class T>
void mvue_block_avx512(const T* in, int64_t tokens, int64_t stride, const RandomStream& stream,
                       uint32_t first_group, uint32_t group_stride, int64_t block, Panel24& panel) {
  const PhiloxRounds rounds(stream);
  const int64_t groups = (tokens + 3) / 4;
  const auto numbers_of = [&](int64_t g, int64_t row) {
    const uint32_t number = first_group + static_cast<uint32_t>(g) * group_stride;
    return philox8(rounds, (number + static_cast<uint32_t>(row)) / 4);
  };
  if (!has_strips(panel.kind())) {
    for (int64_t row = 0; row < panel.rows(); row += 32) {
      for (int64_t g = 0; g < groups; ++g) {  // inner loop, to write whole lines of a quad
        draw_group32(in + 4 * g * stride + row, tokens - 4 * g, panel.rows() - row, stride,
                     numbers_of(g, row), [&](int64_t part, const Kept& kept) {
                       store_in_quads(kept, row + 16 * part, g, block, panel);
                     });
      }
    }
    return;
  }
  const int64_t of_chunk = columns_of_chunk(panel.kind()) / 4;
  for (int64_t first = 0; first < groups; first += of_chunk) {
    const int64_t last = first + of_chunk < groups ? first + of_chunk : groups;
    for (int64_t row = 0; row < panel.rows(); row += 32) {
      ChunkPair chunks(panel, row, (block * kBlockGroups + first) / of_chunk);
      for (int64_t g = first; g < last; ++g) {
        const T* const from = in + 4 * g * stride + row;
        const int64_t left = tokens - 4 * g;
        prefetch_columns_ahead<32>(from, left, stride);
        draw_in_chunks(from, left, panel.rows() - row, stride, numbers_of(g, row), chunks);
      }
    }
  }
}

template <class T>
constexpr MvueTable<T> kTable<MvueTable<T>, Floats16> = {
    .approximate = mvue_rows_avx512<T, Mvue::kApproximate>,
    .exact = mvue_rows_avx512<T, Mvue::kExact>,
    .block = mvue_block_avx512<T>};

}  // namespace
}  // namespace twofour::kernels
