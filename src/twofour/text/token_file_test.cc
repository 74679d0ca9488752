#include "twofour/text/token_file.h"

#include <cstring>
#include <fstream>
#include <random>

#include <gtest/gtest.h>

#include "twofour/base/hash.h"

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

// llm.c's data_common.py: 256 int32, of which the first three say magic, version, number of ids.
std::string llmc(int32_t magic, int32_t version, int32_t count, const std::string& ids) {
  std::string out(1024, '\0');
  const int32_t header[] = {magic, version, count};
  std::memcpy(out.data(), header, sizeof(header));
  return out + ids;
}

TEST(TokenFile, reads_llmc_files_of_both_widths_and_refuses_what_only_looks_like_them) {
  const TemporaryFolder folder;
  const fs::path bin = folder / "a.bin";
  write_file(bin, llmc(20240520, 1, 2, std::string("\1\0\xff\0", 4)));
  TokenFile two = TokenFile::open(bin);
  EXPECT_EQ(all_tokens(two), (std::vector<int64_t>{1, 255}));
  EXPECT_THAT_ERROR(two.check(255), "token 1 (byte 1026) is the id 255");
  write_tokens(folder / "b.bin", 256, {1, 255});
  two.check(256);
  EXPECT_EQ(two.content_hash(), TokenFile::open(folder / "b.bin").content_hash());
  write_file(bin, llmc(20240801, 7, 1, std::string("\1\0\1\0", 4)));
  EXPECT_EQ(all_tokens(TokenFile::open(bin)), (std::vector<int64_t>{65537}));
  write_file(bin, llmc(20240520, 1, 3, "1234"));
  EXPECT_THAT_ERROR(TokenFile::open(bin), "says 3 tokens of 2 bytes, but 4 bytes follow");
  write_file(bin, llmc(20240520, 2, 2, "1234"));
  EXPECT_THAT_ERROR(TokenFile::open(bin), "unknown version 2");
  write_file(bin, llmc(20240522, 1, 2, "1234"));
  EXPECT_THAT_ERROR(TokenFile::open(bin), "multiple-choice");
  write_file(bin, "\x93NUMPY\1");
  EXPECT_THAT_ERROR(TokenFile::open(bin), "it is a NumPy array");
}

// A file of zeros but for the id `id` at two places, without memory or room on the disk for them.
void write_zeros_and(const fs::path& bin, size_t count, int bytes, int32_t id,
                     std::initializer_list<size_t> places) {
  testing::overwrite(bin, "");
  fs::resize_file(bin, count * static_cast<size_t>(bytes));
  std::fstream file(bin, std::ios::binary | std::ios::in | std::ios::out);
  for (const size_t at : places) {
    file.seekp(static_cast<std::streamoff>(at) * bytes);
    file.write(reinterpret_cast<const char*>(&id), bytes);
  }
  testing::overwrite(
      token_info_path(bin),
      fmt::format("{{\"version\":1,\"tokens\":{},\"dtype\":\"uint{}\",\"documents\":1,"
                  "\"vocabulary_size\":9}}",
                  count, 8 * bytes));
}

TEST(TokenFile, check_names_the_first_id_beyond_the_vocabulary_wherever_it_is) {
  const TemporaryFolder folder;
  const fs::path bin = folder / "a.bin";
  const size_t count = (size_t{33} << 20) + 3;  // more than one block
  for (const auto& [bytes, vocabulary] : {std::pair{2, 65535}, std::pair{4, 70000}}) {
    for (const size_t at : {size_t{0}, size_t{12345}, size_t{16} << 20, count - 1}) {
      write_zeros_and(bin, count, bytes, vocabulary, {at, std::min(at + 5, count - 1)});
      TokenFile file = TokenFile::open(bin);
      EXPECT_NO_THROW(file.check(vocabulary + 1));
      EXPECT_THAT_ERROR(file.check(vocabulary),
                        fmt::format("token {} (byte {}) is the id {}, but the vocabulary has {}",
                                    at, at * static_cast<size_t>(bytes), vocabulary, vocabulary));
    }
  }
}

TEST(TokenFile, check_notices_a_bin_that_was_changed_beside_its_json) {
  const TemporaryFolder folder;
  const fs::path bin = folder / "a.bin", json = folder / "a.json";
  write_tokens(bin, 100, {1, 2, 3});
  const std::string old_hash = TokenFile::open(bin).content_hash();
  write_file(bin, std::string("\1\0\2\0\4\0", 6));
  TokenFile changed = TokenFile::open(bin);
  EXPECT_THAT_ERROR(changed.check(100), "it was changed after \"a.json\" was written");
  std::string without_hash = read_file(json);
  without_hash.replace(without_hash.find(old_hash), old_hash.size(), "");
  write_file(json, without_hash);
  TokenFile old_kind = TokenFile::open(bin);
  EXPECT_NO_THROW(old_kind.check(100));
  EXPECT_EQ(old_kind.content_hash(), hash_of(std::string("\1\0\2\0\4\0", 6)));
}

TEST(TokenFile, uint32_ids_without_a_json_are_no_uint16_ids) {
  const TemporaryFolder folder;
  const fs::path bin = folder / "a.bin";
  std::vector<uint32_t> ids(2000);
  std::mt19937 random(7);
  const auto check = [&](uint32_t vocabulary) {
    for (uint32_t& id : ids) id = random() % vocabulary;
    write_file(bin, {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(uint32_t)});
    TokenFile file = TokenFile::open(bin);
    file.check(1 << 16);
  };
  EXPECT_THAT_ERROR(check(50257), "seem to be uint32");
  EXPECT_THAT_ERROR(check(128256), "seem to be uint32");
  ids.resize(64);
  EXPECT_THAT_ERROR(check(50257), "seem to be uint32");
  EXPECT_NO_THROW(check(20)) << "uint16 ids of a vocabulary so small are possible";
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
