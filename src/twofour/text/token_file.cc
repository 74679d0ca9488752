#include "twofour/text/token_file.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <optional>

#include <nlohmann/json.hpp>

#include "twofour/base/error.h"
#include "twofour/base/hash.h"
#include "twofour/base/parallel.h"
#include "twofour/base/progress.h"
#include "twofour/text/decompress.h"

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
  const std::string content = read_file(path, kLargestSettings);
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

[[noreturn]] void refuse(const MappedFile& file, std::string_view reason) {
  fail("cannot read \"{}\": {}", file.path().string(), reason);
}

constexpr size_t kLlmcHeader = 1024;

// Without a .json the content decides. llm.c's header is 256 int32: a magic number for each width
// of ids, a version, the number of ids. No magic number can begin a file of GPT-2's ids, because
// its lower half is above the vocabulary.
bool read_llmc_header(const MappedFile& file, TokenFileInfo& info) {
  constexpr int32_t kTwoBytes = 20240520, kFourBytes = 20240801, kChoices = 20240522;
  int32_t header[3] = {};
  if (file.size() < kLlmcHeader) return false;
  std::memcpy(header, file.data(), sizeof(header));
  const auto [magic, version, count] = header;
  if (magic == kChoices) refuse(file, "it is a multiple-choice file of llm.c, which holds no text");
  if (magic != kTwoBytes && magic != kFourBytes) return false;
  if (version != (magic == kTwoBytes ? 1 : 7)) {
    refuse(file, fmt::format("it has llm.c's header of an unknown version {}", version));
  }
  info.bytes_per_token = magic == kTwoBytes ? 2 : 4;
  info.tokens = count;
  const size_t bytes = file.size() - kLlmcHeader;
  if (count < 1 || bytes != static_cast<uint64_t>(count) * info.bytes_per_token) {
    refuse(file, fmt::format("llm.c's header says {} tokens of {} bytes, but {} bytes follow it",
                             count, info.bytes_per_token, bytes));
  }
  return true;
}

void refuse_other_files(const MappedFile& file) {
  using namespace std::string_view_literals;
  constexpr std::pair<std::string_view, const char*> kKinds[] = {
      {"\x93NUMPY"sv, "a NumPy array: write its ids with numpy's tofile"},
      {kGzipMagic, "compressed by gzip: decompress it"},
      {kZstdMagic, "compressed by zstd: decompress it"},
      {"PK\x03\x04"sv, "a zip archive: unpack it"},
  };
  for (const auto& [magic, kind] : kKinds) {
    if (file.text().starts_with(magic)) refuse(file, fmt::format("it is {}", kind));
  }
}

// All threads check a block of the file, which also reads it from the disk, and then one hashes it.
// With smaller blocks the threads would wait for each other more often.
constexpr size_t kBlock = size_t{64} << 20;
constexpr size_t kWorthABar = size_t{1} << 30;

// The place of the first id that is not below `vocabulary`; ids.size() if there is none.
template <class T>
size_t find_beyond(std::span<const T> ids, uint64_t vocabulary) {
  constexpr int64_t kGrain = 1 << 16;
  std::atomic<bool> found = false;
  parallel_for(0, static_cast<int64_t>(ids.size()), kGrain, [&](int64_t first, int64_t last) {
    T largest = 0;
    for (int64_t i = first; i < last; ++i) largest = std::max(largest, ids[static_cast<size_t>(i)]);
    if (largest >= vocabulary) found = true;
  });
  if (!found) return ids.size();
  const auto beyond = [&](T id) { return id >= vocabulary; };
  return static_cast<size_t>(std::find_if(ids.begin(), ids.end(), beyond) - ids.begin());
}

// uint32 ids read as uint16: every second is an upper half, zero or little more.
class FourByteSigns {
 public:
  void add(std::span<const uint16_t> ids) {
    for (size_t i = 0; i + 1 < ids.size() && holds_; i += 2) {
      holds_ = ids[i + 1] <= kLargestUpperHalf;
      lower_halves_differ_ |= ids[i] > kLargestUpperHalf;
    }
    count_ += ids.size();
  }
  bool found() const { return holds_ && lower_halves_differ_ && count_ >= kEnough; }

