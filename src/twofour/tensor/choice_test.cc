#include "twofour/tensor/choice.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "twofour/base/file.h"
#include "twofour/base/parallel.h"
#include "twofour/tensor/machine_key.h"

#include "testing.h"

namespace twofour::tensor {
namespace {

// Products with implementations that take the time that the test sets, by a clock that only they
// advance. Each test has its own shapes, because choices live as long as the process.
class ChoiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
    unsetenv("TWOFOUR_TUNE");
    set_race_clock({[this] { return seconds_; }, [this] { return preemptions_; }});
  }
  void TearDown() override {
    set_race_clock(RaceClock::of_process());
    unsetenv("XDG_CACHE_HOME");
    setenv("TWOFOUR_TUNE", "off", 1);
  }

  static ProductShape shape(int64_t in, int64_t tokens = 16) {
    return {Product::kForward, tokens, in, 12, at::kBFloat16};
  }

  Implementation run(int64_t in, double dense_seconds, double sparse_seconds) {
    return run(shape(in), dense_seconds, sparse_seconds);
  }

  Implementation run(const ProductShape& of, double dense_seconds, double sparse_seconds) {
    return choose(of, [&]() -> std::vector<Candidate> {
      ++asked_;
      return {{Implementation::kDense, takes(dense_seconds)},
              {Implementation::kPanel, takes(sparse_seconds)}};
    });
  }

  std::function<void()> takes(double seconds) {
    return [this, seconds] {
      seconds_ += seconds;
      preemptions_ += is_disturbed_;
    };
  }

  static constexpr double kShort = 0x1p-10, kLong = 0x1p-8;  // their sums are exact
  testing::TemporaryFolder folder_;
  double seconds_ = 0;
  int64_t preemptions_ = 0;
  bool is_disturbed_ = false;
  int asked_ = 0;
};

TEST_F(ChoiceTest, of_a_weight_that_changes_every_step_is_another_choice) {
  ProductShape training = shape(161);
  training.in_training = true;
  EXPECT_EQ(run(161, kLong, kShort), Implementation::kPanel);
  EXPECT_FALSE(choice_made(training));
  EXPECT_EQ(run(training, kShort, kLong), Implementation::kDense);
  EXPECT_EQ(choice_made(shape(161))->implementation, Implementation::kPanel);
  EXPECT_EQ(describe(training), describe(shape(161)) + ", in training");
  training.product = Product::kWeightGradient;  // it reads no weight
  EXPECT_EQ(describe(training).find("in training"), std::string::npos);
}

TEST_F(ChoiceTest, takes_the_faster_one_and_measures_a_shape_once) {
  EXPECT_EQ(run(101, kLong, kShort), Implementation::kPanel);
  EXPECT_EQ(run(102, kShort, kLong), Implementation::kDense);
  EXPECT_EQ(run(101, kShort, kLong), Implementation::kPanel);
  EXPECT_EQ(asked_, 2);
  ASSERT_TRUE(choice_made(shape(102)));
  EXPECT_DOUBLE_EQ(choice_made(shape(102))->dense_ms, 1e3 * kShort);
  EXPECT_DOUBLE_EQ(choice_made(shape(102))->sparse_ms, 1e3 * kLong);
  EXPECT_FALSE(choice_made(shape(103)));
}

TEST_F(ChoiceTest, keeps_choices_in_a_file_by_machine_and_threads) {
  run(111, kLong, kShort);
  const auto content = nlohmann::json::parse(read_file(choices_file()));
  ASSERT_EQ(content.size(), 1u);
  const auto& entries = content.begin().value();
  const auto& entry = entries.at("forward, 16 tokens, 111 -> 12, bfloat16");
  EXPECT_EQ(entry.at("run"), "panel");
  EXPECT_THAT(content.begin().key(), ::testing::HasSubstr(std::to_string(thread_count())));
}

TEST_F(ChoiceTest, survives_a_damaged_file_and_a_folder_that_cannot_be_made) {
  make_folder(choices_file().parent_path());
  write_file(choices_file(), "{\"truncated");
  EXPECT_EQ(run(121, kLong, kShort), Implementation::kPanel);
  write_file(folder_ / "file", "");
  setenv("XDG_CACHE_HOME", (folder_ / "file").c_str(), 1);
  EXPECT_EQ(run(122, kLong, kShort), Implementation::kPanel);
}

