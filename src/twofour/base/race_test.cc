#include "twofour/base/race.h"

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour {
namespace {

TEST(Race, runs_in_turn_after_a_round_to_warm_up) {
  std::string order;
  Race race;
  race.add("a", [&] { order += 'a'; });
  race.add("b", [&] { order += 'b'; });
  race.run(3);
  EXPECT_EQ(order, "ababbaab");
  EXPECT_GE(race.seconds("a"), 0.0);
  EXPECT_THAT_ERROR(race.seconds("c"), "nothing named \"c\" ran");
}

TEST(Race, stops_after_the_least_rounds_when_its_time_is_over) {
  int runs = 0;
  Race race;
  race.add("a", [&] { ++runs; });
  race.run(2, 1000000000, 0);
  EXPECT_EQ(runs, 3);
}

}  // namespace
}  // namespace twofour
