#include "twofour/text/input.h"

#include <random>

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "twofour/base/file.h"

#include "testing.h"

namespace twofour::text {
namespace {

using testing::TemporaryFolder;

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// With a checksum, which ZSTD_compress leaves out. `window_log` 0: as the content needs it.
std::string zstd(const std::string& text, int window_log = 0, int checksum = 1) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, checksum);
  if (window_log > 0) {
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  }
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  // The first piece without the end, so that the size is not known to the frame.
  if (window_log > 0) ZSTD_compressStream2(context, &output, &input, ZSTD_e_continue);
  EXPECT_EQ(ZSTD_compressStream2(context, &output, &input, ZSTD_e_end), 0u);
  ZSTD_freeCCtx(context);
  return out.substr(0, output.pos);
}

class InputTest : public ::testing::Test {
 protected:
  // The text of a file with this content, read in pieces of `piece` bytes.
  std::string text_of(const std::string& content, size_t piece = 1 << 16,
                      const char* name = "a.txt") {
    testing::overwrite(folder_ / name, content);
    Input input(folder_ / name);
    std::string text, buffer(piece, '\0');
    for (size_t got; (got = input.read(buffer)) > 0;) text.append(buffer, 0, got);
    return text;
  }
  static std::string random_text(size_t size, uint32_t seed) {
    std::mt19937 random(seed);
    std::string text;
    while (text.size() < size) text += "word " + std::to_string(random() % 1000) + '\n';
    return text;
  }
  TemporaryFolder folder_;
};

TEST_F(InputTest, the_content_decides_and_not_the_name) {
  for (const char* name : {"a.txt", "a.gz", "a.zst", "a.jsonl.zst", "a"}) {
    EXPECT_EQ(text_of("plain", 16, name), "plain") << name;
    EXPECT_EQ(text_of(gzip("gzip"), 16, name), "gzip") << name;
    EXPECT_EQ(text_of(zstd("zstd"), 16, name), "zstd") << name;
    EXPECT_EQ(text_of("", 16, name), "") << name;
  }
  write_file(folder_ / "x.JSONL.Zst", zstd("a"));
  EXPECT_EQ(Input(folder_ / "x.JSONL.Zst").suffix(), ".jsonl");
  EXPECT_EQ(Input(folder_ / "a.gz").suffix(), "");
}

TEST_F(InputTest, members_frames_padding_and_skippable_frames_follow_each_other) {
  const std::string text = random_text(300000, 1);
  const std::string half = text.substr(0, 100001), rest = text.substr(100001);
  const std::string skippable("\x5a\x2a\x4d\x18\x03\0\0\0abc", 11);
  for (const size_t piece : {1, 7, 1 << 16}) {
    EXPECT_EQ(text_of(gzip(half) + gzip("") + gzip(rest), piece), text);
    EXPECT_EQ(text_of(gzip(half) + std::string(70000, '\0') + gzip(rest), piece), text);
    EXPECT_EQ(text_of(gzip(text) + std::string(512, '\0'), piece), text);
    EXPECT_EQ(text_of(gzip(text) + "garbage", piece), text) << "which gzip ignores";
    EXPECT_EQ(text_of(zstd(half) + zstd("") + skippable + zstd(rest), piece), text);
    EXPECT_EQ(text_of(skippable + zstd(text, 27), piece), text);
    // Without a checksum nothing follows the last block, whose text may wait for room.
    EXPECT_EQ(text_of(zstd(half, 0, /*checksum=*/0), piece), half);
  }
}

TEST_F(InputTest, zstd_windows_up_to_2_gib) {
  const std::string text = random_text(100000, 2);
  for (const int log : {10, 20, 27, 28, 31}) EXPECT_EQ(text_of(zstd(text, log)), text) << log;
  std::string larger = zstd(text, 31);
  larger[5] = static_cast<char>(larger[5] | 1);  // the mantissa: 2^31 + 2^28
  EXPECT_THAT_ERROR(text_of(larger), "needs a window of more than 2 GiB");
}

