// The inner loops of dense weights in few_dense.h, declared once per instruction set. A vector runs
// along a row of the weight and, for a few tokens at a time, along theirs.
#pragma once

#include "twofour/kernels/products/few_tokens/few24_loops.h"
#include "twofour/kernels/products/few_tokens/few_dense.h"

namespace twofour::kernels {

template <class T>
using DenseLoops = FewLoops<T, DenseView<T>>;

template <class T>
const DenseLoops<T>& few_dense_reference();
template <class T>
const DenseLoops<T>& few_dense_avx2();
template <class T>
const DenseLoops<T>& few_dense_avx512();
template <class T>
const DenseLoops<T>& few_dense_avx512bf16();

}  // namespace twofour::kernels
