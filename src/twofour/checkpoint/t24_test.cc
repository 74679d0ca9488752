#include "twofour/checkpoint/t24.h"

#include <cmath>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include "twofour/base/hash.h"
#include "twofour/base/parallel.h"
#include "twofour/checkpoint/t24_digits.h"
#include "twofour/sparse/masks.h"

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

// One byte an entry; `kept` random entries of every `group`.
std::vector<uint8_t> random_entries(int64_t entries, int64_t kept, int64_t group, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> mask(static_cast<size_t>(entries));
  for (auto first = mask.begin(); first != mask.end(); first += group) {
    std::fill(first, first + kept, uint8_t{1});
    std::shuffle(first, first + group, random);
  }
  return mask;
}

at::Tensor packed(std::vector<uint8_t> entries) {
  return sparse::packed_mask(at::from_blob(entries.data(), {static_cast<int64_t>(entries.size())},
                                           at::TensorOptions().dtype(at::kByte)));
}

T24Mask some_mask(const std::string& weight, int64_t rows, int64_t columns, int64_t kept,
                  int64_t group, uint32_t seed) {
  const at::Tensor bits = packed(random_entries(rows * columns, kept, group, seed));
  return {weight, rows, columns, kept, group, [bits] { return bits; }};
}

// Changes the file, then makes its header's checksum right again.
void rewrite(const fs::path& path, const std::function<void(std::string&)>& change) {
  std::string content = read_file(path);
  change(content);
  uint64_t header_bytes;
  std::memcpy(&header_bytes, content.data() + 16, sizeof header_bytes);
  if (header_bytes >= 16 && header_bytes <= content.size()) {
    const std::string checksum = checksum_of(content.substr(0, header_bytes - 16));
    content.replace(header_bytes - 16, 16, checksum);
  }
  testing::overwrite(path, content);
}

template <class T>
void put(std::string& content, size_t at, T value) {
  std::memcpy(content.data() + at, &value, sizeof value);
}

