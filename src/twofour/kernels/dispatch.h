// Which implementation of a kernel runs: chosen once, from what the CPU has.
#pragma once

#include <vector>

namespace twofour::kernels {

/// Whether this build has the implementations for x86-64 at all. Without them every kernel runs its
/// generic code, which the compiler makes of the vectors that the architecture has.
#if defined(__x86_64__)
constexpr bool kIsX86 = true;
#else
constexpr bool kIsX86 = false;
#endif

/// What an implementation may need of a CPU. None follows from another: a kernel asks for what it
/// uses.
struct Capabilities {
  bool avx2 = false;         ///< with FMA and F16C
  bool avx512 = false;       ///< F, BW, VL and DQ
  bool avx512_bf16 = false;  ///< the dot product of bfloat16
  bool avx512_vbmi2 = false;
  bool amx = false;  ///< tiles with bfloat16, which the operating system grants
};

/// What kernels may use: all that instruction_set() lets them use of this CPU.
const Capabilities& usable();

/// Names for what may be used. kReference: nothing; kAvx2: AVX2; kAvx512: that and AVX-512;
/// kAvx512Bf16: those and the dot product, with VBMI2 where the CPU has it; kAmx: everything.
enum class InstructionSet { kReference, kAvx2, kAvx512, kAvx512Bf16, kAmx };

/// The last set that this CPU has, or what TWOFOUR_ISA=reference|avx2|avx512|avx512bf16|amx says.
/// Throws Error (usage) for another value, or for a set that the CPU lacks.
InstructionSet instruction_set();

/// Those that this CPU has, kReference first, whatever TWOFOUR_ISA says.
const std::vector<InstructionSet>& instruction_sets();

/// The last of them.
InstructionSet best_instruction_set();

/// Whether the CPU is AMD's: how many streams of memory its prefetcher follows well does not depend
/// on the instruction set.
bool is_amd();

/// For tests and benchmarks: all kernels use `set` from now on. Throws Error if the CPU lacks it.
/// Not while other threads run kernels.
void set_instruction_set(InstructionSet set);

/// "reference", "avx2", "avx512", "avx512bf16" or "amx".
const char* name_of(InstructionSet set);

}  // namespace twofour::kernels
