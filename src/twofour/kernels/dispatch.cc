#include "twofour/kernels/dispatch.h"

#include <array>
#include <cstdlib>
#include <string_view>

#include "twofour/base/error.h"

namespace twofour::kernels {
namespace {

constexpr std::array<const char*, 4> kNames = {"reference", "avx2", "avx512", "avx512bf16"};

InstructionSet best_of_cpu() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return InstructionSet::kReference;
  }
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return InstructionSet::kAvx2;
  }
  return __builtin_cpu_supports("avx512bf16") ? InstructionSet::kAvx512Bf16
                                              : InstructionSet::kAvx512;
#else
  return InstructionSet::kReference;
#endif
}

InstructionSet choose() {
  const char* wanted = std::getenv("TWOFOUR_ISA");
  if (!wanted) return best_instruction_set();
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (std::string_view(wanted) != kNames[i]) continue;
    const auto set = static_cast<InstructionSet>(i);
    if (set > best_instruction_set()) {
      fail_usage("TWOFOUR_ISA is {}, which this CPU lacks: it has {}", kNames[i],
                 name_of(best_instruction_set()));
    }
    return set;
  }
  fail_usage("TWOFOUR_ISA is \"{}\": choose reference, avx2, avx512 or avx512bf16",
             printable(wanted));
}

InstructionSet& chosen() {
  static InstructionSet set = choose();
  return set;
}

}  // namespace

InstructionSet best_instruction_set() {
  static const InstructionSet kBest = best_of_cpu();
  return kBest;
}

InstructionSet instruction_set() { return chosen(); }

void set_instruction_set(InstructionSet set) {
  if (set > best_instruction_set()) fail("this CPU lacks {}", name_of(set));
  chosen() = set;
}

const char* name_of(InstructionSet set) { return kNames[static_cast<size_t>(set)]; }

}  // namespace twofour::kernels