 private:
  static constexpr uint16_t kLargestUpperHalf = 31;  // no vocabulary has 2^21 ids
  static constexpr size_t kEnough = 128;
  bool holds_ = true, lower_halves_differ_ = false;
  size_t count_ = 0;
};

}  // namespace

fs::path token_info_path(fs::path bin) { return bin.replace_extension(".json"); }

TokenFile::TokenFile(MappedFile file, TokenFileInfo info, size_t ids_begin)
    : file_(std::move(file)), info_(std::move(info)), ids_begin_(ids_begin) {}

TokenFile TokenFile::open(const fs::path& path) {
  MappedFile file(path);
  const auto bytes = static_cast<int64_t>(file.size());
  if (bytes == 0) refuse(file, "the file is empty");
  TokenFileInfo info;
  size_t ids_begin = 0;
  if (fs::exists(token_info_path(path))) {
    info = read_info(token_info_path(path));
    if (info.tokens != bytes / info.bytes_per_token || bytes % info.bytes_per_token != 0) {
      refuse(file, fmt::format("it holds {} bytes, but \"{}\" says {} tokens of {} bytes", bytes,
                               token_info_path(path).filename().string(), info.tokens,
                               info.bytes_per_token));
    }
  } else if (read_llmc_header(file, info)) {
    ids_begin = kLlmcHeader;
  } else {
    refuse_other_files(file);
    if (bytes % 2 != 0) {
      refuse(file, fmt::format("{} bytes are no whole number of uint16 tokens", bytes));
    }
    info.tokens = bytes / 2;
  }
  return TokenFile(std::move(file), std::move(info), ids_begin);
}

void TokenFile::check(int64_t vocabulary) {
  const std::string_view all = ids();
  const auto bytes_per_token = static_cast<size_t>(info_.bytes_per_token);
  const auto check_block = [&]<class T>(T, size_t first, size_t size) {
    const std::span block(reinterpret_cast<const T*>(all.data() + first), size / sizeof(T));
    const size_t at = find_beyond(block, static_cast<uint64_t>(vocabulary));
    if (at == block.size()) return;
    refuse(file_, fmt::format("token {} (byte {}) is the id {}, but the vocabulary has {}",
                              first / sizeof(T) + at, ids_begin_ + first + at * sizeof(T),
                              block[at], vocabulary));
  };
  Hasher hasher;
  FourByteSigns four_bytes;
  std::optional<ProgressBar> bar;
  if (all.size() >= kWorthABar) bar.emplace("checking " + path().filename().string(), all.size());
  for (size_t first = 0; first < all.size(); first += kBlock) {
    const std::string_view block = all.substr(first, kBlock);
    bytes_per_token == 2 ? check_block(uint16_t{}, first, block.size())
                         : check_block(uint32_t{}, first, block.size());
    four_bytes.add({reinterpret_cast<const uint16_t*>(block.data()), block.size() / 2});
    hasher.add(block);
    if (bar) bar->update(first);
  }
  if (info_.vocabulary_size == 0 && bytes_per_token == 2 && four_bytes.found()) {
    refuse(file_,
           "every second uint16 is below 32, so its ids seem to be uint32: such a file needs a "
           ".json beside it (docs/data-format.md)");
  }
  const std::string hash = hasher.digest();
  if (!info_.content_hash.empty() && info_.content_hash != hash) {
    const std::string json = token_info_path(path()).filename().string();
    refuse(file_, fmt::format("it was changed after \"{}\" was written, whose content_hash says "
                              "{} and not {}: make both again with \"twofour data\"",
                              json, info_.content_hash, hash));
  }
  info_.content_hash = hash;
}

void TokenFile::read(int64_t first, std::span<int64_t> out) const {
  const auto count = static_cast<int64_t>(out.size());
  if (first < 0 || first > size() - count) {
    fail("tokens {} to {} are outside \"{}\" of {}", first, first + count, path().string(), size());
  }
  const std::byte* data = file_.data() + ids_begin_ + first * info_.bytes_per_token;
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
  return info_.content_hash.empty() ? hash_of(ids()) : info_.content_hash;
}

std::vector<int64_t> read_token_ids(const fs::path& bin, int64_t vocabulary) {
  TokenFile file = TokenFile::open(bin);
  file.check(vocabulary);
  std::vector<int64_t> ids(static_cast<size_t>(file.size()));
  file.read(0, ids);
  return ids;
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
