#include "twofour/checkpoint/npz.h"

#include <cstring>

#include <gtest/gtest.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include "twofour/checkpoint/zip_sink.h"

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

// An archive with one stored member.
std::string archive(const TemporaryFolder& folder, const std::string& name,
                    const std::string& content) {
  AtomicFile file(folder / "archive");
  ZipSink sink(file);
  sink.add(name, {content}, false);
  sink.finish();
  file.commit();
  return read_file(folder / "archive");
}

// Sets the compression method and the sizes in both headers of the only member.
std::string claim(std::string archive, uint16_t method, uint32_t size) {
  const size_t directory = archive.rfind("PK\1\2");
  for (const size_t at : {size_t{8}, directory + 10}) std::memcpy(&archive[at], &method, 2);
  for (const size_t at : {size_t{22}, directory + 24}) std::memcpy(&archive[at], &size, 4);
  return archive;
}

std::string npy(const std::string& dictionary, const std::string& data, int version = 1) {
  std::string header = "\x93NUMPY";
  header += {static_cast<char>(version), '\0'};
  const size_t size = dictionary.size();
  header += {static_cast<char>(size & 255), static_cast<char>(size >> 8)};
  if (version > 1) header += std::string(2, '\0');
  return header + dictionary + data;
}

std::string dictionary(const std::string& descr, const std::string& order,
                       const std::string& shape) {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

NpzFile open_with(const TemporaryFolder& folder, const std::string& content,
                  const std::string& name = "a.npy") {
  write_file(folder / "a.npz", archive(folder, name, content));
  return NpzFile(folder / "a.npz");
}

TEST(Npz, round_trips_types_and_shapes_stored_and_deflated) {
  const TemporaryFolder folder;
  NamedTensors arrays;
  for (const auto dtype : {at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kHalf,
                           at::kFloat, at::kDouble}) {
    arrays.emplace_back(c10::toString(dtype), at::arange(6, at::kFloat).view({2, 3}).to(dtype));
  }
  arrays.emplace_back("model.layers.0.weight.mask", at::arange(100'000, at::kLong));
  arrays.emplace_back("scalar", at::zeros({}, at::kDouble));
  arrays.emplace_back("empty", at::zeros({0, 4}, at::kFloat));
  arrays.emplace_back("transposed", at::arange(6, at::kFloat).view({2, 3}).t());
  for (const bool deflate : {false, true}) {
    write_npz(folder / "a.npz", arrays, deflate);
    const NpzFile file(folder / "a.npz");
    ASSERT_EQ(file.entries().size(), arrays.size());
    for (const auto& [name, array] : arrays) EXPECT_TRUE(file.read(name).equal(array)) << name;
    const std::string first = read_file(folder / "a.npz");
    write_npz(folder / "a.npz", arrays, deflate);
    EXPECT_EQ(read_file(folder / "a.npz"), first) << "the bytes depend on the content only";
    EXPECT_THAT_ERROR(file.read("other"), "no array \"other\"");
  }
}

TEST(Npz, an_archive_may_be_empty) {
  const TemporaryFolder folder;
  write_npz(folder / "a.npz", {});
  EXPECT_TRUE(NpzFile(folder / "a.npz").entries().empty());
}

TEST(Npz, time_stamps_are_always_the_same) {
  const TemporaryFolder folder;
  write_npz(folder / "a.npz", {{"a", at::zeros({3})}});
  // In both headers: the time 0, then 1 January 1980.
  const std::string content = read_file(folder / "a.npz"), stamp("\0\0\x21\0", 4);
  EXPECT_EQ(content.substr(10, 4), stamp);
  EXPECT_EQ(content.substr(content.rfind("PK\1\2") + 12, 4), stamp);
}

TEST(Npz, headers_of_every_version_and_order_are_read) {
  const TemporaryFolder folder;
  const std::string fields = dictionary("'<i2'", "True", "(2, 3)");
  const std::string data("\1\0\4\0\2\0\5\0\3\0\6\0", 12);  // column by column
  for (int version = 1; version <= 3; ++version) {
    const NpzFile file = open_with(folder, npy(fields, data, version));
    EXPECT_TRUE(file.read("a").equal(at::arange(1, 7, at::kShort).view({2, 3}))) << version;
  }
}

TEST(Npz, every_kind_of_damage_to_a_header_is_refused_in_one_line) {
  const TemporaryFolder folder;
  const std::string byte = "x";
  EXPECT_EQ(open_with(folder, npy(dictionary("'|u1'", "False", "(1,)"), byte)).entries().size(),
            1u);
  std::string long_header = npy(dictionary("'|u1'", "False", "(1,)"), byte, 2);
  long_header[11] = '\x7f';
  std::string version = npy(dictionary("'|u1'", "False", "(1,)"), byte);
  version[6] = 4;
  for (const auto& [content, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "ends inside its header"},
           {"short", "ends inside its header"},
           {"no numpy at all", "is no NumPy array"},
           {version, "NumPy's format 4.0"},
           {long_header, "expected at most"},
           {npy(dictionary("'|u1'", "False", "(1,)"), byte).substr(0, 40),
            "ends inside its header"},
           {npy(dictionary("'>i4'", "False", "(1,)"), byte), "dtype '>i4'"},
           {npy(dictionary("'|O'", "False", "(1,)"), byte), "dtype '|O'"},
           {npy(dictionary("[('a', '<i4')]", "False", "(1,)"), byte), "without a quoted word"},
           {npy(dictionary("'|u1'", "0", "(1,)"), byte), "neither True nor False"},
           {npy(dictionary("'|u1'", "False", "(-1,)"), byte), "no tuple of sizes"},
           {npy(dictionary("'|u1'", "False", "(1)"), byte), "no tuple of sizes"},
           {npy(dictionary("'|u1'", "False", "1"), byte), "without '('"},
           {npy(dictionary("'|u1'", "False", "(9999999999999999999,)"), byte), "no tuple of sizes"},
           {npy(dictionary("'|u1'", "False", "(4294967296, 4294967296)"), byte), "too large"},
           {npy(dictionary("'|u1'", "False", "(0, 4294967296, 4294967296)"), ""), "too large"},
           {npy(dictionary("'|u1'", "False", "(2,)"), byte), "shape need"},
           {npy(dictionary("'|u1'", "False", "(1000000000000,)"), byte), "shape need"},
           {npy("{'descr': '|u1', 'shape': (1,), }", byte), "once each"},
           {npy("{'descr': '|u1', 'descr': '|u1', 'shape': (1,), }", byte), "once each"},
           {npy("{'other': 1, }", byte), "unknown entry 'other'"},
           {npy("('|u1', False, (1,))      ", byte), "without '{'"},
           {npy(dictionary("'|u1'", "False", "(1,)") + " + 1", byte), "after its dictionary"},
       }) {
    EXPECT_THAT_ERROR(open_with(folder, content), message);
  }
}

TEST(Npz, a_damaged_archive_is_refused_in_one_line) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.npz";
  const std::string good = npy(dictionary("'|u1'", "False", "(1000000000,)"), "x");
  EXPECT_THAT_ERROR(open_with(folder, good, "a.txt"), "member \"a.txt\" is no .npy array");
  const std::string sound = archive(folder, "a.npy", good);
  write_file(path, claim(sound, 0, 1'000'000'000));
  EXPECT_THAT_ERROR(NpzFile{path}, "claims 1000000000 bytes");
  write_file(path, claim(sound, 8, 1'000'000'000));
  EXPECT_THAT_ERROR(NpzFile{path}, "claims 1000000000 bytes");
  write_file(path, claim(sound, 12, static_cast<uint32_t>(good.size())));
  EXPECT_THAT_ERROR(NpzFile{path}, "another way than deflate");
  EXPECT_THAT_ERROR(NpzFile{folder / "none"}, "No such file");
  EXPECT_THAT_ERROR(NpzFile{folder.path()}, "it is a folder");
  for (const char* content : {"", "PK", "not a zip archive at all, but long enough to be one"}) {
    write_file(path, content);
    EXPECT_THAT_ERROR(NpzFile{path}, "no sound zip archive");
  }
}

// Every read either returns the array or throws; a flipped bit of the data is always found.
TEST(Npz, any_flipped_bit_is_survived_and_none_changes_a_value) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.npz";
  const at::Tensor values = at::arange(20, at::kByte);
  for (const bool deflate : {false, true}) {
    write_npz(path, {{"first", values}, {"second", values}}, deflate);
    const std::string good = read_file(path);
    for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
      std::string damaged = good;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
      testing::overwrite(path, damaged);
      try {
        const NpzFile file(path);
        for (const auto& [name, entry] : file.entries()) {
          EXPECT_TRUE(file.read(name).flatten().equal(values)) << name << " bit " << bit;
        }
      } catch (const Error& error) {
        ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      }
    }
  }
}

TEST(Npz, a_full_disk_leaves_the_older_file) {
  const TemporaryFolder folder;
  write_npz(folder / "a.npz", {{"a", at::zeros({3})}});
  const std::string before = read_file(folder / "a.npz");
  {
    const testing::FileSizeLimit full(1 << 16);
    EXPECT_THAT_ERROR(write_npz(folder / "a.npz", {{"a", at::zeros({1 << 20})}}), "cannot write");
  }
  EXPECT_EQ(read_file(folder / "a.npz"), before);
  EXPECT_THAT_ERROR(write_npz(folder / "a.npz", {{"a", at::zeros({3})}, {"a", at::zeros({3})}}),
                    "\"a.npy\"");
}

}  // namespace
}  // namespace twofour::checkpoint
