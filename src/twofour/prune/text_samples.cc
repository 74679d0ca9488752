#include "twofour/prune/text_samples.h"

#include <algorithm>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "twofour/base/error.h"
#include "twofour/base/random.h"
#include "twofour/text/document_encoder.h"

namespace twofour::prune {
namespace {

// A document, or a part of a long one.
struct TextUnit {
  int64_t number = 0;    // among all parts
  int64_t document = 0;  // among all documents
  bool begins = true, ends = true;
};

// Reads all texts once and encodes, in batches over all threads, the parts that are wanted.
class TextPass {
 public:
  using Wants = std::function<bool(const TextUnit&)>;
  /// Gets the ids of a wanted part, without special tokens.
  using Take = std::function<void(const TextUnit&, std::span<const int32_t> ids)>;

  TextPass(const CalibrationOptions& options, const text::Tokenizer& tokenizer, Wants wants,
           Take take)
      : options_(options),
        tokenizer_(tokenizer),
        wants_(std::move(wants)),
        take_(std::move(take)) {}

  void run() {
    text::DocumentOptions documents = options_.documents;
    documents.safe_cut = [this](std::string_view text, size_t begin) {
      return tokenizer_.safe_cut(text, begin);
    };
    // Small enough for a random subset of a book, large enough to hold many windows.
    constexpr size_t kPart = size_t{256} << 10;
    documents.part_bytes = std::max(kPart, 32 * static_cast<size_t>(options_.context));
    text::DocumentFiles files(options_.files, documents);
    TextUnit unit;
    uint64_t reported = 0;
    for (text::Part part; files.next(part); ++unit.number) {
      unit.ends = part.ends_document;
      if (wants_(unit)) add(unit, std::move(part.text), files.input().name());
      unit.begins = unit.ends;
      unit.document += unit.ends ? 1 : 0;
      constexpr uint64_t kWorthAReport = 1 << 20;
      if (options_.progress && files.bytes_done() >= reported + kWorthAReport) {
        reported = files.bytes_done();
        options_.progress(reported, files.bytes());
      }
    }
    encode();
  }

 private:
  struct Wanted {
    TextUnit unit;
    std::string text, file;
  };

  void add(const TextUnit& unit, std::string text, const std::string& file) {
    constexpr size_t kBatch = size_t{1} << 20;
    bytes_ += text.size();
    batch_.push_back({unit, std::move(text), file});
    if (bytes_ >= kBatch) encode();
  }

  void encode() {
    std::vector<std::string_view> texts;
    std::vector<bool> continues;
    for (const Wanted& wanted : batch_) {
      texts.push_back(wanted.text);
      continues.push_back(!wanted.unit.begins);
    }
    const auto encoded = tokenizer_.encode_batch(texts, continues);
    for (size_t i = 0; i < batch_.size(); ++i) {
      check(encoded[i], batch_[i]);
      take_(batch_[i].unit, encoded[i]);
    }
    batch_.clear();
    bytes_ = 0;
  }

  void check(std::span<const int32_t> ids, const Wanted& wanted) const {
    const auto beyond = [&](int32_t id) { return id >= options_.vocabulary; };
    const auto at = std::find_if(ids.begin(), ids.end(), beyond);
    if (at == ids.end()) return;
    fail(
        "cannot calibrate on {}: token {} of its text beginning with \"{}\" is the id {}, but the "
        "model's vocabulary has {}: \"{}\" is not the model's tokenizer",
        wanted.file, at - ids.begin(), printable(wanted.text, 30), *at, options_.vocabulary,
        options_.tokenizer.string());
  }

  const CalibrationOptions& options_;
  const text::Tokenizer& tokenizer_;
  Wants wants_;
  Take take_;
  std::vector<Wanted> batch_;
  size_t bytes_ = 0;
};

// The parts that come first in a random order of all, as many as make `enough` ids.
class PartReservoir {
 public:
  PartReservoir(uint64_t seed, int64_t enough, int32_t end_of_text)
      : seed_(seed), enough_(enough), end_of_text_(end_of_text) {}

  bool wants(const TextUnit& unit) const {
    return size_ < enough_ || key(unit) < kept_.rbegin()->first;
  }

  void take(const TextUnit& unit, std::span<const int32_t> ids) {
    std::vector<int32_t>& own = kept_[key(unit)];
    own.assign(ids.begin(), ids.end());
    if (unit.ends) own.push_back(end_of_text_);
    size_ += static_cast<int64_t>(own.size());
    while (size_ - last_size() >= enough_) {
      size_ -= last_size();
      kept_.erase(std::prev(kept_.end()));
    }
  }

  std::vector<int64_t> ids() const {
    std::map<int64_t, const std::vector<int32_t>*> by_number;
    for (const auto& [key, part] : kept_) by_number[key.second] = &part;
    std::vector<int64_t> all;
    for (const auto& [number, part] : by_number) all.insert(all.end(), part->begin(), part->end());
    return all;
  }

 private:
  using Key = std::pair<uint64_t, int64_t>;  // the place in the random order, the part's number

