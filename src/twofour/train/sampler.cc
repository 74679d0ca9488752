#include "twofour/train/sampler.h"

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/random.h"
#include "twofour/model/generate.h"

namespace twofour::train {
namespace {

constexpr double kTemperature = 0.8;

// The same tensors without 2:4 kernels: these would choose implementations for products of one
// token, and choices are part of a checkpoint.
model::Model reader_of(const model::Model& model) {
  model::Model reader = model;
  reader.visit_linears(
      [](const std::string&, model::Linear& linear) { linear.weight24 = nullptr; });
  return reader;
}

text::Tokenizer tokenizer_of(const TrainOptions& options) {
  const fs::path folder = options.data.folder / "tokenizer";
  if (!fs::exists(folder)) {
    fail_usage("--sample-every needs the tokenizer of the data: there is no \"{}\"",
               folder.string());
  }
  return text::Tokenizer::load(folder);
}

}  // namespace

Sampler::Sampler(const TrainOptions& options)
    : options_(options), tokenizer_(tokenizer_of(options)) {
  const std::vector<int32_t>& before = tokenizer_.prefix_ids();
  prompt_.assign(before.begin(), before.end());
  for (const int32_t id : tokenizer_.encode(options.run.sample_prompt)) prompt_.push_back(id);
  if (prompt_.empty()) {
    const auto begin =
        tokenizer_.begin_of_text() ? tokenizer_.begin_of_text() : tokenizer_.end_of_text();
    if (!begin) fail_usage("--sample-prompt is empty, and the tokenizer has no token for a start");
    prompt_.push_back(*begin);
  }
  const auto length = static_cast<int64_t>(prompt_.size());
  if (length >= options.context()) {
    fail_usage("the --sample-prompt of {} tokens fills the context of {}", length,
               options.context());
  }
}

std::string Sampler::continuation(const model::Model& model, int64_t step) const {
  const auto bits = philox(
      {static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32), 0, RandomStream::kSampling},
      options_.run.seed);
  model::GenerateOptions options;
  options.max_tokens = options_.run.sample_tokens;
  options.temperature = kTemperature;
  options.seed = uint64_t{bits[0]} << 32 | bits[1];
  options.drawable = tokenizer_.known_ids();
  if (const auto end = tokenizer_.end_of_text()) options.end_tokens.push_back(*end);
  std::vector<int32_t> ids;
  model::generate(reader_of(model), prompt_, options, [&](int64_t id) {
    ids.push_back(static_cast<int32_t>(id));
    return true;
  });
  return tokenizer_.decode(ids);
}

}  // namespace twofour::train
