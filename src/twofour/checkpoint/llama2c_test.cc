#include "twofour/checkpoint/llama2c.h"

#include <cstring>

#include <gtest/gtest.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

Llama2cHeader small_header(bool tied) {
  return {.dim = 16,
          .hidden_dim = 24,
          .layers = 2,
          .heads = 4,
          .kv_heads = 2,
          .vocabulary = 11,
          .context = 6,
          .tied = tied};
}

// Every tensor of a small model, in the writer's order.
std::map<std::string, at::Tensor> write_small(const fs::path& path, bool tied) {
  std::map<std::string, at::Tensor> tensors;
  write_llama2c(path, small_header(tied), [&](const std::string& name) {
    const bool is_norm = name.find("norm") != std::string::npos;
    int64_t rows = 16, columns = 16;
    if (name.find("k_proj") != std::string::npos || name.find("v_proj") != std::string::npos)
      rows = 8;
    if (name.find("gate") != std::string::npos || name.find("up_") != std::string::npos) rows = 24;
    if (name.find("down") != std::string::npos) columns = 24;
    if (name.find("embed") != std::string::npos || name.find("head") != std::string::npos)
      rows = 11;
    return tensors[name] = is_norm ? at::randn({16}) : at::randn({rows, columns});
  });
  return tensors;
}

TEST(Llama2c, round_trips_every_bit_tied_or_not) {
  const TemporaryFolder folder;
  for (const bool tied : {true, false}) {
    const auto written = write_small(folder / "a.bin", tied);
    EXPECT_EQ(written.count("lm_head.weight"), tied ? 0u : 1u);
    EXPECT_TRUE(is_llama2c(folder / "a.bin"));
    const Llama2cFile file(folder / "a.bin");
    EXPECT_EQ(file.header(), small_header(tied));
    ASSERT_EQ(file.names().size(), written.size());
    for (const auto& [name, tensor] : written) {
      EXPECT_TRUE(file.tensor(name).equal(tensor)) << name;
      file.release(name);
      EXPECT_TRUE(file.tensor(name).equal(tensor)) << name << " after its pages were let go";
    }
    EXPECT_THAT_ERROR(file.tensor("cos"), "no tensor \"cos\"");
  }
}

// In a head of size 4, rows (0, 1) and (2, 3) are pairs; Hugging Face has them at (0, 2), (1, 3).
TEST(Llama2c, rotary_rows_change_between_interleaved_and_half_split) {
  const TemporaryFolder folder;
  const at::Tensor rows = at::arange(16, at::kFloat).view({16, 1}).expand({16, 16});
  write_llama2c(folder / "a.bin", small_header(true), [&](const std::string& name) {
    if (name.find("q_proj") != std::string::npos) return rows;
    const bool is_norm = name.find("norm") != std::string::npos;
    if (is_norm) return at::randn({16});
    if (name.find("embed") != std::string::npos) return at::randn({11, 16});
    if (name.find("k_proj") != std::string::npos || name.find("v_proj") != std::string::npos) {
      return at::randn({8, 16});
    }
    if (name.find("down") != std::string::npos) return at::randn({16, 24});
    return name.find("mlp") != std::string::npos ? at::randn({24, 16}) : at::randn({16, 16});
  });
  const std::string content = read_file(folder / "a.bin");
  const size_t q = 28 + 4 * (11 * 16 + 2 * 16);
  std::vector<float> first_column(16);
  for (size_t i = 0; i < 16; ++i) std::memcpy(&first_column[i], &content[q + 64 * i], 4);
  EXPECT_EQ(first_column,
            (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15}));
}

TEST(Llama2c, models_of_llama2c_itself_are_written_again_byte_for_byte) {
  SKIP_WITHOUT_SHARED();
  const TemporaryFolder folder;
  for (const char* name : {"stories260K/stories260K.bin", "babyllama-tok105/model5000.bin"}) {
    const fs::path path = testing::shared_folder() / "data/models" / name;
    const Llama2cFile file(path);
    write_llama2c(folder / "again.bin", file.header(),
                  [&](const std::string& tensor) { return file.tensor(tensor); });
    EXPECT_EQ(read_file(folder / "again.bin"), read_file(path)) << name;
  }
}

