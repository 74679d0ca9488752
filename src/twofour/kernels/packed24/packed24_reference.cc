#include "twofour/kernels/packed24/packed24_generic.h"

namespace twofour::kernels {
namespace {

template <class Word>
constexpr PackLoops<Word> kLoops = {.row = pack_groups<Word>, .check = check_groups<Word>};

}  // namespace

template <>
const PackLoops<uint16_t>& pack_reference() {
  return kLoops<uint16_t>;
}

template <>
const PackLoops<uint32_t>& pack_reference() {
  return kLoops<uint32_t>;
}

}  // namespace twofour::kernels
