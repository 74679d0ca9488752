#include "twofour/kernels/dispatch.h"

#include <algorithm>
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
// AMX's registers are large, so Linux only grants them on request.
bool amx_granted() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2)
  constexpr unsigned kBfloat16 = 1u << 22, kTile = 1u << 24;   // of leaf 7, EDX
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  if (!(edx & kBfloat16) || !(edx & kTile)) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Capabilities capabilities_of_cpu() {
  Capabilities cpu;
  cpu.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  cpu.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  cpu.avx512_bf16 = __builtin_cpu_supports("avx512bf16");
  cpu.avx512_vbmi2 = __builtin_cpu_supports("avx512vbmi2");
  cpu.amx = amx_granted();
  return cpu;
}
#else
Capabilities capabilities_of_cpu() { return {}; }
#endif

const Capabilities& cpu() {
  static const Capabilities kCpu = capabilities_of_cpu();
  return kCpu;
}

// The features that a set needs.
Capabilities needs_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::kReference:
      return {};
    case InstructionSet::kAvx2:
      return {.avx2 = true};
    case InstructionSet::kAvx512:
      return {.avx2 = true, .avx512 = true};
    case InstructionSet::kAvx512Bf16:
      return {.avx2 = true, .avx512 = true, .avx512_bf16 = true};
    case InstructionSet::kAmx:
      return {true, true, true, true, true};
  }
  return {};
}

bool has(const Capabilities& some, const Capabilities& needs) {
  return some.avx2 >= needs.avx2 && some.avx512 >= needs.avx512 &&
         some.avx512_bf16 >= needs.avx512_bf16 && some.avx512_vbmi2 >= needs.avx512_vbmi2 &&
         some.amx >= needs.amx;
}

// A set that the CPU has.
struct Chosen {
  InstructionSet set;
  Capabilities usable = needs_of(set);

  explicit Chosen(InstructionSet set) : set(set) {
    if (set == InstructionSet::kAvx512Bf16) usable.avx512_vbmi2 = cpu().avx512_vbmi2;
  }
};

InstructionSet choose() {
  const char* wanted = std::getenv("TWOFOUR_ISA");
  if (!wanted) return best_instruction_set();
  const auto at = std::find(kNames.begin(), kNames.end(), std::string_view(wanted));
  if (at == kNames.end()) {
    fail_usage("TWOFOUR_ISA is \"{}\": choose reference, avx2, avx512, avx512bf16 or amx",
               printable(wanted));
  }
  const auto set = static_cast<InstructionSet>(at - kNames.begin());
  if (!has(cpu(), needs_of(set))) {
    fail_usage("TWOFOUR_ISA is {}, which this CPU lacks: it has {}", *at,
               name_of(best_instruction_set()));
  }
  return set;
}

Chosen& chosen() {
  static Chosen chosen(choose());
  return chosen;
}

}  // namespace

const Capabilities& usable() { return chosen().usable; }

InstructionSet instruction_set() { return chosen().set; }

const std::vector<InstructionSet>& instruction_sets() {
  static const std::vector<InstructionSet> kSets = [] {
    std::vector<InstructionSet> sets;
    for (size_t i = 0; i < kNames.size(); ++i) {
      const auto set = static_cast<InstructionSet>(i);
      if (has(cpu(), needs_of(set))) sets.push_back(set);
    }
    return sets;
  }();
  return kSets;
}

InstructionSet best_instruction_set() { return instruction_sets().back(); }

bool is_amd() {
#if defined(__x86_64__)
  static const bool kIsAmd = __builtin_cpu_is("amd");
  return kIsAmd;
#else
  return false;
#endif
}

void set_instruction_set(InstructionSet set) {
  if (!has(cpu(), needs_of(set))) fail("this CPU lacks {}", name_of(set));
  chosen() = Chosen(set);
}

const char* name_of(InstructionSet set) { return kNames[static_cast<size_t>(set)]; }

}  // namespace twofour::kernels
