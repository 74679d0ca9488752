#include "twofour/checkpoint/weight_writer.h"

#include <gtest/gtest.h>

#include <ATen/ops/randn.h>

#include "twofour/base/file.h"

#include "testing.h"

namespace twofour::checkpoint {
namespace {

NamedTensors some_weights() {
  NamedTensors tensors;
  for (int i = 0; i < 5; ++i) {
    const at::ScalarType dtype = i % 2 ? at::kBFloat16 : at::kFloat;
    tensors.emplace_back("layer." + std::to_string(i), at::randn({3 + i, 7}).to(dtype));
  }
  return tensors;
}

void expect_equal_folders(const fs::path& a, const fs::path& b) {
  std::set<std::string> names[2];
  for (const auto& entry : fs::directory_iterator(a)) names[0].insert(entry.path().filename());
  for (const auto& entry : fs::directory_iterator(b)) names[1].insert(entry.path().filename());
  EXPECT_EQ(names[0], names[1]);
  for (const std::string& name : names[0]) {
    EXPECT_EQ(read_file(a / name, 1 << 20), read_file(b / name, 1 << 20)) << name;
  }
}

class Writing : public ::testing::TestWithParam<uint64_t> {
 protected:
  Writing() {
    make_folder(folder_ / "pulled");
    write_weights(folder_ / "pulled", announced_, GetParam(), {{"format", "pt"}});
  }
  std::unique_ptr<WeightWriter> open(const std::string& origin = "a") {
    return std::make_unique<WeightWriter>(folder_ / "pushed", announced_, GetParam(),
                                          Metadata{{"format", "pt"}}, origin);
  }

  testing::TemporaryFolder folder_;
  NamedTensors weights_ = some_weights();
  std::vector<TensorToWrite> announced_ = tensors_to_write(weights_);
};

INSTANTIATE_TEST_SUITE_P(Shards, Writing, ::testing::Values(uint64_t{1} << 30, 200));

TEST_P(Writing, any_order_gives_the_bytes_of_the_pull_writer) {
  auto writer = open();
  for (const size_t i : {3, 0, 4, 1, 2}) writer->put(weights_[i].first, weights_[i].second);
  EXPECT_FALSE(fs::exists(folder_ / "pushed")) << "it appears complete";
  writer->finish();
  expect_equal_folders(folder_ / "pulled", folder_ / "pushed");
  EXPECT_FALSE(fs::exists(folder_ / "pushed.unfinished"));
}

TEST_P(Writing, what_was_saved_is_not_made_again) {
  {
    auto writer = open();
    writer->put(weights_[3].first, weights_[3].second);
    writer->save();
    writer->put(weights_[1].first, weights_[1].second);  // and the process ends
  }
  auto writer = open();
  EXPECT_TRUE(writer->has(weights_[3].first));
  EXPECT_FALSE(writer->has(weights_[1].first));
  EXPECT_THAT_ERROR(writer->finish(), "still lacks tensor \"layer.0\"");
  for (const auto& [name, tensor] : weights_) {
    if (!writer->has(name)) writer->put(name, tensor);
  }
  writer->finish();
  expect_equal_folders(folder_ / "pulled", folder_ / "pushed");
}

TEST_P(Writing, another_origin_begins_anew_and_an_existing_folder_is_not_replaced) {
  {
    auto writer = open();
    for (const auto& [name, tensor] : weights_) writer->put(name, tensor);
    writer->save();
  }
  auto writer = open("b");
  EXPECT_FALSE(writer->has(weights_[0].first));
  make_folder(folder_ / "pushed");
  write_file(folder_ / "pushed" / "old", "old");
  for (const auto& [name, tensor] : weights_) writer->put(name, tensor);
  EXPECT_THAT_ERROR(writer->finish(), "File exists");
  EXPECT_TRUE(fs::exists(folder_ / "pushed" / "old"));
  writer.reset();
  fs::remove_all(folder_ / "pushed");
  writer = open("b");
  for (const auto& [name, tensor] : weights_) writer->put(name, tensor);
  writer->finish();
  expect_equal_folders(folder_ / "pulled", folder_ / "pushed");
}

TEST_P(Writing, refuses_what_was_not_announced_and_a_second_writer) {
  auto writer = open();
  EXPECT_THAT_ERROR(writer->put("other", weights_[0].second), "\"other\" was not announced");
  EXPECT_THAT_ERROR(writer->put(weights_[0].first, weights_[1].second),
                    "was announced as Float 3x7");
  EXPECT_THAT_ERROR(open(), "is in use by process");
}

}  // namespace
}  // namespace twofour::checkpoint