  Key key(const TextUnit& unit) const {
    const auto number = static_cast<uint64_t>(unit.number);
    const RandomStream stream{seed_, static_cast<uint32_t>(number >> 32), kPartKeys,
                              RandomStream::kCalibration};
    const PhiloxBlock block = stream(static_cast<uint32_t>(number));
    return {uint64_t{block[0]} << 32 | block[1], unit.number};
  }

  int64_t last_size() const { return static_cast<int64_t>(kept_.rbegin()->second.size()); }

  uint64_t seed_;
  int64_t enough_, size_ = 0;
  int32_t end_of_text_;
  std::map<Key, std::vector<int32_t>> kept_;
};

// For every sample, the document with the smallest random key among those that are long enough: a
// uniform choice, independent of the other samples', that needs neither their number nor a second
// pass. As the smallest keys fall, ever fewer documents have to be encoded.
class WindowReservoir {
 public:
  WindowReservoir(const CalibrationOptions& options, const text::Tokenizer& tokenizer)
      : options_(options),
        tokenizer_(tokenizer),
        smallest_(static_cast<size_t>(options.samples), kNoKey),
        windows_(static_cast<size_t>(options.samples * options.context)) {}

  bool wants(const TextUnit& unit) {
    if (unit.begins) {
      is_wanted_ = false;
      visit_samples_of(unit.document, [this](size_t, uint32_t) { is_wanted_ = true; });
    }
    return is_wanted_;
  }

  void take(const TextUnit& unit, std::span<const int32_t> ids) {
    if (unit.begins) document_ = tokenizer_.prefix_ids();
    document_.insert(document_.end(), ids.begin(), ids.end());
    if (!unit.ends) return;
    const std::vector<int32_t>& suffix = tokenizer_.suffix_ids();
    document_.insert(document_.end(), suffix.begin(), suffix.end());
    const auto length = static_cast<int64_t>(document_.size());
    longest_ = std::max(longest_, length);
    if (length <= options_.context) return;
    visit_samples_of(unit.document, [&](size_t sample, uint32_t key) {
      smallest_[sample] = key;
      take_window(sample, unit.document);
    });
  }

  std::vector<int64_t> windows() && {
    if (longest_ <= options_.context) {
      fail(
          "no document of the calibration text is longer than the context of {} tokens, as "
          "--sampling sparsegpt needs (the longest has {}): use a shorter --context, or --sampling "
          "stream, which joins documents",
          options_.context, longest_);
    }
    return std::move(windows_);
  }

 private:
  static constexpr uint64_t kNoKey = uint64_t{1} << 32;

  // Calls fn(sample, key) for the samples in which the document's key is below all earlier ones.
  template <class Fn>
  void visit_samples_of(int64_t document, Fn fn) {
    for (size_t first = 0; first < smallest_.size(); first += 4) {
      const RandomStream stream{options_.seed, static_cast<uint32_t>(first / 4), kDocumentKeys,
                                RandomStream::kCalibration};
      const PhiloxBlock keys = stream(static_cast<uint32_t>(document));
      for (size_t i = 0; i < 4 && first + i < smallest_.size(); ++i) {
        if (keys[i] < smallest_[first + i]) fn(first + i, keys[i]);
      }
    }
  }

  void take_window(size_t sample, int64_t document) {
    const RandomStream stream{options_.seed, static_cast<uint32_t>(sample), kWindowStarts,
                              RandomStream::kCalibration};
    const PhiloxBlock block = stream(static_cast<uint32_t>(document));
    const auto context = static_cast<size_t>(options_.context);
    const auto start = static_cast<int64_t>(below_from_block(block, document_.size() - context));
    std::copy_n(document_.begin() + start, context,
                windows_.begin() + static_cast<int64_t>(sample * context));
  }

  const CalibrationOptions& options_;
  const text::Tokenizer& tokenizer_;
  std::vector<uint64_t> smallest_;  // of each sample, among documents that are long enough
  std::vector<int64_t> windows_;
  std::vector<int32_t> document_;
  int64_t longest_ = 0;
  bool is_wanted_ = false;
};

}  // namespace

std::vector<int64_t> ids_of_random_documents(const CalibrationOptions& options,
                                             const text::Tokenizer& tokenizer, int64_t enough) {
  PartReservoir parts(options.seed, enough, text::end_of_text_of(tokenizer));
  TextPass(
      options, tokenizer, [&](const TextUnit& unit) { return parts.wants(unit); },
      [&](const TextUnit& unit, std::span<const int32_t> ids) { parts.take(unit, ids); })
      .run();
  return parts.ids();
}

std::vector<int64_t> windows_of_random_documents(const CalibrationOptions& options,
                                                 const text::Tokenizer& tokenizer) {
  WindowReservoir windows(options, tokenizer);
  TextPass(
      options, tokenizer, [&](const TextUnit& unit) { return windows.wants(unit); },
      [&](const TextUnit& unit, std::span<const int32_t> ids) { windows.take(unit, ids); })
      .run();
  return std::move(windows).windows();
}

}  // namespace twofour::prune
