#include "twofour/checkpoint/weight_files.h"

#include <gtest/gtest.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

constexpr const char* kIndex = "model.safetensors.index.json";

NamedTensors three_tensors() {
  return {{"b", at::arange(8, at::kFloat)},
          {"a", at::arange(6, at::kFloat).view({2, 3})},
          {"c", at::arange(100, at::kFloat)}};
}

// a and b in one.safetensors, c in two.safetensors, and an index as given.
WeightFiles open_with(const fs::path& folder, const std::string& index) {
  const NamedTensors tensors = three_tensors();
  write_safetensors(folder / "one.safetensors", NamedTensors{tensors[0], tensors[1]});
  write_safetensors(folder / "two.safetensors", NamedTensors{tensors[2]});
  write_file(folder / kIndex, index);
  return WeightFiles(folder);
}

std::string map_of(const std::string& a, const std::string& b, const std::string& c) {
  return R"({"metadata":{"total_size":1},"weight_map":{"a":)" + a + ",\"b\":" + b + ",\"c\":" + c +
         "}}";
}

TEST(WeightFiles, any_split_into_shards_reads_back_the_same) {
  for (const auto& [largest_shard, files] :
       std::vector<std::pair<uint64_t, size_t>>{{1000, 1}, {456, 1}, {455, 3}, {56, 3}, {31, 4}}) {
    const TemporaryFolder folder;
    int made = 0;
    std::vector<TensorToWrite> tensors = tensors_to_write(three_tensors());
    for (TensorToWrite& tensor : tensors) {
      tensor.make = [&made, make = tensor.make] {
        ++made;
        return make();
      };
    }
    write_weights(folder.path(), tensors, largest_shard, {{"format", "pt"}});
    EXPECT_EQ(made, 3);
    EXPECT_EQ(static_cast<size_t>(
                  std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator())),
              files);
    const WeightFiles read(folder.path());
    EXPECT_EQ(read.names(), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(read.data_bytes(), 456u);
    for (const auto& [name, tensor] : three_tensors()) {
      EXPECT_TRUE(read.view(name).equal(tensor)) << name;
      EXPECT_EQ(read.entry(name).shape, tensor.sizes().vec());
    }
  }
}

TEST(WeightFiles, a_released_tensor_can_be_read_again) {
  const TemporaryFolder folder;
  const at::Tensor large = at::arange(100'000, at::kFloat);
  write_weights(folder.path(), tensors_to_write({{"w", large}, {"v", large}}), 1 << 30, {});
  const WeightFiles weights(folder.path());
  for (int i = 0; i < 2; ++i) {
    for (const char* name : {"v", "w"}) {
      EXPECT_TRUE(weights.view(name).equal(large));
      weights.release(name);
    }
  }
}

TEST(WeightFiles, shards_may_be_links_and_the_single_file_comes_first) {
  const TemporaryFolder folder;
  const std::string one = "\"one.safetensors\"";
  open_with(folder.path(), map_of(one, one, "\"two.safetensors\""));
  make_folder(folder / "blobs");
  fs::rename(folder / "two.safetensors", folder / "blobs/7f");
  fs::create_symlink("blobs/7f", folder / "two.safetensors");
  EXPECT_TRUE(WeightFiles(folder.path()).contains("c"));
  write_safetensors(folder / "model.safetensors", {{"only", at::full({1}, 2.0)}});
  EXPECT_EQ(WeightFiles(folder.path()).names(), std::vector<std::string>{"only"});
}

TEST(WeightFiles, an_index_says_which_files_there_are_and_no_more) {
  const TemporaryFolder folder;
  const fs::path& path = folder.path();
  const std::string one = "\"one.safetensors\"", two = "\"two.safetensors\"";
  EXPECT_TRUE(open_with(path, map_of(one, one, two)).warnings().empty());
  for (const auto& [index, warning] : std::vector<std::pair<std::string, std::string>>{
           {map_of(two, one, two), "does not say where to find \"a\""},
           {R"({"weight_map":{"a":)" + one + ",\"c\":" + two + "}}", "leaves out \"b\""},
           {R"({"weight_map":{"d":)" + one + ",\"c\":" + two + "}}",
            "leaves out \"a\" and 1 more"}}) {
    const WeightFiles files = open_with(path, index);
    EXPECT_EQ(files.names(), (std::vector<std::string>{"a", "b", "c"}));
    ASSERT_FALSE(files.warnings().empty()) << index;
    EXPECT_NE(files.warnings().back().find(warning), std::string::npos) << files.warnings().back();
  }
}

TEST(WeightFiles, an_index_that_names_no_set_of_files_is_refused) {
  const TemporaryFolder folder;
  const fs::path& path = folder.path();
  const std::string one = "\"one.safetensors\"", two = "\"two.safetensors\"";
  EXPECT_THAT_ERROR(open_with(path, map_of(one, one, "\"none.safetensors\"")), "No such file");
  EXPECT_THAT_ERROR(open_with(path, R"({"weight_map":{"a":)" + one + ",\"a\":" + two + "}}"),
                    "names \"a\" twice");
  EXPECT_THAT_ERROR(open_with(path, "{}"), "\"weight_map\" is missing");
  EXPECT_THAT_ERROR(open_with(path, R"({"weight_map":[]})"), "\"weight_map\" is missing");
  EXPECT_THAT_ERROR(open_with(path, R"({"weight_map":{}})"), "weight_map is empty");
  fs::copy_file(path / "two.safetensors", path / "three.safetensors");
  EXPECT_THAT_ERROR(open_with(path, map_of(one, "\"three.safetensors\"", two)), "holds the tensor");
  fs::remove(path / kIndex);
  EXPECT_THAT_ERROR(WeightFiles{path}, "rename it");
  fs::remove(path / "one.safetensors");
  fs::remove(path / "two.safetensors");
  fs::remove(path / "three.safetensors");
  EXPECT_THAT_ERROR(WeightFiles{path}, "holds no model.safetensors");
}

TEST(WeightFiles, no_shard_leads_out_of_the_folder) {
  const TemporaryFolder folder;
  make_folder(folder / "m");
  write_safetensors(folder / "x.safetensors", {{"a", at::full({1}, 2.0)}});
  for (const std::string& name :
       {std::string(R"("../x.safetensors")"), std::string(R"("./x.safetensors")"),
        "\"" + (folder / "x.safetensors").string() + "\"", std::string(R"("..")"),
        std::string(R"("sub/x.safetensors")"), std::string(R"("model.safetensors.index.json")"),
        std::string(R"("")"), std::string("7"), std::string(R"("x\u0000.safetensors")"),
        std::string(30, '[') + std::string(30, ']')}) {
    write_file(folder / "m" / kIndex, R"({"weight_map":{"a":)" + name + "}}");
    EXPECT_THAT_ERROR(WeightFiles{folder / "m"}, "no file name in this folder");
  }
  write_file(folder / "m" / kIndex, R"({"weight_map":{"a":"loop.safetensors"}})");
  fs::create_symlink("loop.safetensors", folder / "m/loop.safetensors");
  EXPECT_THAT_ERROR(WeightFiles{folder / "m"}, "symbolic links");
}

}  // namespace
}  // namespace twofour::checkpoint
