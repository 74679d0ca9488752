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

// A machine whose time passes as the pieces say, and whose cores others take as they say.
struct Machine {
  double seconds = 0;
  int64_t preemptions = 0;

  RaceClock clock() {
    return {[this] { return seconds; }, [this] { return preemptions; }};
  }
  std::function<void()> work(double takes, int64_t preempted = 0) {
    return [=, this] {
      seconds += takes;
      preemptions += preempted;
    };
  }
};

TEST(Race, leaves_out_what_is_hopeless_after_one_round) {
  Machine machine;
  int runs = 0;
  Race race(machine.clock());
  race.add("fast", machine.work(1));
  race.add("not much slower", machine.work(2));
  race.add("hopeless", [&] {
    ++runs;
    machine.seconds += 3;
  });
  int runs_of_worst = 0;
  race.add("worst", [&] {
    ++runs_of_worst;
    machine.seconds += 4;
  });
  race.leave_out_slower_than(2.5);
  race.run(10);
  EXPECT_EQ(runs, 2);  // to warm up, and one round
  EXPECT_EQ(runs_of_worst, 1);
  EXPECT_EQ(race.seconds("hopeless"), 3);
  EXPECT_EQ(race.seconds("worst"), 4);
  EXPECT_EQ(race.seconds("not much slower"), 2);
}

TEST(Race, is_disturbed_by_what_takes_its_cores) {
  for (const int64_t preempted : {0, 1}) {
    Machine machine;
    Race race(machine.clock());
    race.add("a", machine.work(0.01, preempted));  // 100 times a second
    race.run(20);
    EXPECT_EQ(race.was_disturbed(), preempted > 0);
  }
}

TEST(Race, is_disturbed_where_the_fastest_is_usually_much_slower) {
  for (const double usual : {1.2, 2.0}) {
    Machine machine;
    int runs = 0;
    Race race(machine.clock());
    race.add("a", [&] { machine.seconds += ++runs % 4 == 0 ? 1.0 : usual; });
    race.add("b", [&] { machine.seconds += runs % 2 == 0 ? 3.0 : 9.0; });
    race.run(8);
    EXPECT_EQ(race.was_disturbed(), usual > 1.5);
  }
}

}  // namespace
}  // namespace twofour