TEST_F(InputTest, damage_is_named_by_its_kind) {
  const std::string text = random_text(100000, 3), packed = zstd(text), zipped = gzip(text);
  for (size_t size = 5; size < 400; size += 13) {
    EXPECT_THAT_ERROR(text_of(packed.substr(0, size)), "zstd data ends early");
    EXPECT_THAT_ERROR(text_of(zipped.substr(0, size)), "gzip data ends early");
  }
  const auto with_flipped = [](std::string content, size_t at) {
    content[at] = static_cast<char>(content[at] ^ 0x10);
    return content;
  };
  EXPECT_THAT_ERROR(text_of(with_flipped(packed, packed.size() - 1)), "a checksum does not hold");
  EXPECT_THAT_ERROR(text_of(with_flipped(zipped, zipped.size() - 6)), "incorrect data check");
  EXPECT_THAT_ERROR(text_of(with_flipped(zipped, zipped.size() - 1)), "incorrect length check");
  EXPECT_THAT_ERROR(text_of(with_flipped(zipped, 2)), "unknown compression method");
  EXPECT_THAT_ERROR(text_of(packed + "garbage"), "followed by bytes that are no zstd data");
  EXPECT_THAT_ERROR(text_of(packed + packed.substr(0, 3)), "ends early");
  EXPECT_THAT_ERROR(text_of(zipped + zipped.substr(0, 3)), "ends early");
  std::mt19937 random(4);
  for (int i = 0; i < 300; ++i) {
    const size_t at = random() % packed.size();
    try {
      EXPECT_EQ(text_of(with_flipped(packed, at)), text) << "or an error, byte " << at;
    } catch (const Error&) {
    }
  }
}

TEST_F(InputTest, a_dictionary_is_asked_for) {
  // A frame whose header names the dictionary 5 (RFC 8878, 3.1.1.1), with one raw block.
  const std::string frame("\x28\xb5\x2f\xfd\x21\x05\x05\x29\0\0hello", 15);
  EXPECT_THAT_ERROR(text_of(frame), "needs the dictionary");
}

TEST_F(InputTest, other_compressions_archives_and_encodings_are_refused_with_the_remedy) {
  using namespace std::string_literals;
  std::string tar = "name" + std::string(253, '\0') + "ustar\0"s;
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"BZh91AY&SY\1\2\3", "bzip2 -dc FILE | twofour"},
      {"\xfd"
       "7zXZ\0\0"s,
       "xz -dc FILE"},
      {"\x1f\x9d\x90", "compress is not supported"},
      {"PK\3\4", "unzip -p FILE"},
      {"PAR1", "Parquet is not supported"},
      {"ARROW1\0\0\xff\xff\xff\xff"s, "Arrow is not supported: write it as JSON lines"},
      {"\xff\xff\xff\xff\x10\1\0\0"s, "Arrow (a stream) is not supported"},
      {tar, "it is a tar archive"},
      {gzip(tar), "it is a tar archive"},
      {gzip(gzip("text")), "it is compressed twice"},
      {"\xff\xfe"
       "a\0b\0"s,
       "it is UTF-16"},
      {"\xfe\xff\0a"s, "iconv -f UTF-16 -t UTF-8"},
      {"{\0\"\0t\0"s, "it is UTF-16"},
      {"\0a\0b"s, "it is UTF-16"},
      {"\xff\xfe\0\0a\0\0\0"s, "it is UTF-32"},
      {gzip("a\0\0\0b\0\0\0"s), "it is UTF-32"},
  };
  for (const auto& [content, message] : kinds) EXPECT_THAT_ERROR(text_of(content), message);
  for (const char* text :
       {"BZh", "BZh9 is a beginning", "LZIP is one too", "PK", "ARROW1", "\xef\xbb\xbf"}) {
    EXPECT_EQ(text_of(text), text[0] == '\xef' ? "" : text);
  }
}

}  // namespace
}  // namespace twofour::text
