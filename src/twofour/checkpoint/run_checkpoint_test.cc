#include "twofour/checkpoint/run_checkpoint.h"

#include <gtest/gtest.h>

#include <ATen/ops/full.h>

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

RunState make_state(double value, int64_t size = 1000) {
  RunState state;
  state.state = {{"step", value}};
  state.files = {{"model.safetensors", {{"w", at::full({size}, value)}}}};
  return state;
}

size_t folders_in(const fs::path& run) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(run / "checkpoints"), fs::directory_iterator()));
}

TEST(RunCheckpoint, round_trips_and_keeps_the_newest) {
  const TemporaryFolder run;
  EXPECT_FALSE(latest_checkpoint(run.path()));
  for (int64_t step = 1; step <= 5; ++step) {
    save_checkpoint(run.path(), step, make_state(static_cast<double>(step)), 2);
    EXPECT_EQ(latest_checkpoint(run.path()), step);
    EXPECT_EQ(folders_in(run.path()), std::min<size_t>(static_cast<size_t>(step), 2));
  }
  const RunState state = load_checkpoint(run.path(), 5);
  EXPECT_EQ(state.state.at("step"), 5.0);
  EXPECT_TRUE(state.files.at(0).second.at(0).second.equal(at::full({1000}, 5.0)));
}

TEST(RunCheckpoint, incomplete_and_foreign_folders_do_not_count) {
  const TemporaryFolder run;
  save_checkpoint(run.path(), 7, make_state(7), 2);
  make_folder(run / "checkpoints/step-0000009");
  make_folder(run / "checkpoints/step-0000011.partial-999999999-0");
  write_file(run / "checkpoints/step-abc/state.json", "{}");
  EXPECT_EQ(latest_checkpoint(run.path()), 7);
}

TEST(RunCheckpoint, a_full_disk_leaves_the_older_ones_untouched) {
  const TemporaryFolder run;
  save_checkpoint(run.path(), 1, make_state(1), 1);
  {
    const testing::FileSizeLimit full(1 << 16);
    EXPECT_THAT_ERROR(save_checkpoint(run.path(), 2, make_state(2, 1 << 20), 1), "cannot write");
  }
  EXPECT_EQ(latest_checkpoint(run.path()), 1);
  EXPECT_EQ(folders_in(run.path()), 1u);
  load_checkpoint(run.path(), 1);
}

TEST(RunCheckpoint, any_changed_byte_is_found_and_the_file_named) {
  const TemporaryFolder run;
  save_checkpoint(run.path(), 1, make_state(1), 1);
  const fs::path file = run / "checkpoints/step-0000001/model.safetensors";
  const std::string good = read_file(file);
  for (const size_t at : {size_t{0}, size_t{30}, good.size() - 1}) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    write_file(file, damaged);
    EXPECT_THAT_ERROR(load_checkpoint(run.path(), 1), "model.safetensors\" is damaged");
  }
  fs::remove(file);
  EXPECT_THAT_ERROR(load_checkpoint(run.path(), 1), "model.safetensors\" is missing");
  write_file(run / "checkpoints/step-0000001/state.json", "{\"files\": 3}");
  EXPECT_THAT_ERROR(load_checkpoint(run.path(), 1), "state.json\" is damaged");
}

TEST(RunCheckpoint, damage_is_told_with_the_checkpoint_before) {
  const TemporaryFolder run;
  for (const int64_t step : {3, 20, 100}) save_checkpoint(run.path(), step, make_state(1), 3);
  const auto damage = [&](const char* step) {
    testing::overwrite(run / "checkpoints" / step / "model.safetensors", "x");
  };
  damage("step-0000100");
  EXPECT_THAT_ERROR(load_checkpoint(run.path(), 100), "--resume-from step-20 goes on");
  damage("step-0000003");
  EXPECT_THAT_ERROR(load_checkpoint(run.path(), 3), "there is no older one");
}

TEST(RunCheckpoint, newer_ones_are_set_aside_whole) {
  const TemporaryFolder run;
  EXPECT_FALSE(set_aside_after(run.path(), 0));
  for (const int64_t step : {1, 2, 3}) save_checkpoint(run.path(), step, make_state(1), 9);
  fs::remove(run / "checkpoints/step-0000003/state.json");
  EXPECT_EQ(set_aside_after(run.path(), 1), run / "checkpoints/aside-1");
  EXPECT_EQ(checkpoint_steps(run.path()), std::vector<int64_t>{1});
  EXPECT_TRUE(fs::exists(run / "checkpoints/aside-1/step-0000002/state.json"));
  EXPECT_TRUE(fs::exists(run / "checkpoints/aside-1/step-0000003/model.safetensors"));
  EXPECT_FALSE(set_aside_after(run.path(), 1));
  save_checkpoint(run.path(), 2, make_state(1), 9);
  EXPECT_EQ(set_aside_after(run.path(), 1), run / "checkpoints/aside-2");
}

}  // namespace
}  // namespace twofour::checkpoint
