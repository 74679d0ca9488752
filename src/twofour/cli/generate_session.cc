#include "twofour/cli/generate_session.h"

#include <algorithm>
#include <utility>

#include "twofour/base/error.h"
#include "twofour/base/log.h"
#include "twofour/cli/text_stream.h"
#include "twofour/tensor/dtype.h"
#include "twofour/text/decoder.h"
#include "twofour/text/token_file.h"

namespace twofour::cli {
namespace {

double per_second(int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
}

// The settings of generation_config.json that transformers' generate would apply.
void take_over(const checkpoint::FolderConfig& config, const GenerateFlags& flags,
               model::GenerateOptions& options) {
  for (const std::string& name : config.not_applied) {
    spdlog::warn("generation_config.json sets {}, which is not applied here", name);
  }
  options.repetition_penalty =
      flags.repetition_penalty.value_or(config.repetition_penalty.value_or(1.0));
  if (config.repetition_penalty && !flags.repetition_penalty) {
    spdlog::info(
        "repetition penalty {}, as generation_config.json says: --repetition-penalty 1 for none",
        *config.repetition_penalty);
  }
}

}  // namespace

GenerateSession::GenerateSession(const GenerateFlags& flags)
    : flags_(flags), folder_(open_model(flags.model)), options_(flags.options) {
  const checkpoint::SpecialIds& special = folder_.config().special;
  options_.overflow = flags.overflow == "shift" ? model::Overflow::kShift : model::Overflow::kStop;
  options_.end_tokens = special.end;
  take_over(folder_.config(), flags, options_);
  if (flags.prompt_ids.empty()) {
    tokenizer_ = text::Tokenizer::load(folder_.place().tokenizer);
    options_.drawable = tokenizer_->known_ids();
    const auto end = tokenizer_->end_of_text();
    if (options_.end_tokens.empty() && end) options_.end_tokens.push_back(*end);
  }
  load();
}

void GenerateSession::load() {
  model_ = folder_.load(tensor::dtype_named(flags_.dtype));
  if (flags_.weights == "packed" && model::keep_packed(model_, model::Pack::kAlways) == 0) {
    fail("\"{}\" has no 2:4 sparse layer to pack: use --weights auto or dense", flags_.model.path);
  }
  if (flags_.weights == "auto") model::keep_packed(model_, model::Pack::kWhereItPays);
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined()) weight_bytes_ += static_cast<int64_t>(tensor.nbytes());
  };
  model_.visit([&](const std::string&, at::Tensor& tensor) { add(tensor); });
  model_.visit_linears([&](const std::string&, model::Linear& linear) {
    add(linear.packed.values);
    add(linear.packed.positions);
    packed_layers_ += linear.packed.values.defined();
  });
}

Prompt GenerateSession::prompt_of(const std::string& text) const {
  Prompt prompt{text, {}};
  // The prompt follows the tokens that its tokenizer puts before a text, as in training.
  const std::vector<int32_t>& before = tokenizer_->prefix_ids();
  const std::vector<int32_t> ids = tokenizer_->encode(text);
  prompt.ids.assign(before.begin(), before.end());
  prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
  const auto begin = tokenizer_->begin_of_text();
  const auto& special = folder_.config().special.begin;
  if (prompt.ids.empty() && begin) prompt.ids.push_back(*begin);
  if (prompt.ids.empty() && special) prompt.ids.push_back(*special);
  return prompt;
}

Prompt GenerateSession::prompt_of_ids(const std::string& path) const {
  return {"", text::read_token_ids(path, model_.output().weight.size(0))};
}

Continuation GenerateSession::continue_prompt(const Prompt& prompt, uint32_t sample,
                                              const std::function<void(std::string_view)>& print,
                                              const std::function<bool()>& goes_on) const {
  Continuation made;
  TextStream stream(flags_.stops, print);
  // The decoder sees the prompt first, so the first new word keeps its space.
  std::optional<text::Decoder> decoder;
  if (tokenizer_) {
    decoder.emplace(*tokenizer_, /*skip_special=*/true);
    for (const int64_t id : prompt.ids) decoder->add(static_cast<int32_t>(id));
  }
  model::GenerateOptions options = options_;
  options.sample = sample;
  made.result = model::generate(model_, prompt.ids, options, [&](int64_t id) {
    made.ids.push_back(id);
    const bool is_open = !decoder || stream.add(decoder->add(static_cast<int32_t>(id)));
    return is_open && goes_on();
  });
  if (decoder) stream.add(decoder->finish());
  stream.finish();
  made.text = stream.text();
  return made;
}

nlohmann::ordered_json GenerateSession::stats_of(const Prompt& prompt,
                                                 const std::vector<Continuation>& samples) const {
  // The step that reads the prompt also makes the first new token of each sample.
  int64_t later = 0;
  double prompt_seconds = 0, seconds = 0;
  for (const Continuation& sample : samples) {
    later += std::max<int64_t>(sample.result.tokens - 1, 0);
    prompt_seconds += sample.result.prompt_seconds;
    seconds += sample.result.seconds;
  }
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  const auto all = prompt_tokens * static_cast<int64_t>(samples.size());
  return {{"prompt_tokens", prompt_tokens},
          {"prompt_tokens_per_second", per_second(all, prompt_seconds)},
          {"tokens_per_second", per_second(later, seconds)},
          {"weight_bytes", weight_bytes_},
          {"packed_layers", packed_layers_}};
}

double GenerateSession::dense_tokens_per_second(const Prompt& prompt, int64_t tokens) {
  model_ = {};
  const model::Model dense = folder_.load(tensor::dtype_named(flags_.dtype));
  model::GenerateOptions options = options_;
  options.max_tokens = tokens;
  const auto result = model::generate(dense, prompt.ids, options, [](int64_t) { return true; });
  return per_second(std::max<int64_t>(result.tokens - 1, 0), result.seconds);
}

}  // namespace twofour::cli
