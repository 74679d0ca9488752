#include "twofour/checkpoint/mask_files.h"

#include <gtest/gtest.h>

#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>

#include "twofour/checkpoint/npz.h"

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

const WeightShapes kShapes = {{"h.0.weight", {6, 8}}, {"h.1.weight", {3, 4}}};

NamedTensors some_masks() {
  const at::Tensor first = at::randint(0, 256, {6}, at::kByte);
  const at::Tensor second = at::full({2}, 0xa0, at::kByte);
  return {{"h.0.weight", first}, {"h.1.weight", second}};
}

// 2:4 and 1:4.
NamedTensors grouped_masks() {
  const at::Tensor first = at::full({6}, 0xc6, at::kByte);
  const at::Tensor second = at::full({2}, 0x84, at::kByte);
  second.select(0, 1).fill_(0x20);
  return {{"h.0.weight", first}, {"h.1.weight", second}};
}

TEST(MaskFiles, both_kinds_hold_every_bit) {
  const TemporaryFolder folder;
  const NamedTensors masks = some_masks();
  write_masks(folder / "masks.safetensors", masks, kShapes);
  write_masks(folder / "a.npz", read_masks(folder.path(), kShapes), kShapes);
  const NamedTensors read = read_masks(folder / "a.npz", kShapes);
  ASSERT_EQ(read.size(), masks.size());
  for (size_t i = 0; i < masks.size(); ++i) {
    EXPECT_EQ(read[i].first, masks[i].first);
    EXPECT_TRUE(read[i].second.equal(masks[i].second));
  }
  write_masks(folder / "again.safetensors", read, kShapes);
  EXPECT_EQ(read_file(folder / "again.safetensors"), read_file(folder / "masks.safetensors"));
}

TEST(MaskFiles, give_the_shapes_of_their_weights_or_the_bits_that_they_have) {
  const TemporaryFolder folder;
  write_masks(folder / "masks.safetensors", some_masks(), kShapes);
  write_masks(folder / "a.npz", some_masks(), kShapes);
  EXPECT_EQ(shapes_in_mask_file(folder / "masks.safetensors"), kShapes);
  EXPECT_EQ(shapes_in_mask_file(folder / "a.npz"),
            (WeightShapes{{"h.0.weight", {48}}, {"h.1.weight", {16}}}));
  const NamedTensors arrays = {{"h.0.weight.mask", at::zeros({6}, at::kByte)}};
  for (const char* shape :
       {"", "6, 8", "[6]", "[6, -8]", "[6, 8.0]", "[6, [8]]", "[6, 8000000000]"}) {
    write_safetensors(folder / "b.safetensors", arrays, {{"h.0.weight.mask", shape}});
    EXPECT_THAT_ERROR(shapes_in_mask_file(folder / "b.safetensors"), "in its metadata is");
  }
}

TEST(MaskFiles, every_format_becomes_every_other) {
  const TemporaryFolder folder;
  const NamedTensors masks = grouped_masks();
  const auto file = [&](const std::string& ending) { return folder / ("m" + ending); };
  const std::vector<std::string> endings = {".t24", ".npz", ".safetensors"};
  for (const std::string& from : endings) {
    for (const std::string& to : endings) {
      write_masks(file(from), masks, kShapes);
      write_masks(file(to), read_masks(file(from), kShapes), kShapes);
      const NamedTensors read = read_masks(file(to), kShapes);
      ASSERT_EQ(read.size(), masks.size());
      for (size_t i = 0; i < masks.size(); ++i) {
        EXPECT_EQ(read[i].first, masks[i].first);
        EXPECT_TRUE(read[i].second.equal(masks[i].second)) << from << " to " << to;
      }
    }
  }
  EXPECT_EQ(shapes_in_mask_file(file(".t24")), kShapes);
  fs::rename(file(".t24"), folder / "renamed.safetensors");
  EXPECT_EQ(mask_format_of(folder / "renamed.safetensors"), MaskFormat::kT24);
  EXPECT_EQ(read_masks(folder / "renamed.safetensors", kShapes).size(), 2u);
}

TEST(MaskFiles, t24_refuses_by_name_and_place) {
  const TemporaryFolder folder;
  const auto refuses = [&](int value, int last, const std::string& part) {
    const at::Tensor mask = at::full({6}, value, at::kByte);
    mask.select(0, 5).fill_(last);
    EXPECT_THAT_ERROR(write_masks(folder / "m.t24", {{"h.0.weight", mask}}, kShapes),
                      "the mask of \"h.0.weight\" is not N:M: " + part);
    EXPECT_FALSE(fs::exists(folder / "m.t24"));
  };
  // 1100 0110 in five rows, and in the last one 1100 1110.
  refuses(0xc6, 0xce, "in row 5, columns 4 to 7 keep 3 of 4, the groups before 2; .safetensors");
  refuses(0xff, 0xff, "it keeps every entry");
  refuses(0, 0, "it keeps no entry");
  write_masks(folder / "m.t24", grouped_masks(), kShapes);
  WeightShapes other = kShapes;
  other["h.1.weight"] = {4, 3};
  EXPECT_THAT_ERROR(read_masks(folder / "m.t24", other), "is for [3, 4], but the weight is [4, 3]");
  other.erase("h.1.weight");
  EXPECT_THAT_ERROR(read_masks(folder / "m.t24", other), "no such weight");
}

TEST(MaskFiles, the_kind_follows_from_the_content) {
  const TemporaryFolder folder;
  write_masks(folder / "a.npz", some_masks(), kShapes);
  fs::rename(folder / "a.npz", folder / "a.safetensors");
  EXPECT_EQ(read_masks(folder / "a.safetensors", kShapes).size(), 2u);
  write_file(folder / "empty.npz", "");
  EXPECT_THAT_ERROR(read_masks(folder / "empty.npz", kShapes), "no sound zip archive");
}

TEST(MaskFiles, a_mask_that_does_not_fit_its_weight_is_refused_by_name) {
  const TemporaryFolder folder;
  const at::Tensor six = at::zeros({6}, at::kByte);
  const auto read_both = [&](const std::string& name, const at::Tensor& array,
                             const std::string& message, const Metadata& metadata = {}) {
    write_safetensors(folder / "a.safetensors", NamedTensors{{name, array}}, metadata);
    EXPECT_THAT_ERROR(read_masks(folder / "a.safetensors", kShapes), message);
    if (!metadata.empty()) return;
    write_npz(folder / "a.npz", {{name, array}});
    EXPECT_THAT_ERROR(read_masks(folder / "a.npz", kShapes), message);
  };
  read_both("h.0.weight", six, "\"h.0.weight\" is no mask");
  read_both("h.2.weight.mask", six, "no such weight");
  read_both("h.0.weight.mask", at::zeros({7}, at::kByte), "the weight's 48 entries need 6 bytes");
  read_both("h.0.weight.mask", at::zeros({5}, at::kByte), "\"h.0.weight\" is Byte [5]");
  read_both("h.0.weight.mask", at::zeros({6}, at::kFloat), "is Float [6]");
  read_both("h.1.weight.mask", at::full({2}, 0x18, at::kByte), "bits behind");
  read_both("h.0.weight.mask", six, "is for [8, 6], but the weight is [6, 8]",
            {{"h.0.weight.mask", "[8, 6]"}});
  EXPECT_THAT_ERROR(read_masks(folder / "none", kShapes), "No such file");
  EXPECT_THAT_ERROR(
      write_masks(folder / "b.npz", {{"h.0.weight", at::zeros({5}, at::kByte)}}, kShapes),
      "need 6 bytes");
}

}  // namespace
}  // namespace twofour::checkpoint
