#include "twofour/prune/calibration.h"

#include <algorithm>
#include <span>
#include <unordered_map>
#include <utility>

#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/base/hash.h"
#include "twofour/base/random.h"
#include "twofour/prune/text_samples.h"
#include "twofour/text/token_file.h"
#include "twofour/text/tokenizer.h"

namespace twofour::prune {
namespace {

// Token files and then the ids of texts, as one sequence.
class IdStream {
 public:
  void add(text::TokenFile file) {
    size_ += file.size();
    files_.push_back(std::move(file));
  }
  void add(std::vector<int64_t> ids) {
    size_ += static_cast<int64_t>(ids.size());
    ids_ = std::move(ids);
  }

  int64_t size() const { return size_; }

  // [first, first + out.size()) must lie inside.
  void read(int64_t first, std::span<int64_t> out) const {
    for (const text::TokenFile& file : files_) {
      const auto here =
          std::clamp<int64_t>(file.size() - first, 0, static_cast<int64_t>(out.size()));
      if (here > 0) file.read(first, out.first(static_cast<size_t>(here)));
      out = out.subspan(static_cast<size_t>(here));
      first = std::max<int64_t>(first - file.size(), 0);
    }
    std::copy_n(ids_.begin() + first, out.size(), out.begin());
  }

 private:
  std::vector<text::TokenFile> files_;
  std::vector<int64_t> ids_;
  int64_t size_ = 0;
};

PhiloxBlock window_numbers(const CalibrationOptions& options, uint32_t index) {
  return RandomStream{options.seed, 0, kWindowOrder, RandomStream::kCalibration}(index);
}

// The first `samples` numbers of a random order of [0, windows): Fisher and Yates' shuffle, which
// keeps only what it moved.
std::vector<int64_t> random_order(const CalibrationOptions& options, int64_t windows) {
  std::unordered_map<int64_t, int64_t> moved;
  const auto at = [&](int64_t place) {
    const auto found = moved.find(place);
    return found == moved.end() ? place : found->second;
  };
  std::vector<int64_t> order;
  for (int64_t i = 0; i < options.samples; ++i) {
    const PhiloxBlock block = window_numbers(options, static_cast<uint32_t>(i + 1));
    const auto chosen =
        i + static_cast<int64_t>(below_from_block(block, static_cast<uint64_t>(windows - i)));
    order.push_back(at(chosen));
    moved[chosen] = at(i);
  }
  return order;
}

std::vector<int64_t> starts_without_repetition(const CalibrationOptions& options, int64_t size) {
  const int64_t windows = size / options.context;
  if (windows < options.samples) {
    fail(
        "calibration with {} samples of {} tokens needs {} tokens, but {} {}: give more text, or "
        "use smaller --samples or --context",
        options.samples, options.context, options.samples * options.context,
        options.files.size() == 1 ? fmt::format("\"{}\" holds", options.files[0].string())
                                  : fmt::format("the {} files hold", options.files.size()),
        size);
  }
  const auto spare = static_cast<uint64_t>(size - windows * options.context);
  const auto offset = static_cast<int64_t>(below_from_block(window_numbers(options, 0), spare + 1));
  std::vector<int64_t> starts = random_order(options, windows);
  for (int64_t& start : starts) start = offset + start * options.context;
  return starts;
}

std::vector<int64_t> starts_anywhere(const CalibrationOptions& options, int64_t size) {
  if (size <= options.context) {
    fail(
        "calibration with a context of {} tokens and --sampling sparsegpt needs more than as many, "
        "but the token files hold {}: use a shorter --context",
        options.context, size);
  }
  const auto choices = static_cast<uint64_t>(size - options.context);
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < options.samples; ++i) {
    const PhiloxBlock block = window_numbers(options, static_cast<uint32_t>(i));
    starts.push_back(static_cast<int64_t>(below_from_block(block, choices)));
  }
  return starts;
}

text::Tokenizer load_tokenizer(const CalibrationOptions& texts) {
  if (texts.tokenizer.empty()) {
    fail(
        "\"{}\" is text, and the model has no tokenizer: name one with --tokenizer, or calibrate "
        "on a token file (.bin)",
        texts.files[0].string());
  }
  return text::Tokenizer::load(texts.tokenizer);
}

std::vector<int64_t> draw_from_stream(const CalibrationOptions& options,
                                      const std::vector<fs::path>& token_files,
                                      const CalibrationOptions& texts) {
  IdStream stream;
  for (const fs::path& path : token_files) {
    text::TokenFile file = text::TokenFile::open(path);
    file.check(options.vocabulary);
    stream.add(std::move(file));
  }
  if (!texts.files.empty()) {
    constexpr int64_t kAmple = 8;
    const int64_t enough = kAmple * options.samples * options.context;
    stream.add(ids_of_random_documents(texts, load_tokenizer(texts), enough));
  }
  const std::vector<int64_t> starts = options.sampling == Sampling::kStream
                                          ? starts_without_repetition(options, stream.size())
                                          : starts_anywhere(options, stream.size());
  std::vector<int64_t> ids(static_cast<size_t>(options.samples * options.context));
  const auto context = static_cast<size_t>(options.context);
  for (size_t i = 0; i < starts.size(); ++i) {
    stream.read(starts[i], std::span(ids).subspan(i * context, context));
  }
  return ids;
}

void check(const CalibrationOptions& options) {
  constexpr int64_t kMostIds = int64_t{1} << 31;
  if (options.files.empty()) fail_usage("calibration needs a file of text or tokens");
  if (options.samples < 1 || options.context < 1 || options.samples > kMostIds / options.context) {
    fail_usage("{} calibration samples of {} tokens are outside 1 to {} tokens", options.samples,
               options.context, kMostIds);
  }
}

// The readers have checked what they read; the tokenizer also puts ids around documents.
void check_ids(const std::vector<int64_t>& ids, const CalibrationOptions& options) {
  const auto largest = std::max_element(ids.begin(), ids.end());
  if (*largest < options.vocabulary) return;
  fail(
      "the tokenizer \"{}\" begins or ends documents with the id {}, but the model's vocabulary "
      "has "
      "{}: it is not the model's tokenizer",
      options.tokenizer.string(), *largest, options.vocabulary);
}

}  // namespace

Calibration draw_calibration(const CalibrationOptions& options) {
  check(options);
  CalibrationOptions texts = options;
  const auto is_text = [](const fs::path& path) { return path.extension() != ".bin"; };
  const auto first_token_file =
      std::stable_partition(texts.files.begin(), texts.files.end(), is_text);
  const std::vector<fs::path> token_files(first_token_file, texts.files.end());
  texts.files.erase(first_token_file, texts.files.end());

  std::vector<int64_t> ids;
  if (options.sampling == Sampling::kSparseGpt && !texts.files.empty()) {
    if (!token_files.empty()) {
      fail_usage(
          "--sampling sparsegpt draws from texts or from token files: \"{}\" and \"{}\" cannot be "
          "mixed",
          texts.files[0].string(), token_files[0].string());
    }
    ids = windows_of_random_documents(texts, load_tokenizer(texts));
  } else {
    ids = draw_from_stream(options, token_files, texts);
  }
  check_ids(ids, options);
  Calibration calibration;
  calibration.ids =
      at::empty({options.samples, options.context}, at::TensorOptions().dtype(at::kLong));
  std::copy(ids.begin(), ids.end(), calibration.ids.mutable_data_ptr<int64_t>());
  calibration.hash =
      hash_of({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(ids[0])});
  return calibration;
}

}  // namespace twofour::prune
