#include "twofour/kernels/products/many_tokens/panel24.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "twofour/base/error.h"
#include "twofour/base/parallel.h"
#include "twofour/kernels/dispatch.h"
#include "twofour/kernels/group.h"
#include "twofour/kernels/mvue/mvue_table.h"
#include "twofour/kernels/packed24/packed24.h"
#include "twofour/kernels/products/many_tokens/product24_loops.h"
#include "twofour/kernels/products/many_tokens/strips/strips24.h"
#include "twofour/kernels/products/many_tokens/tiles/tiles24.h"

namespace twofour::kernels {
namespace {

// Writes group g of a row of a block: its two values and their places.
struct PanelRow {
  PanelRow(Panel24& panel, int64_t block, int64_t row)
      : words(panel.words(block, row / kQuad) + row % kQuad),
        offsets(panel.offsets(block, row / kQuad) + row % kQuad) {}

  void set(int64_t g, float value0, float value1, uint32_t first, uint32_t second) {
    words[2 * g * kQuad] = bits_of(value0);
    words[(2 * g + 1) * kQuad] = bits_of(value1);
    offsets[2 * g * kQuad] = static_cast<uint16_t>(first * kSlotBytes);
    offsets[(2 * g + 1) * kQuad] = static_cast<uint16_t>(second * kSlotBytes);
  }

