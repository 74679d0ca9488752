// Which implementation of a kernel runs: chosen once, from what the CPU has.
#pragma once

#include <string>

namespace twofour::kernels {

enum class InstructionSet { kReference, kAvx512 };

/// The best set that this CPU has and this build holds, or what TWOFOUR_ISA=reference|avx512 says.
/// Throws Error (usage) for another value, or for a set that the CPU lacks.
InstructionSet instruction_set();

/// "reference" or "avx512".
const char* name_of(InstructionSet set);

}  // namespace twofour::kernels
