#include "twofour/text/token_file.h"

#include <fstream>
#include <numeric>

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::text {
namespace {

using testing::TemporaryFolder;

void write_tokens(const fs::path& path, int32_t vocabulary, std::vector<int32_t> ids,
                  bool with_json = true) {
  TokenFileWriter writer(path, vocabulary, "abc", with_json);
  writer.append(ids);
  writer.end_document();
  writer.commit();
}

std::vector<int64_t> all_tokens(const TokenFile& file) {
  std::vector<int64_t> tokens(static_cast<size_t>(file.size()));
  file.read(0, tokens);
  return tokens;
}

TEST(TokenFile, round_trips_in_two_and_four_bytes) {
  const TemporaryFolder folder;
  write_tokens(folder / "small.bin", 65536, {0, 1, 65535});
  write_tokens(folder / "large.bin", 65537, {0, 65536, 1});
  const TokenFile small = TokenFile::open(folder / "small.bin");
  const TokenFile large = TokenFile::open(folder / "large.bin");
  EXPECT_EQ(fs::file_size(folder / "small.bin"), 6u);
  EXPECT_EQ(fs::file_size(folder / "large.bin"), 12u);
  EXPECT_EQ(all_tokens(small), (std::vector<int64_t>{0, 1, 65535}));
  EXPECT_EQ(all_tokens(large), (std::vector<int64_t>{0, 65536, 1}));
  EXPECT_EQ(small.info().documents, 1);
  EXPECT_EQ(small.info().tokenizer_hash, "abc");
  EXPECT_EQ(small.content_hash().size(), 32u);
  EXPECT_NE(small.content_hash(), large.content_hash());
}

TEST(TokenFile, without_json_is_read_as_nanogpt) {
  const TemporaryFolder folder;
  write_tokens(folder / "a.bin", 100, {7, 8, 9}, /*with_json=*/false);
  EXPECT_FALSE(fs::exists(folder / "a.json"));
  const TokenFile file = TokenFile::open(folder / "a.bin");
  EXPECT_EQ(all_tokens(file), (std::vector<int64_t>{7, 8, 9}));
  write_tokens(folder / "b.bin", 100, {7, 8, 9});
  EXPECT_EQ(file.content_hash(), TokenFile::open(folder / "b.bin").content_hash());
  EXPECT_THAT_ERROR(TokenFileWriter(folder / "c.bin", 70000, "", false), "does not fit");
}

TEST(TokenFile, refuses_every_kind_of_damage_by_name) {
  const TemporaryFolder folder;
  const fs::path bin = folder / "a.bin", json = folder / "a.json";
  EXPECT_THAT_ERROR(TokenFile::open(bin), "No such file");
  EXPECT_THAT_ERROR(TokenFile::open(folder.path()), "it is a folder");
  write_file(bin, "");
  EXPECT_THAT_ERROR(TokenFile::open(bin), "empty");
  write_file(bin, "abc");
  EXPECT_THAT_ERROR(TokenFile::open(bin), "no whole number");
  write_tokens(bin, 100, {1, 2, 3});
  const std::string good = read_file(json);
  write_file(bin, "abcd");
  EXPECT_THAT_ERROR(TokenFile::open(bin), "holds 4 bytes, but \"a.json\" says 3 tokens");
  for (const auto& [from, to, message] : std::vector<std::array<std::string, 3>>{
           {"uint16", "uint17", "uint16 or uint32"},
           {"\"tokens\": 3", "\"tokens\": -3", "\"tokens\" must be"},
           {"\"tokens\": 3", "\"tokens\": \"3\"", "\"tokens\" must be"},
           {"\"version\": 1", "\"version\": 2", "version 2"},
           {"\"vocabulary_size\": 100", "\"vocabulary_size\": 99999999999", "too large"},
           {"{", "[", "not a JSON object"}}) {
    std::string damaged = good;
    damaged.replace(damaged.find(from), from.size(), to);
    write_file(json, damaged);
    EXPECT_THAT_ERROR(TokenFile::open(bin), message);
  }
}

TEST(TokenFile, a_full_disk_leaves_the_old_file) {
  const TemporaryFolder folder;
  write_tokens(folder / "a.bin", 100, {1, 2, 3});
  {
    const testing::FileSizeLimit full(1 << 16);
    EXPECT_THAT_ERROR(write_tokens(folder / "a.bin", 100, std::vector<int32_t>(1 << 20)), "a.bin");
  }
  EXPECT_EQ(TokenFile::open(folder / "a.bin").size(), 3);
}

}  // namespace
}  // namespace twofour::text