  uint32_t* words;
  uint16_t* offsets;
};

void check_columns(const Panel24& panel) {
  if (panel.columns() % 4 != 0) {
    fail("{} columns are not a multiple of 4, as 2:4 needs", panel.columns());
  }
}

// Four rows by entry: entry(r, c) of the panel. Returns false if a group keeps more than two.
template <class Entry>
bool fill_quad(Panel24& panel, int64_t quad, Entry&& entry) {
  bool good = true;
  const int64_t last_row = std::min(panel.rows(), (quad + 1) * kQuad);
  for (int64_t r = quad * kQuad; r < last_row; ++r) {
    for (int64_t g = 0; g < panel.groups(); ++g) {
      float group[4];
      uint32_t kept = 0;
      for (int i = 0; i < 4; ++i) {
        group[i] = to_float(entry(r, 4 * g + i));
        kept |= uint32_t{group[i] != 0.0f} << i;
      }
      const uint32_t position = position_of(kept), one = position & 3, two = position >> 2;
      good &= position != 0;
      PanelRow(panel, g / kBlockGroups, r).set(g % kBlockGroups, group[one], group[two], one, two);
    }
  }
  return good;
}

// fill_strips(first, last) fills some of `strips` parts and returns if they are sparse enough.
template <class FillStrips, class Entry>
void fill_strips(const Panel24& panel, int64_t strips, FillStrips&& fill, Entry&& entry) {
  std::atomic<bool> good = true;
  parallel_for(0, strips, 1, [&](int64_t first, int64_t last) {
    if (!fill(first, last)) good = false;
  });
  if (good) return;
  for (int64_t r = 0; r < panel.rows(); ++r) {
    for (int64_t c = 0; c < panel.columns(); c += 4) {
      int kept = 0;
      for (int64_t i = c; i < c + 4; ++i) kept += to_float(entry(r, i)) != 0.0f;
      if (kept <= 2) continue;
      fail(
          "the matrix is not 2:4 sparse: row {} keeps more than two of the four entries from "
          "column {} on",
          r, c);
    }
  }
}

// Calls fill_strip for each strip.
template <class FillStrip, class Entry>
void fill_each_strip(const Panel24& panel, int64_t strips, FillStrip&& fill, Entry&& entry) {
  fill_strips(
      panel, strips,
      [&](int64_t first, int64_t last) {
        bool good = true;
        for (int64_t strip = first; strip < last; ++strip) good &= fill(strip);
        return good;
      },
      entry);
}

// Calls fill(column tile, first, last pair) for a range of all tiles. The pairs of a column tile
// are consecutive because their sources lie along its rows.
template <class Fill>
void for_column_tiles(const Panel24& panel, int64_t first, int64_t last, Fill&& fill) {
  const int64_t pairs = panel.row_tiles() / 2;
  while (first < last) {
    const int64_t column_tile = first / pairs, begin = first % pairs;
    const int64_t end = std::min(pairs, begin + last - first);
    fill(column_tile, begin, end);
    first += end - begin;
  }
}

int64_t pairs_of_tiles(const Panel24& panel) {
  return panel.row_tiles() / 2 * panel.column_tiles();
}

template <class T>
void check_kind(const Panel24& panel) {
  if (panel.kind() != panel_kind<T>()) fail("the panel is of another kind than its entries");
}

}  // namespace

Panel24::Panel24(PanelKind kind, int64_t rows, int64_t columns)
    : kind_(kind), rows_(rows), columns_(columns) {
  memory_.resize(static_cast<size_t>(bytes()) + 64);  // a vector may begin at the last entry
  std::memset(memory_.data(), 0, memory_.size());
}

namespace {

PanelKind kind_of(PanelKind strips, PanelKind tiles) {
  if (usable().amx) return tiles;
  return usable().avx512_bf16 ? strips : PanelKind::kFloat;
}

}  // namespace

template <>
PanelKind panel_kind<float>() {
  return kind_of(PanelKind::kFloatStrips, PanelKind::kFloatTiles);
}

template <>
PanelKind panel_kind<bfloat16>() {
  return kind_of(PanelKind::kBfloat16Strips, PanelKind::kBfloat16Tiles);
}

template <>
PanelKind panel_kind<float16>() {
  return kind_of(PanelKind::kFloatStrips, PanelKind::kFloat16Tiles);
}

template <class T>
void fill_panel(const T* weight, int64_t stride, Panel24& panel) {
  check_kind<T>(panel);
  check_columns(panel);
  const auto entry = [&](int64_t r, int64_t c) { return weight[r * stride + c]; };
  if constexpr (kIsX86) {
    if (panel.terms()) {
      const auto fill_pair = tile_fills<T>().fill;
      return fill_each_strip(
          panel, panel.row_tiles() / 2,
          [&](int64_t pair) { return fill_pair(weight, stride, pair, panel); }, entry);
    }
    if (has_strips(panel.kind())) {
      const auto fill_strip = strip_loops<T>().fill;
      return fill_each_strip(
          panel, panel.strips(),
          [&](int64_t strip) { return fill_strip(weight, stride, strip, panel); }, entry);
    }
  }
  if (const auto fill_strip = product_loops<T>().fill_strip) {
    fill_each_strip(
        panel, (panel.rows() + 15) / 16,
        [&](int64_t strip) { return fill_strip(weight, stride, 16 * strip, panel); }, entry);
  } else {
    fill_each_strip(
        panel, panel.quads(), [&](int64_t quad) { return fill_quad(panel, quad, entry); }, entry);
  }
}

template <class T>
void fill_panel_transposed(const T* weight, int64_t stride, Panel24& panel) {
  check_kind<T>(panel);
  check_columns(panel);
  const auto entry = [&](int64_t r, int64_t c) { return weight[c * stride + r]; };
  if constexpr (kIsX86) {
    if (panel.terms()) {
      const auto fill_tiles = tile_fills<T>().fill_transposed;
      const auto fill_some = [&](int64_t first, int64_t last) {
        bool good = true;
        for_column_tiles(panel, first, last, [&](int64_t tile, int64_t begin, int64_t end) {
          good &= fill_tiles(weight, stride, tile, begin, end, panel);
        });
        return good;
      };
      return fill_strips(panel, pairs_of_tiles(panel), fill_some, entry);
    }
    if (has_strips(panel.kind())) {
      const auto fill_chunk = strip_loops<T>().fill_transposed;
      return fill_each_strip(
          panel, panel.chunks(),
          [&](int64_t chunk) { return fill_chunk(weight, stride, chunk, panel); }, entry);
    }
  }
  if (const auto fill_strip = product_loops<T>().fill_strip_transposed) {
    fill_each_strip(
        panel, (panel.rows() + 15) / 16,
        [&](int64_t strip) { return fill_strip(weight, stride, 16 * strip, panel); }, entry);
  } else {
    fill_each_strip(
        panel, panel.quads(), [&](int64_t quad) { return fill_quad(panel, quad, entry); }, entry);
  }
}

template <class T>
void fill_panel_mvue(const T* dz, int64_t stride, const RandomStream& stream, Panel24& panel) {
  check_kind<T>(panel);
  if constexpr (kIsX86) {
    if (panel.terms()) {
      return parallel_for(0, pairs_of_tiles(panel), 1, [&](int64_t first, int64_t last) {
        for_column_tiles(panel, first, last, [&](int64_t tile, int64_t begin, int64_t end) {
          tile_fills<T>().fill_mvue(dz, stride, stream, tile, begin, end, panel);
        });
      });
    }
  }
  const int64_t tokens = panel.columns();
  const uint32_t group_stride = mvue24_group_stride(panel.rows());
  parallel_for(0, panel.blocks(), 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t token = 4 * kBlockGroups * block;
      table<MvueTable<T>>().block(
          dz + token * stride, std::min(4 * kBlockGroups, tokens - token), stride, stream,
          static_cast<uint32_t>(block * kBlockGroups) * group_stride, group_stride, block, panel);
    }
  });
}

#define TWOFOUR_INSTANTIATE(T)                              \
  template void fill_panel<T>(const T*, int64_t, Panel24&); \
  template void fill_panel_transposed<T>(const T*, int64_t, Panel24&);
TWOFOUR_INSTANTIATE(float)
TWOFOUR_INSTANTIATE(bfloat16)
TWOFOUR_INSTANTIATE(float16)
#undef TWOFOUR_INSTANTIATE
template void fill_panel_mvue<float>(const float*, int64_t, const RandomStream&, Panel24&);
template void fill_panel_mvue<bfloat16>(const bfloat16*, int64_t, const RandomStream&, Panel24&);
template void fill_panel_mvue<float16>(const float16*, int64_t, const RandomStream&, Panel24&);

}  // namespace twofour::kernels
