#include "twofour/cli/nearest.h"

#include <gtest/gtest.h>

namespace twofour::cli {
namespace {

TEST(Nearest, finds_the_name_that_was_meant_and_nothing_far_away) {
  const std::vector<std::string> known = {"--width", "--heads", "--steps", "--seed"};
  EXPECT_EQ(nearest("--widht", known), "--width");
  EXPECT_EQ(nearest("--step", known), "--steps");
  EXPECT_EQ(nearest("--completely-else", known), "");
}

}  // namespace
}  // namespace twofour::cli
