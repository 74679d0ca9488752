#include "twofour/text/tokenizer.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/hash.h"
#include "twofour/base/parallel.h"
#include "twofour/base/utf8.h"
#include "twofour/text/tokenizer_files.h"
#include "twofour/text/word_cache.h"

namespace twofour::text {
namespace {

using Implementation = Tokenizer::Implementation;

constexpr size_t kParallelBytes = 1 << 16;  // a text longer than this is cut for the threads

// This thread's cache for `owner`; another tokenizer's is dropped.
WordCache& cache_for(uint64_t owner) {
  struct Owned {
    uint64_t owner = 0;
    std::unique_ptr<WordCache> cache;
  };
  thread_local Owned owned;
  if (owned.owner != owner) owned = {owner, std::make_unique<WordCache>()};
  return *owned.cache;
}

void encode_words(const Implementation& self, std::string_view text, std::vector<int32_t>& ids) {
  WordCache& cache = cache_for(self.serial);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = self.splitter->piece_end(text, begin);
    const std::string_view word = text.substr(begin, end - begin);
    if (!cache.find(word, ids)) {
      const size_t first = ids.size();
      self.bpe->encode(word, ids);
      cache.add(word, std::span(ids).subspan(first));
    }
    begin = end;
  }
}

struct Found {
  size_t at = std::string_view::npos;
  const AddedToken* token = nullptr;
};

// The leftmost added token at or after `begin`, the longest of those.
Found find_added(const Implementation& self, std::string_view text, size_t begin) {
  const std::string& first = self.first_bytes;
  const auto next = [&](size_t from) {
    return first.size() == 1 ? text.find(first[0], from) : text.find_first_of(first, from);
  };
  for (size_t at = next(begin); at != std::string_view::npos; at = next(at + 1)) {
    for (const AddedToken& token : self.recognised) {
      if (text.substr(at).starts_with(token.content)) return {at, &token};
    }
  }
  return {};
}

std::vector<int32_t> encode_serially(const Implementation& self, std::string_view text) {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3);
  std::string with_space;
  for (size_t begin = 0; begin < text.size();) {
    const Found found = self.recognised.empty() ? Found{} : find_added(self, text, begin);
    std::string_view part = text.substr(begin, std::min(found.at, text.size()) - begin);
    if (self.add_prefix_space && !part.empty() && part.front() != ' ') {
      with_space = " " + std::string(part);
      part = with_space;
    }
    encode_words(self, part, ids);
    if (!found.token) break;
    ids.push_back(found.token->id);
    begin = found.at + found.token->content.size();
  }
  return ids;
}

void check_utf8(std::string_view text) {
  const size_t bad = find_invalid_utf8(text);
  if (bad != std::string_view::npos) {
    fail("the text is not valid UTF-8 at byte {} (\"{}\")", bad, printable(text.substr(bad, 4)));
  }
}

// Cuts `text` into parts of about kParallelBytes that encode as the whole does.
std::vector<std::string_view> cut(const Implementation& self, std::string_view text) {
  std::vector<std::string_view> parts;
  const bool cuttable =
      !self.add_prefix_space &&
      std::none_of(self.recognised.begin(), self.recognised.end(),
                   [](const auto& token) { return token.content.find('\n') != std::string::npos; });
  while (cuttable && text.size() > 2 * kParallelBytes) {
    const size_t at = self.splitter->safe_cut(text, kParallelBytes);
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at);
  }
  parts.push_back(text);
  return parts;
}

}  // namespace

Tokenizer::Implementation::Implementation() {
  static std::atomic<uint64_t> last{0};
  serial = ++last;
}

Tokenizer::Tokenizer(std::shared_ptr<const Implementation> implementation)
    : implementation_(std::move(implementation)) {}

Tokenizer Tokenizer::load(const fs::path& path) {
  if (!fs::is_directory(path)) return Tokenizer(read_tokenizer_json(path));
  if (fs::exists(path / "tokenizer.json")) {
    return Tokenizer(read_tokenizer_json(path / "tokenizer.json"));
  }
  for (const char* vocabulary : {"vocab.json", "encoder.json"}) {
    for (const char* merges : {"merges.txt", "vocab.bpe"}) {
      if (fs::exists(path / vocabulary) && fs::exists(path / merges)) {
        return Tokenizer(read_vocabulary_and_merges(path / vocabulary, path / merges));
      }
    }
  }
  fail("\"{}\" holds no tokenizer: expected tokenizer.json, or vocab.json and merges.txt",
       path.string());
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  const std::string_view texts[] = {text};
  return std::move(encode_batch(texts)[0]);
}

std::vector<std::vector<int32_t>> Tokenizer::encode_batch(
    std::span<const std::string_view> texts) const {
  struct Part {
    std::string_view text;
    std::vector<int32_t> ids;
  };
  std::vector<Part> parts;
  std::vector<size_t> ends;  // one past the last part of each text
  for (const std::string_view text : texts) {
    check_utf8(text);
    for (const std::string_view part : cut(*implementation_, text)) parts.push_back({part, {}});
    ends.push_back(parts.size());
  }
  // Threads take parts as they get free: their lengths differ.
  std::atomic<size_t> next{0};
  const size_t total =
      std::accumulate(texts.begin(), texts.end(), size_t{0},
                      [](size_t sum, std::string_view text) { return sum + text.size(); });
  const int workers = total > kParallelBytes ? thread_count() : 1;
  parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    for (size_t i = next++; i < parts.size(); i = next++) {
      parts[i].ids = encode_serially(*implementation_, parts[i].text);
    }
  });
  std::vector<std::vector<int32_t>> result(texts.size());
  for (size_t text = 0, part = 0; text < texts.size(); ++text) {
    for (; part < ends[text]; ++part) {
      auto& ids = result[text];
      ids.empty() ? ids.swap(parts[part].ids)
                  : static_cast<void>(
                        ids.insert(ids.end(), parts[part].ids.begin(), parts[part].ids.end()));
    }
  }
  return result;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocabulary_size()) {
      fail("token id {} is outside the vocabulary of {}", id, vocabulary_size());
    }
    const auto added = implementation_->added_content.find(id);
    text += added != implementation_->added_content.end() ? added->second
                                                          : implementation_->bpe->piece(id);
  }
  return text;
}

size_t Tokenizer::safe_cut(std::string_view text, size_t begin) const {
  return implementation_->splitter->safe_cut(text, begin);
}

int32_t Tokenizer::vocabulary_size() const { return implementation_->vocabulary_size; }

std::optional<int32_t> Tokenizer::end_of_text() const { return implementation_->end_of_text; }

std::string Tokenizer::hash() const {
  Hasher hasher;
  for (const auto& [name, content] : implementation_->files) {
    if (name == "tokenizer_config.json") continue;
    hasher.add(name);
    hasher.add(content);
  }
  return hasher.digest();
}

void Tokenizer::save(const fs::path& folder) const {
  make_folder(folder);
  for (const auto& [name, content] : implementation_->files) write_file(folder / name, content);
}

}  // namespace twofour::text
