#include "twofour/text/token_file.h"

#include <bit>
#include <cstring>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/hash.h"

namespace twofour::text {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

constexpr int kVersion = 1;
constexpr int64_t kLargestTwoByteVocabulary = 65536;

int64_t required_number(const nlohmann::json& json, const char* key, const fs::path& path) {
  if (!json.contains(key) || !json[key].is_number_integer() || json[key].get<int64_t>() < 0) {
    fail("cannot read \"{}\": \"{}\" must be a non-negative number", path.string(), key);
  }
  return json[key].get<int64_t>();
}

std::string optional_text(const nlohmann::json& json, const char* key) {
  return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
}

TokenFileInfo read_info(const fs::path& path) {
  const std::string content = read_file(path);
  const nlohmann::json json = nlohmann::json::parse(content, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) fail("cannot read \"{}\": it is not a JSON object", path.string());
  if (required_number(json, "version", path) != kVersion) {
    fail("cannot read \"{}\": it is of version {}, this program reads version {}", path.string(),
         json["version"].dump(), kVersion);
  }
  const std::string dtype = optional_text(json, "dtype");
  if (dtype != "uint16" && dtype != "uint32") {
    fail("cannot read \"{}\": \"dtype\" must be uint16 or uint32", path.string());
  }
  TokenFileInfo info;
  info.bytes_per_token = dtype == "uint16" ? 2 : 4;
  info.tokens = required_number(json, "tokens", path);
  info.documents = required_number(json, "documents", path);
  const int64_t vocabulary = required_number(json, "vocabulary_size", path);
  if (vocabulary > INT32_MAX) {
    fail("cannot read \"{}\": a vocabulary of {} is too large", path.string(), vocabulary);
  }
  info.vocabulary_size = static_cast<int32_t>(vocabulary);
  info.tokenizer_hash = optional_text(json, "tokenizer_hash");
  info.content_hash = optional_text(json, "content_hash");
  return info;
}

}  // namespace

fs::path token_info_path(fs::path bin) { return bin.replace_extension(".json"); }

TokenFile::TokenFile(MappedFile file, TokenFileInfo info)
    : file_(std::move(file)), info_(std::move(info)) {}

TokenFile TokenFile::open(const fs::path& path) {
  MappedFile file(path);
  const auto bytes = static_cast<int64_t>(file.size());
  if (bytes == 0) fail("cannot read \"{}\": the file is empty", path.string());
  TokenFileInfo info;
  if (fs::exists(token_info_path(path))) {
    info = read_info(token_info_path(path));
    if (info.tokens != bytes / info.bytes_per_token || bytes % info.bytes_per_token != 0) {
      fail("cannot read \"{}\": it holds {} bytes, but \"{}\" says {} tokens of {} bytes",
           path.string(), bytes, token_info_path(path).filename().string(), info.tokens,
           info.bytes_per_token);
    }
  } else {
    if (bytes % 2 != 0) {
      fail("cannot read \"{}\": {} bytes are no whole number of uint16 tokens", path.string(),
           bytes);
    }
    info.tokens = bytes / 2;
  }
  return TokenFile(std::move(file), std::move(info));
}

void TokenFile::read(int64_t first, std::span<int64_t> out) const {
  const auto count = static_cast<int64_t>(out.size());
  if (first < 0 || first > size() - count) {
    fail("tokens {} to {} are outside \"{}\" of {}", first, first + count, path().string(), size());
  }
  const std::byte* data = file_.data() + first * info_.bytes_per_token;
  const auto widen = [&]<class T>(T) {
    for (size_t i = 0; i < out.size(); ++i) {
      T token;
      std::memcpy(&token, data + i * sizeof(T), sizeof(T));
      out[i] = token;
    }
  };
  info_.bytes_per_token == 2 ? widen(uint16_t{}) : widen(uint32_t{});
}

std::string TokenFile::content_hash() const {
  return info_.content_hash.empty() ? hash_of(file_.text()) : info_.content_hash;
}

struct TokenFileWriter::State {
  State(const fs::path& bin, int32_t vocabulary_size, std::string tokenizer_hash, bool with_json)
      : path(bin), with_json(with_json), file(bin) {
    info.vocabulary_size = vocabulary_size;
    info.tokenizer_hash = std::move(tokenizer_hash);
    info.bytes_per_token = vocabulary_size > kLargestTwoByteVocabulary ? 4 : 2;
    if (!with_json && info.bytes_per_token == 4) {
      fail("nanoGPT's format holds uint16 tokens: a vocabulary of {} does not fit",
           vocabulary_size);
    }
  }
  fs::path path;
  bool with_json;
  AtomicFile file;
  TokenFileInfo info;
  Hasher hasher;
  std::string buffer;
};

TokenFileWriter::TokenFileWriter(const fs::path& bin, int32_t vocabulary_size,
                                 std::string tokenizer_hash, bool with_json)
    : state_(std::make_unique<State>(bin, vocabulary_size, std::move(tokenizer_hash), with_json)) {}

TokenFileWriter::~TokenFileWriter() = default;

void TokenFileWriter::append(std::span<const int32_t> ids) {
  State& state = *state_;
  const auto bytes = static_cast<size_t>(state.info.bytes_per_token);
  state.buffer.resize(ids.size() * bytes);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto id =
        static_cast<uint32_t>(ids[i]);  // little-endian: its first bytes are the low ones
    std::memcpy(state.buffer.data() + i * bytes, &id, bytes);
  }
  state.hasher.add(state.buffer);
  state.file.write(state.buffer);
  state.info.tokens += static_cast<int64_t>(ids.size());
}

void TokenFileWriter::end_document() { ++state_->info.documents; }
int64_t TokenFileWriter::tokens() const { return state_->info.tokens; }
int64_t TokenFileWriter::documents() const { return state_->info.documents; }

void TokenFileWriter::commit() {
  const State& state = *state_;
  const TokenFileInfo& info = state.info;
  std::error_code ignored;
  fs::remove(token_info_path(state.path), ignored);
  state_->file.commit();
  if (!state.with_json) return;
  const nlohmann::ordered_json json = {
      {"version", kVersion},
      {"tokens", info.tokens},
      {"dtype", info.bytes_per_token == 2 ? "uint16" : "uint32"},
      {"documents", info.documents},
      {"vocabulary_size", info.vocabulary_size},
      {"tokenizer_hash", info.tokenizer_hash},
      {"content_hash", state.hasher.digest()},
  };
  write_file(token_info_path(state.path), json.dump(2) + "\n");
}

}  // namespace twofour::text
