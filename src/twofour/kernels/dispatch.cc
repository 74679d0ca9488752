#include "twofour/kernels/dispatch.h"

#include <cstdlib>
#include <string_view>

#include "twofour/base/error.h"

namespace twofour::kernels {
namespace {

bool cpu_has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
  return false;
#endif
}

InstructionSet choose() {
  const char* wanted = std::getenv("TWOFOUR_ISA");
  if (!wanted) return cpu_has_avx512() ? InstructionSet::kAvx512 : InstructionSet::kReference;
  const std::string_view name = wanted;
  if (name == "reference") return InstructionSet::kReference;
  if (name != "avx512") {
    fail_usage("TWOFOUR_ISA is \"{}\": choose reference or avx512", printable(name));
  }
  if (!cpu_has_avx512()) fail_usage("TWOFOUR_ISA is avx512, which this CPU lacks");
  return InstructionSet::kAvx512;
}

}  // namespace

InstructionSet instruction_set() {
  static const InstructionSet kChosen = choose();
  return kChosen;
}

const char* name_of(InstructionSet set) {
  return set == InstructionSet::kAvx512 ? "avx512" : "reference";
}

}  // namespace twofour::kernels