// The same tensors in the order of export.py's version 1.
TEST(Llama2c, version_1_holds_the_same_tensors) {
  const TemporaryFolder folder;
  for (const bool tied : {true, false}) {
    const auto tensors = write_small(folder / "a.bin", tied);
    const Llama2cFile old(folder / "a.bin");
    std::string content = "24ka";
    const std::vector<int32_t> words = {1, 16, 24, 2, 4, 2, 11, 6};
    content.append(reinterpret_cast<const char*>(words.data()), 32);
    content += static_cast<char>(tied);
    content.resize(256);
    const std::string body = read_file(folder / "a.bin").substr(28);
    const auto copy = [&](size_t first_float, size_t floats) {
      content += body.substr(4 * first_float, 4 * floats);
    };
    const size_t embedding = 11 * 16, norms = 2 * 16, attention = 2 * (2 * 16 * 16 + 2 * 8 * 16);
    const size_t feed_forward = 2 * 3 * 24 * 16, tables = 6 * 4;
    const size_t second_norms = embedding + norms + attention;
    const size_t last_norm = second_norms + norms + feed_forward;
    copy(embedding, norms);
    copy(second_norms, norms);
    copy(last_norm, 16);
    copy(0, embedding);
    copy(embedding + norms, attention);
    copy(second_norms + norms, feed_forward);
    if (!tied) copy(last_norm + 16 + tables, embedding);
    write_file(folder / "b.bin", content);
    EXPECT_TRUE(is_llama2c(folder / "b.bin"));
    const Llama2cFile file(folder / "b.bin");
    EXPECT_EQ(file.header(), old.header());
    for (const auto& [name, tensor] : tensors) EXPECT_TRUE(file.tensor(name).equal(tensor)) << name;
    EXPECT_FALSE(file.rope_sines().defined());
  }
}

TEST(Llama2c, every_kind_of_damage_is_refused_in_one_line) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.bin";
  write_small(path, true);
  const std::string good = read_file(path);
  const auto with_word = [&](size_t word, int32_t value) {
    std::string changed = good;
    std::memcpy(&changed[4 * word], &value, 4);
    return changed;
  };
  for (const auto& [content, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "its header alone 28"},
           {good.substr(0, 27), "its header alone 28"},
           {good.substr(0, good.size() - 1), "its header asks for"},
           {good + "x", "its header asks for"},
           {good.substr(0, 28), "its header asks for"},
           {with_word(0, 0), "dim is 0"},
           {with_word(0, -16), "dim is -16"},
           {with_word(0, 18), "no even multiple"},
           {with_word(0, 12), "no even multiple"},
           {with_word(1, 0), "hidden_dim is 0"},
           {with_word(2, INT32_MAX), "its header asks for"},
           {with_word(3, 3), "no even multiple"},
           {with_word(4, 3), "no multiple of n_kv_heads"},
           {with_word(5, INT32_MIN), "vocab_size is 2147483648"},
           {with_word(5, -11), "its header asks for"},
           {with_word(6, 0), "seq_len is 0"},
           {with_word(6, INT32_MAX), "its header asks for"},
           {std::string("24ka\2\0\0\0", 8) + good, "2 holds 8-bit weights"},
           {std::string("24ka\3\0\0\0", 8) + good, "version 3"},
           {std::string("24ka\1\0\0\0", 8) + good.substr(0, 100), "its header alone 256"},
       }) {
    write_file(path, content);
    EXPECT_THAT_ERROR(Llama2cFile{path}, message);
  }
  std::string huge = with_word(0, 1 << 30);
  for (const size_t word : {1, 2, 5, 6}) {
    const int32_t value = INT32_MAX;
    std::memcpy(&huge[4 * word], &value, 4);
  }
  write_file(path, huge);
  EXPECT_THAT_ERROR(Llama2cFile{path}, "more than any file has");
  EXPECT_FALSE(is_llama2c(path));
  EXPECT_THAT_ERROR(Llama2cFile{folder / "none"}, "No such file");
  EXPECT_THAT_ERROR(
      write_llama2c(path, small_header(true), [](const std::string&) { return at::randn({1}); }),
      "tensor \"model.embed_tokens.weight\" is 1, its header asks for 11x16");
  EXPECT_EQ(read_file(path), huge) << "a failed write changes nothing";
}

}  // namespace
}  // namespace twofour::checkpoint