TEST(T24, gives_back_masks_of_every_pattern_on_any_number_of_threads) {
  const TemporaryFolder folder;
  const int threads_before = thread_count();
  std::mt19937 random(7);
  for (const auto& [kept, group] :
       {std::pair{2, 4}, {1, 4}, {3, 4}, {1, 2}, {4, 8}, {1, 16}, {2, 12}, {1, 70}, {69, 70}}) {
    const auto seed = static_cast<uint32_t>(random());
    const int64_t columns = group * static_cast<int64_t>(1 + random() % 40);
    const T24Mask small = some_mask("b", 3, columns, kept, group, seed);
    const T24Mask large = some_mask("a", 1 + 20'000 / columns, columns, kept, group, seed + 1);
    write_t24(folder / "m.t24", std::vector{small, large});
    const std::string content = read_file(folder / "m.t24");
    for (const int threads : {1, 2, 3}) {
      set_thread_count(threads);
      const T24File file(folder / "m.t24");
      ASSERT_EQ(file.entries().size(), 2u);
      for (const T24Mask& mask : {small, large}) {
        const T24File::Entry& entry = file.entries().at(mask.weight);
        EXPECT_EQ(entry.rows, mask.rows);
        EXPECT_EQ(entry.columns, mask.columns);
        EXPECT_EQ(entry.kept, kept);
        EXPECT_EQ(entry.group, group);
        EXPECT_TRUE(file.read(mask.weight).equal(mask.make()))
            << kept << ":" << group << " seed " << seed << " threads " << threads;
      }
      write_t24(folder / "again.t24", std::vector{small, large});
      EXPECT_EQ(read_file(folder / "again.t24"), content);
    }
  }
  set_thread_count(threads_before);
}

TEST(T24, takes_the_entropy_and_little_more) {
  const TemporaryFolder folder;
  for (const auto& [kept, group, most] :
       {std::tuple{2, 4, 0.654}, {1, 4, 0.501}, {1, 2, 0.501}, {4, 8, 0.801}}) {
    write_t24(folder / "m.t24", std::vector{some_mask("w", 512, 4096, kept, group, 1)});
    const double bits = 8.0 * static_cast<double>(fs::file_size(folder / "m.t24")) / (512 * 4096);
    const double entropy =
        std::log2(std::tgamma(group + 1) / std::tgamma(kept + 1) / std::tgamma(group - kept + 1)) /
        group;
    EXPECT_LT(bits, most) << kept << ":" << group;
    EXPECT_GE(bits, entropy) << kept << ":" << group;
  }
}

// The example of docs/model-format.md: 1100 1010 1001 0110 are the digits 0, 1, 2 and 3.
TEST(T24, has_the_documented_bytes) {
  const TemporaryFolder folder;
  const at::Tensor bits = packed({1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0});
  write_t24(folder / "m.t24", std::vector<T24Mask>{{"w", 2, 8, 2, 4, [=] { return bits; }}});
  std::string expected = "T24MASKS";
  const auto add = [&](auto value) {
    expected.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  add(uint32_t{1});    // version
  add(uint32_t{1});    // masks
  add(uint64_t{80});   // bytes of the header
  add(uint64_t{112});  // bytes of the file
  add(uint64_t{2});    // rows
  add(uint64_t{8});    // columns
  add(uint16_t{2});    // kept
  add(uint16_t{4});    // of a group
  add(uint32_t{1});    // bytes of the name
  expected += "w";
  expected.resize(64);
  expected += checksum_of(expected);
  const auto digits = uint64_t{0 + 6 * (1 + 6 * (2 + 6 * 3))};
  add(digits);
  add(uint64_t{0});
  expected += checksum_of(expected.substr(80));
  EXPECT_EQ(read_file(folder / "m.t24"), expected);
}

TEST(T24, refuses_every_file_that_is_cut_or_has_a_changed_byte) {
  const TemporaryFolder folder;
  write_t24(folder / "m.t24",
            std::vector{some_mask("first", 4, 16, 2, 4, 1), some_mask("second", 3, 70, 1, 70, 2)});
  const std::string sound = read_file(folder / "m.t24");
  const auto read_whole = [&] {
    const T24File file(folder / "m.t24");
    for (const auto& [name, entry] : file.entries()) file.read(name);
  };
  read_whole();
  for (size_t size = 0; size < sound.size(); ++size) {
    testing::overwrite(folder / "m.t24", sound.substr(0, size));
    EXPECT_THAT_ERROR(read_whole(), "m.t24");
  }
  for (size_t i = 0; i < sound.size(); ++i) {
    std::string changed = sound;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    testing::overwrite(folder / "m.t24", changed);
    EXPECT_THAT_ERROR(read_whole(), "m.t24");
  }
  testing::overwrite(folder / "m.t24", sound + "x");
  EXPECT_THAT_ERROR(read_whole(), "its header asks for");
}

TEST(T24, refuses_hostile_headers_before_it_allocates) {
  const TemporaryFolder folder;
  const fs::path path = folder / "m.t24";
  // The first entry begins at byte 32: rows, columns, kept, group, bytes of the name.
  const auto refuses = [&](const std::string& part,
                           const std::function<void(std::string&)>& change) {
    write_t24(path, std::vector{some_mask("aaa", 2, 8, 2, 4, 1), some_mask("bbb", 2, 8, 2, 4, 2)});
    rewrite(path, change);
    EXPECT_THAT_ERROR(T24File(path), part);
  };
  refuses("version 2 of .t24", [](auto& file) { put(file, 8, uint32_t{2}); });
  refuses("should be 18446744073709551600 bytes long",
          [](auto& file) { put(file, 16, ~uint64_t{15}); });
  refuses("should be 0 bytes long", [](auto& file) { put(file, 16, uint64_t{0}); });
  refuses("header ends inside mask 2", [](auto& file) { put(file, 12, uint32_t{3}); });
  refuses("header ends inside mask 2", [](auto& file) { put(file, 12, ~uint32_t{0}); });
  refuses("1 masks take", [](auto& file) { put(file, 12, uint32_t{1}); });
  refuses("mask of \"aaa\": its weight is 18446744073709551615 x 8, too large",
          [](auto& file) { put(file, 32, ~uint64_t{0}); });
  refuses("mask of \"aaa\" ends at byte", [](auto& file) { put(file, 32, uint64_t{1} << 50); });
  refuses("mask of \"aaa\": its weight is 0 x 8", [](auto& file) { put(file, 32, uint64_t{0}); });
  refuses("mask of \"aaa\": its groups of 4 do not divide 9 columns",
          [](auto& file) { put(file, 40, uint64_t{9}); });
  refuses("groups of 0", [](auto& file) { put(file, 50, uint16_t{0}); });
  refuses("mask of \"aaa\": the pattern", [](auto& file) { put(file, 48, uint16_t{0}); });
  refuses("mask of \"aaa\": the pattern", [](auto& file) { put(file, 48, uint16_t{4}); });
  refuses("mask of \"aaa\": the pattern",
          [](auto& file) { put(file, 50, uint16_t{8}), put(file, 48, uint16_t{8}); });
  refuses("inside the name of mask 0", [](auto& file) { put(file, 52, ~uint32_t{0}); });
  refuses("two masks of \"aaa\"", [](auto& file) { file.replace(file.find("bbb"), 3, "aaa"); });
  refuses("bytes follow the last mask", [](auto& file) {
    file.resize(file.size() + 16);
    put(file, 24, static_cast<uint64_t>(file.size()));
  });
}

TEST(T24, refuses_digits_above_the_candidates) {
  const TemporaryFolder folder;
  const fs::path path = folder / "m.t24";
  // Two integers of 49 digits, and one of 30.
  const T24Mask mask = some_mask("w", 2, 256, 2, 4, 1);
  const auto refuses = [&](size_t integer, uint64_t low, uint64_t high, bool is_refused) {
    write_t24(path, std::vector{mask});
    const T24File::Entry entry = T24File(path).entries().at("w");
    ASSERT_EQ(entry.last - entry.first, 48u);
    std::string content = read_file(path);
    put(content, entry.first + 16 * integer, low);
    put(content, entry.first + 16 * integer + 8, high);
    content.replace(entry.last, 16, checksum_of(content.substr(entry.first, 48)));
    testing::overwrite(path, content);
    if (is_refused) {
      EXPECT_THAT_ERROR(T24File(path).read("w"),
                        "digits at byte " + std::to_string(entry.first + 16 * integer));
    } else {
      EXPECT_EQ(T24File(path).read("w").numel(), 64);
    }
  };
  const auto power_of_6 = [](int exponent) {
    unsigned __int128 value = 1;
    for (int i = 0; i < exponent; ++i) value *= 6;
    return value;
  };
  for (const auto& [integer, digits] : {std::pair{0, 49}, {1, 49}, {2, 30}}) {
    const auto first_bad = power_of_6(digits), last_good = first_bad - 1;
    const auto place = static_cast<size_t>(integer);
    refuses(place, static_cast<uint64_t>(last_good), static_cast<uint64_t>(last_good >> 64), false);
    refuses(place, static_cast<uint64_t>(first_bad), static_cast<uint64_t>(first_bad >> 64), true);
    refuses(place, ~uint64_t{0}, ~uint64_t{0}, true);
  }
}

TEST(T24, refuses_to_write_what_it_cannot_hold_and_leaves_no_file) {
  const TemporaryFolder folder;
  const fs::path path = folder / "m.t24";
  const auto refuses = [&](const std::vector<T24Mask>& masks, const std::string& part) {
    EXPECT_THAT_ERROR(write_t24(path, masks), part);
    EXPECT_FALSE(fs::exists(path));
  };
  const T24Mask sound = some_mask("w", 3, 8, 2, 4, 1);
  refuses({sound, sound}, "the mask of \"w\": it is there twice");
  auto entries = random_entries(24, 2, 4, 1);
  entries[12] = entries[13] = entries[14] = 1;
  const at::Tensor three = packed(entries);
  refuses({{"w", 3, 8, 2, 4, [=] { return three; }}}, "\"w\": row 1, columns 4 to 7 are not 2:4");
  refuses({{"w", 3, 8, 2, 4, [] { return at::zeros({2}, at::kByte); }}}, "\"w\": it has 2 bytes");
  refuses({{"w", 3, 8, 2, 5, sound.make}}, "\"w\": its groups of 5 do not divide");
  refuses({{"w", 3, 10, 5, 10, sound.make}}, "the mask of \"w\": the pattern 5:10");
}

}  // namespace
}  // namespace twofour::checkpoint