TEST_F(ChoiceTest, of_many_tokens_is_shared_by_similar_numbers) {
  const auto tokens = [](int64_t count) { return describe(shape(8, count)); };
  EXPECT_NE(tokens(3), tokens(4));
  EXPECT_EQ(tokens(5), tokens(6));
  EXPECT_EQ(tokens(97), tokens(128));
  EXPECT_EQ(tokens(129), tokens(192));
  EXPECT_NE(tokens(192), tokens(193));
  EXPECT_THAT(tokens(1024), ::testing::HasSubstr("1024 tokens"));
}

TEST_F(ChoiceTest, off_measures_nothing_and_takes_the_2_4_kernel) {
  setenv("TWOFOUR_TUNE", "off", 1);
  EXPECT_EQ(run(131, kShort, kLong), Implementation::kPanel);
  EXPECT_FALSE(std::filesystem::exists(choices_file()));
}

TEST_F(ChoiceTest, of_a_checkpoint_are_taken_over_instead_of_measured) {
  run(141, kShort, kLong);
  nlohmann::json made = choices_made();
  for (auto& [machine, entries] : made.items()) {
    entries["forward, 16 tokens, 142 -> 12, bfloat16"] =
        entries["forward, 16 tokens, 141 -> 12, bfloat16"];
  }
  use_choices(made);
  EXPECT_EQ(run(142, kLong, kShort), Implementation::kDense);
  EXPECT_EQ(asked_, 1);
}

// Tests a shape's entry in the file, with and without disturbance by other work.
class DisturbedChoiceTest : public ChoiceTest {
 protected:
  void SetUp() override {
    ChoiceTest::SetUp();
    forget_choices_file();
  }

  static std::string key(int64_t in) { return describe(shape(in)); }

  nlohmann::json entry(int64_t in) const {
    return nlohmann::json::parse(read_file(choices_file())).begin().value().at(key(in));
  }

  // The panel is faster.
  void measure(int64_t in, bool is_disturbed) {
    is_disturbed_ = is_disturbed;
    run(in, kLong, kShort);
  }

  // Writes the file that another process finds.
  void pretend(int64_t in, int disturbed) {
    auto content = nlohmann::json::object();
    content[machine_key()][key(in)] = {
        {"run", "dense"}, {"dense_ms", 1.0}, {"sparse_ms", 2.0}, {"disturbed", disturbed}};
    make_folder(choices_file().parent_path());
    write_file(choices_file(), content.dump());
    forget_choices_file();
  }
};

TEST_F(DisturbedChoiceTest, is_marked_and_stays_for_the_process) {
  measure(171, /*is_disturbed=*/true);
  EXPECT_EQ(entry(171).at("disturbed"), 1);
  measure(171, /*is_disturbed=*/false);
  EXPECT_EQ(asked_, 1);
  measure(172, /*is_disturbed=*/false);
  EXPECT_FALSE(entry(172).contains("disturbed"));
}

TEST_F(DisturbedChoiceTest, is_measured_anew_by_the_next_process) {
  pretend(181, /*disturbed=*/1);
  measure(181, /*is_disturbed=*/false);
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(entry(181).at("run"), "panel");
  EXPECT_FALSE(entry(181).contains("disturbed"));
}

TEST_F(DisturbedChoiceTest, of_many_processes_is_taken_as_it_is) {
  pretend(191, /*disturbed=*/4);
  measure(191, /*is_disturbed=*/true);
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(entry(191).at("disturbed"), 5);
  pretend(192, /*disturbed=*/5);
  measure(192, /*is_disturbed=*/true);
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(choice_made(shape(192))->implementation, Implementation::kDense);
}

TEST_F(DisturbedChoiceTest, of_a_checkpoint_is_taken_as_it_is) {
  use_choices({{machine_key(), {{key(201), {{"run", "dense"}, {"disturbed", 1}}}}}});
  measure(201, /*is_disturbed=*/false);
  EXPECT_EQ(asked_, 0);
  EXPECT_EQ(choice_made(shape(201))->implementation, Implementation::kDense);
}

TEST_F(ChoiceTest, refuses_an_unknown_setting) {
  setenv("TWOFOUR_TUNE", "maybe", 1);
  EXPECT_THAT_ERROR(run(151, kShort, kLong), "TWOFOUR_TUNE is \"maybe\"");
}

}  // namespace
}  // namespace twofour::tensor
