#include "twofour/kernels/dispatch.h"

#include <string>

#include <gtest/gtest.h>

#include "twofour/kernels/kernels_testing.h"

namespace twofour::kernels {
namespace {

class Dispatch : public KernelTest {};

TEST_F(Dispatch, the_sets_of_the_machine_begin_with_the_reference_and_end_with_the_best) {
  ASSERT_FALSE(instruction_sets().empty());
  EXPECT_EQ(instruction_sets().front(), InstructionSet::kReference);
  EXPECT_EQ(instruction_sets().back(), best_instruction_set());
}

TEST_F(Dispatch, a_set_lets_kernels_use_what_its_name_says_and_no_more) {
  for (const InstructionSet set : instruction_sets()) {
    set_instruction_set(set);
    EXPECT_EQ(instruction_set(), set);
    const Capabilities& use = usable();
    EXPECT_EQ(use.avx2, set != InstructionSet::kReference) << name_of(set);
    EXPECT_EQ(use.avx512, set >= InstructionSet::kAvx512) << name_of(set);
    EXPECT_EQ(use.avx512_bf16, set >= InstructionSet::kAvx512Bf16) << name_of(set);
    EXPECT_EQ(use.amx, set == InstructionSet::kAmx) << name_of(set);
    EXPECT_LE(use.avx512_vbmi2, set >= InstructionSet::kAvx512Bf16) << name_of(set);
  }
}

TEST_F(Dispatch, other_architectures_have_the_reference_only) {
  if (kIsX86) GTEST_SKIP() << "this is x86-64";
  EXPECT_EQ(instruction_sets().size(), 1u);
}

}  // namespace
}  // namespace twofour::kernels
