#include "twofour/text/tokenizer.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/hash.h"
#include "twofour/base/parallel.h"
#include "twofour/base/utf8.h"
#include "twofour/text/decoder.h"
#include "twofour/text/llama2c_tokenizer.h"
#include "twofour/text/sentencepiece_tokenizer.h"
#include "twofour/text/tokenizer_files.h"
#include "twofour/text/tokenizer_folder.h"
#include "twofour/text/word_cache.h"

namespace twofour::text {
namespace {

using Implementation = Tokenizer::Implementation;

constexpr size_t kParallelBytes = 1 << 16;  // longer texts are cut for the threads

// This thread's cache for `owner`. Two are kept, for programs that compare tokenizers.
WordCache& cache_for(uint64_t owner) {
  struct Owned {
    uint64_t owner = 0;
    std::unique_ptr<WordCache> cache;
  };
  thread_local Owned latest, other;
  if (latest.owner != owner) {
    std::swap(latest, other);
    if (latest.owner != owner) latest = {owner, std::make_unique<WordCache>()};
  }
  return *latest.cache;
}

// A stretch of text between added tokens, or a part of one, and the added token after it.
struct Part {
  Stretch stretch;
  std::optional<int32_t> token = {};
  std::vector<int32_t> ids = {};
};

void encode_part(const Implementation& self, Part& part) {
  if (!part.stretch.text.empty()) {
    WordCache& cache = cache_for(self.serial);
    std::string buffer;
    const Stretch normalized = self.encoder->normalize(part.stretch, buffer);
    part.ids.reserve(normalized.text.size() / 3);
    if (self.encoder->normalizes() && !self.normalized_tokens.empty()) {
      for (const auto& [begin, end, id] : self.normalized_tokens.split(normalized.text)) {
        id >= 0 ? part.ids.push_back(id)
                : self.encoder->encode(normalized.part(begin, end), cache, part.ids);
      }
    } else if (!normalized.text.empty()) {
      self.encoder->encode(normalized, cache, part.ids);
    }
  }
  if (part.token) part.ids.push_back(*part.token);
}

void check_utf8(std::string_view text) {
  const size_t bad = find_invalid_utf8(text);
  if (bad != std::string_view::npos) {
    fail("the text is not valid UTF-8 at byte {} (\"{}\")", bad, printable(text.substr(bad, 4)));
  }
}

void check_infilling(const Implementation& self, std::string_view text) {
  if (self.infilling_token.empty() || text.find(self.infilling_token) == std::string_view::npos) {
    return;
  }
  fail("the text holds \"{}\", where CodeLlamaTokenizer infills, which is not supported",
       printable(self.infilling_token));
}

// Appends a stretch without tokens, cut into parts of about kParallelBytes.
void append_stretch(const Implementation& self, Stretch stretch, std::vector<Part>& parts) {
  const bool cuttable = !self.encoder->normalizes() || self.normalized_tokens.empty();
  while (cuttable && stretch.text.size() > 2 * kParallelBytes) {
    const size_t at = self.encoder->safe_cut(stretch.text, kParallelBytes);
    if (at == std::string_view::npos) break;
    parts.push_back({{stretch.text.substr(0, at), stretch.place, stretch.from_first}});
    stretch = {stretch.text.substr(at), Place::kContinuation};
  }
  parts.push_back({stretch});
}

// Appends `text` cut at the tokens of lists[0], the stretches between at those of lists[1], and so
// on.
void append_parts(const Implementation& self, Stretch text,
                  std::span<const AddedTokens* const> lists, std::vector<Part>& parts) {
  if (lists.empty()) return append_stretch(self, text, parts);
  if (lists[0]->empty()) return append_parts(self, text, lists.subspan(1), parts);
  for (const auto& [begin, end, id] : lists[0]->split(text.text)) {
    if (id < 0) {
      append_parts(self, text.part(begin, end), lists.subspan(1), parts);
    } else {
      parts.push_back({{}, id});
    }
  }
}

// Adds the content of the files that count. A generated tokenizer.json counts alone, so a tokenizer
// has the same hash after save() and reading again.
void add_files(const Implementation& self, const std::set<std::string>& counting, Hasher& hasher) {
  std::map<std::string, std::string> files = self.files;
  if (self.make_tokenizer_json) files = {{"tokenizer.json", self.make_tokenizer_json()}};
  const bool has_json = files.contains("tokenizer.json");
  for (const auto& [name, content] : files) {
    if (!counting.contains(name) || (has_json && name != "tokenizer.json")) continue;
    hasher.add(name);
    hasher.add(content);
  }
}

}  // namespace

Tokenizer::Implementation::Implementation() {
  static std::atomic<uint64_t> last{0};
  serial = ++last;
}

Tokenizer::Tokenizer(std::shared_ptr<const Implementation> implementation)
    : implementation_(std::move(implementation)) {}

Tokenizer Tokenizer::load(const fs::path& path) {
  if (!fs::is_directory(path)) {
    if (path.extension() == ".model") return Tokenizer(read_sentencepiece_tokenizer(path));
    if (path.extension() == ".bin") return Tokenizer(read_llama2c_tokenizer(path));
    return Tokenizer(read_tokenizer_json(path));
  }
  return Tokenizer(read_tokenizer_folder(path));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  const std::string_view texts[] = {text};
  return std::move(encode_batch(texts)[0]);
}

std::vector<std::vector<int32_t>> Tokenizer::encode_batch(
    std::span<const std::string_view> texts, const std::vector<bool>& continues) const {
  std::vector<const AddedTokens*> lists = {&implementation_->raw_tokens};
  if (!implementation_->encoder->normalizes()) {
    lists.push_back(&implementation_->normalized_tokens);
  }
  std::vector<Part> parts;
  std::vector<size_t> ends;  // one past the last part of each text
  for (size_t i = 0; i < texts.size(); ++i) {
    check_utf8(texts[i]);
    check_infilling(*implementation_, texts[i]);
    const bool goes_on = !continues.empty() && continues[i];
    const Place place = goes_on ? Place::kContinuation : Place::kStart;
    append_parts(*implementation_, {texts[i], place, goes_on ? 0 : utf8_sequence_length(texts[i])},
                 lists, parts);
    ends.push_back(parts.size());
  }
  // Threads take parts as they become free, because lengths differ.
  std::atomic<size_t> next{0};
  const size_t total =
      std::accumulate(texts.begin(), texts.end(), size_t{0},
                      [](size_t sum, std::string_view text) { return sum + text.size(); });
  const int workers = total > kParallelBytes ? thread_count() : 1;
  parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    for (size_t i = next++; i < parts.size(); i = next++) encode_part(*implementation_, parts[i]);
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

std::vector<int32_t> Tokenizer::encode_with_special(std::string_view text) const {
  std::vector<int32_t> ids = prefix_ids();
  const std::vector<int32_t> inner = encode(text);
  ids.insert(ids.end(), inner.begin(), inner.end());
  ids.insert(ids.end(), suffix_ids().begin(), suffix_ids().end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  Decoder decoder(*this, skip_special);
  std::string text;
  for (const int32_t id : ids) text += decoder.add(id);
  return text += decoder.finish();
}

size_t Tokenizer::safe_cut(std::string_view text, size_t begin) const {
  const Implementation& self = *implementation_;
  for (const AddedTokens* tokens : {&self.raw_tokens, &self.normalized_tokens}) {
    if (tokens->holds('\n') || tokens->looks_around()) return std::string_view::npos;
  }
  size_t at = self.encoder->safe_cut(text, begin);
  // A cut after a line end cuts no added token.
  while (at != std::string_view::npos && text[at - 1] != '\n') {
    at = text.find('\n', at);
    if (at != std::string_view::npos) at = self.encoder->safe_cut(text, at + 1);
  }
  return at;
}

const std::vector<int32_t>& Tokenizer::prefix_ids() const { return implementation_->prefix_ids; }

const std::vector<int32_t>& Tokenizer::suffix_ids() const { return implementation_->suffix_ids; }

std::optional<int32_t> Tokenizer::begin_of_text() const { return implementation_->begin_of_text; }

int32_t Tokenizer::vocabulary_size() const { return implementation_->vocabulary_size; }

std::vector<bool> Tokenizer::known_ids() const {
  std::vector<bool> known(static_cast<size_t>(vocabulary_size()));
  const auto& pieces = implementation_->pieces;
  for (size_t id = 0; id < pieces.size(); ++id) known[id] = pieces[id].has_value();
  for (const auto& [id, content] : implementation_->added_content) {
    known[static_cast<size_t>(id)] = true;
  }
  return known;
}

std::optional<int32_t> Tokenizer::end_of_text() const { return implementation_->end_of_text; }

std::string Tokenizer::hash() const {
  const Implementation& self = *implementation_;
  Hasher hasher;
  add_files(self,
            {"merges.txt", "tokenizer.bin", "tokenizer.json", "tokenizer.model", "vocab.json"},
            hasher);
  hasher.add(self.changes);
  for (const auto& id : {self.begin_of_text, self.end_of_text}) {
    hasher.add(fmt::format("{} ", id.value_or(-1)));
  }
  return hasher.digest();
}

bool Tokenizer::has_hash(std::string_view recorded) const {
  if (recorded == hash()) return true;
  Hasher files_alone;
  add_files(*implementation_,
            {"added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer.json",
             "tokenizer.model", "vocab.json"},
            files_alone);
  return recorded == files_alone.digest();
}

void Tokenizer::save(const fs::path& folder) const {
  const Implementation& self = *implementation_;
  make_folder(folder);
  for (const auto& [name, content] : self.files) write_file(folder / name, content);
  if (self.make_tokenizer_json) write_file(folder / "tokenizer.json", self.make_tokenizer_json());
}

}  // namespace twofour::text
