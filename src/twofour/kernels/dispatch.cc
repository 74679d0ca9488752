#include "twofour/kernels/dispatch.h"

#include <array>
#include <cstdlib>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "twofour/base/error.h"

namespace twofour::kernels {
namespace {

constexpr std::array<const char*, 5> kNames = {"reference", "avx2", "avx512", "avx512bf16", "amx"};

#if defined(__x86_64__)
// AMX's registers are large: Linux gives them to a process that asks.
bool amx_granted() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2)
  constexpr unsigned kBfloat16 = 1u << 22, kTile = 1u << 24;   // of leaf 7, EDX
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  if (!(edx & kBfloat16) || !(edx & kTile)) return false;
  return __builtin_cpu_supports("avx512vbmi2") &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

InstructionSet best_of_cpu() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return InstructionSet::kReference;
  }
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return InstructionSet::kAvx2;
  }
  if (!__builtin_cpu_supports("avx512bf16")) return InstructionSet::kAvx512;
  return amx_granted() ? InstructionSet::kAmx : InstructionSet::kAvx512Bf16;
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
  fail_usage("TWOFOUR_ISA is \"{}\": choose reference, avx2, avx512, avx512bf16 or amx",
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

bool is_amd() {
#if defined(__x86_64__)
  static const bool kIsAmd = __builtin_cpu_is("amd");
  return kIsAmd;
#else
  return false;
#endif
}

void set_instruction_set(InstructionSet set) {
  if (set > best_instruction_set()) fail("this CPU lacks {}", name_of(set));
  chosen() = set;
}

const char* name_of(InstructionSet set) { return kNames[static_cast<size_t>(set)]; }

}  // namespace twofour::kernels
