// Which implementation of a kernel runs: chosen once, from what the CPU has.
#pragma once

#include <string>

namespace twofour::kernels {

/// Each set holds those before it. kAvx2 comes with FMA; kAvx512 with F, BW, VL and DQ;
/// kAvx512Bf16 adds the bfloat16 dot product; kAmx adds VBMI2 and the tiles of AMX with bfloat16,
/// which the operating system grants.
enum class InstructionSet { kReference, kAvx2, kAvx512, kAvx512Bf16, kAmx };

/// The best set that this CPU has and this build holds, or what
/// TWOFOUR_ISA=reference|avx2|avx512|avx512bf16|amx says. Throws Error (usage) for another value,
/// or for a set that the CPU lacks.
InstructionSet instruction_set();

/// The best set of this CPU, whatever TWOFOUR_ISA says.
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
