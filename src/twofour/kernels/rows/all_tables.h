// The tables of all row-wise kernels. Included by one source file per instruction set; everything
// here has internal linkage, so no file runs another's code. Operations and the order of sums are
// fixed, so all instruction sets give the same bits.
#pragma once

#include "twofour/kernels/decode/attend_table.h"
#include "twofour/kernels/decode/token_rows_table.h"
#include "twofour/kernels/forward_weight/forward_weight_table.h"
#include "twofour/kernels/forward_weight/soft_threshold_table.h"
#include "twofour/kernels/fp8/fp8_table.h"
#include "twofour/kernels/masks/mask_table.h"
#include "twofour/kernels/mvue/mvue_table.h"
#include "twofour/kernels/pruning/column_loop_table.h"
#include "twofour/kernels/pruning/swap_search_table.h"
#include "twofour/kernels/soft_mask/soft_mask_table.h"
#include "twofour/kernels/training/accumulate_table.h"
#include "twofour/kernels/training/adamw_table.h"
#include "twofour/kernels/training/cross_entropy_table.h"
#include "twofour/kernels/training/gelu_table.h"
#include "twofour/kernels/training/rank_update_table.h"
#include "twofour/kernels/training/small_adamw_table.h"
#if defined(__AVX2__)
#include "twofour/kernels/masks/mask_vectors.h"
#endif
#if defined(__AVX512F__)
#include "twofour/kernels/mvue/mvue_avx512.h"
#endif

// Calls use(Table) for every table.
#define TWOFOUR_TABLES_OF(use, T)                                                           \
  use(AccumulateTable<T>) use(AttendTable<T>) use(CrossEntropyTable<T>) use(Float8Table<T>) \
      use(ForwardWeightTable<T>) use(GeluTable<T>) use(MaskTable<T>) use(MvueTable<T>)      \
          use(SoftMaskTable<T>) use(SoftThresholdTable<T>) use(TokenRowsTable<T>)
#define TWOFOUR_TABLES(use)                                                             \
  TWOFOUR_TABLES_OF(use, float)                                                         \
  TWOFOUR_TABLES_OF(use, bfloat16)                                                      \
  TWOFOUR_TABLES_OF(use, float16)                                                       \
  use(AdamWTable) use(ColumnLoopTable) use(MaskBytesTable) use(RankUpdateTable)         \
      use(SmallAdamWTable<float>) use(SmallAdamWTable<bfloat16>) use(SoftMaskSumsTable) \
          use(SwapSearchTable)
