#include "twofour/checkpoint/safetensors.h"

#include <cstring>

#include <gtest/gtest.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

std::string with_header(const std::string& header, const std::string& data = std::string(8, 'x')) {
  const uint64_t size = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &size, 8);
  return file + header + data;
}

TEST(Safetensors, round_trips_types_shapes_and_metadata) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  NamedTensors tensors;
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                           at::kShort, at::kChar, at::kByte, at::kBool}) {
    tensors.emplace_back(c10::toString(dtype), at::arange(6, at::kFloat).view({2, 3}).to(dtype));
  }
  tensors.emplace_back("scalar", at::zeros({}, at::kDouble));
  tensors.emplace_back("empty", at::zeros({0, 4}, at::kFloat));
  tensors.emplace_back("transposed", at::arange(6, at::kFloat).view({2, 3}).t());
  write_safetensors(path, tensors, {{"format", "pt"}});
  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(file.view(name).equal(tensor)) << name;
  EXPECT_THAT_ERROR(file.view("other"), "no tensor \"other\"");
  const std::string first = read_file(path);
  write_safetensors(path, tensors, {{"format", "pt"}});
  EXPECT_EQ(read_file(path), first) << "the bytes depend on the content only";
}

TEST(Safetensors, every_kind_of_damage_is_refused_in_one_line) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  const auto tensor = [](const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  const std::string good = tensor("F32", "[2]", "[0,8]");
  write_file(path, with_header(good));
  EXPECT_EQ(SafetensorsFile(path).entries().size(), 1u);
  std::string huge = with_header(good);
  huge[7] = '\x7f';
  for (const auto& [content, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "at least 8"},
           {"1234567", "at least 8"},
           {huge, "header should be"},
           {with_header(good).substr(0, 20), "header should be"},
           {with_header("{"), "no valid JSON"},
           {with_header("[]"), "not a JSON object"},
           {with_header(std::string(100000, '[')), "its header is nested too deeply"},
           {with_header("{\"a\":" + std::string(100000, '[')), "its header is nested too deeply"},
           {with_header(R"({"t":3})"), "lacks a dtype"},
           {with_header(R"({"__metadata__":{"a":1}})", ""), "more than text"},
           {with_header(tensor("F33", "[2]", "[0,8]")), "unknown dtype F33"},
           {with_header(tensor("F32", "[-2]", "[0,8]")), "no list of sizes"},
           {with_header(tensor("F32", "[\"2\"]", "[0,8]")), "no list of sizes"},
           {with_header(tensor("F32", "[9223372036854775807,9]", "[0,8]")), "too large"},
           {with_header(tensor("F32", "[1e999]", "[0,8]")), "number that is too large"},
           {with_header(tensor("F32", "[3]", "[0,8]")), "need 12"},
           {with_header(tensor("F32", "[2]", "[8,0]")), "ends before it begins"},
           {with_header(tensor("F32", "[2]", "[-8,0]")), "no positions"},
           {with_header(tensor("F32", "[2]", "[0.5,8]")), "no positions"},
           {with_header(tensor("F32", "[2]", "[0,8,9]")), "lacks a dtype"},
           {with_header(tensor("F32", "[2]", "[4,12]"), std::string(12, 'x')), "no tensor"},
           {with_header(good, "1234"), "ends at byte"},
           {with_header(good, std::string(9, 'x')), "follow the last tensor"},
           {with_header(R"({"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                        R"("u":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})"),
            "overlap"},
           {with_header(R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                        R"("t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})"),
            "twice"},
       }) {
    write_file(path, content);
    EXPECT_THAT_ERROR(SafetensorsFile{path}, message);
  }
  EXPECT_THAT_ERROR(SafetensorsFile{folder.path()}, "it is a folder");
  EXPECT_THAT_ERROR(SafetensorsFile{folder / "none"}, "No such file");
}

TEST(Safetensors, any_flipped_bit_of_the_header_is_survived) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  write_safetensors(path, {{"first", at::zeros({3})}, {"second", at::zeros({2, 2})}});
  const std::string good = read_file(path);
  for (size_t bit = 0; bit < 8 * (good.size() - 28); ++bit) {
    std::string damaged = good;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    testing::overwrite(path, damaged);
    try {
      const SafetensorsFile file(path);
      for (const auto& [name, entry] : file.entries()) file.view(name).sum();
    } catch (const Error& error) {
      ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace twofour::checkpoint
