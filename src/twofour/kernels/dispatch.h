// Selects the implementation of kernels once, from the capabilities of the CPU.
#pragma once

#include <vector>

namespace twofour::kernels {

/// Whether this build has implementations for x86-64. Otherwise every kernel runs its generic code,
/// which the compiler vectorises for the architecture.
#if defined(__x86_64__)
constexpr bool kIsX86 = true;
#else
constexpr bool kIsX86 = false;
#endif

/// CPU features that an implementation may need. None implies another; a kernel checks each one
/// that it uses.
struct Capabilities {
  bool avx2 = false;         ///< with FMA and F16C
  bool avx512 = false;       ///< F, BW, VL and DQ
  bool avx512_bf16 = false;  ///< the dot product of bfloat16
  bool avx512_vbmi2 = false;
  bool amx = false;  ///< tiles with bfloat16, granted by the operating system
};

/// Features that kernels may use: those of this CPU that instruction_set() allows.
const Capabilities& usable();

/// Names of feature sets. kReference: none; kAvx2: AVX2; kAvx512: also AVX-512; kAvx512Bf16: also
/// the dot product, and VBMI2 if the CPU has it; kAmx: everything.
enum class InstructionSet { kReference, kAvx2, kAvx512, kAvx512Bf16, kAmx };

/// The last set that this CPU has, or the one in TWOFOUR_ISA=reference|avx2|avx512|avx512bf16|amx.
/// Throws Error (usage) for another value or a set that the CPU lacks.
InstructionSet instruction_set();

/// The sets that this CPU has, kReference first, independent of TWOFOUR_ISA.
const std::vector<InstructionSet>& instruction_sets();

/// The last of instruction_sets().
InstructionSet best_instruction_set();

/// Whether the CPU is AMD's. The number of memory streams that its prefetcher follows well does not
/// depend on the instruction set.
bool is_amd();

/// For tests and benchmarks: sets the instruction set of all kernels. Throws Error if the CPU lacks
/// it. No other thread may run kernels meanwhile.
void set_instruction_set(InstructionSet set);

/// "reference", "avx2", "avx512", "avx512bf16" or "amx".
const char* name_of(InstructionSet set);

}  // namespace twofour::kernels
