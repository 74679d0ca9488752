#include "twofour/model/generate.h"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/softmax.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "twofour/model/loss.h"

#include "testing.h"

namespace twofour::model {
namespace {

constexpr int64_t kVocabulary = 11;

Model small_model() {
  Gpt2Config config;
  config.vocabulary = kVocabulary;
  config.context = 16;
  config.width = 16;
  config.layers = 1;
  config.heads = 2;
  config.feed_forward = 32;
  Model model{make_random(config, 4)};
  const at::NoGradGuard no_gradients;
  model.visit_frame([](const std::string& name, at::Tensor& tensor) {
    if (name.ends_with("wte.weight")) tensor.mul_(20);  // makes some tokens likelier
  });
  return model;
}

const std::vector<int64_t> kPrompt = {3, 1, 4};

std::vector<int64_t> ids_of(const Model& model, const GenerateOptions& options) {
  std::vector<int64_t> ids;
  generate(model, kPrompt, options, [&](int64_t id) {
    ids.push_back(id);
    return true;
  });
  return ids;
}

/// The model's distribution of the first new token.
std::vector<double> probabilities(const Model& model, double temperature) {
  const at::NoGradGuard no_gradients;
  std::vector<int64_t> prompt = kPrompt;
  const at::Tensor ids = at::scalar_tensor(0, at::kLong).expand({1, 3}).contiguous();
  std::copy(prompt.begin(), prompt.end(), ids.mutable_data_ptr<int64_t>());
  const at::Tensor logits = logits_of(model.output(), hidden_of(model, ids)).select(0, 2);
  const at::Tensor p = at::softmax(logits.to(at::kDouble).div(temperature), 0);
  return {p.const_data_ptr<double>(), p.const_data_ptr<double>() + kVocabulary};
}

/// How often each id comes first, over many seeds.
std::vector<double> frequencies(const Model& model, GenerateOptions options, int draws) {
  options.max_tokens = 1;
  std::vector<double> counts(kVocabulary);
  for (int seed = 0; seed < draws; ++seed) {
    options.seed = static_cast<uint64_t>(seed);
    counts[static_cast<size_t>(ids_of(model, options).at(0))] += 1.0 / draws;
  }
  return counts;
}

// 1500 draws: a frequency is off by more than 5 standard deviations (0.065) once in a million.
constexpr int kDraws = 1500;
constexpr double kTolerance = 0.065;

TEST(Generate, draws_with_the_models_probabilities_at_any_temperature) {
  const Model model = small_model();
  for (const double temperature : {0.5, 1.0, 2.0}) {
    GenerateOptions options;
    options.temperature = temperature;
    const auto expected = probabilities(model, temperature),
               drawn = frequencies(model, options, kDraws);
    for (size_t id = 0; id < expected.size(); ++id) {
      EXPECT_NEAR(drawn[id], expected[id], kTolerance) << id << " at " << temperature;
    }
  }
}

TEST(Generate, top_k_and_top_p_cut_and_renormalise) {
  const Model model = small_model();
  const auto p = probabilities(model, 1.0);
  std::vector<size_t> order(p.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  const auto expect_among = [&](const GenerateOptions& options, size_t kept) {
    double total = 0;
    for (size_t i = 0; i < kept; ++i) total += p[order[i]];
    const auto drawn = frequencies(model, options, kDraws);
    for (size_t i = 0; i < order.size(); ++i) {
      EXPECT_NEAR(drawn[order[i]], i < kept ? p[order[i]] / total : 0.0,
                  i < kept ? kTolerance : 0.0);
    }
  };
  GenerateOptions options;
  options.top_k = 3;
  expect_among(options, 3);
  options.top_k = 0;
  options.top_p = p[order[0]] + p[order[1]] * 0.5;  // needs the second one
  expect_among(options, 2);
  options.top_p = 0;  // at least one is kept
  expect_among(options, 1);
}

TEST(Generate, greedy_takes_the_likeliest_and_seeds_repeat) {
  const Model model = small_model();
  GenerateOptions options;
  options.temperature = 0;
  const auto p = probabilities(model, 1.0);
  const auto likeliest = std::max_element(p.begin(), p.end()) - p.begin();
  EXPECT_EQ(ids_of(model, options).at(0), likeliest);
  options.temperature = 1;
  options.seed = 5;
  const auto first = ids_of(model, options);
  EXPECT_EQ(ids_of(model, options), first);
  options.seed = 6;
  EXPECT_NE(ids_of(model, options), first);
}

TEST(Generate, every_token_is_drawn_anew) {
  Model model = small_model();
  const at::NoGradGuard no_gradients;
  model.visit_frame([](const std::string&, at::Tensor& tensor) { tensor.zero_(); });
  GenerateOptions options;
  const auto ids = ids_of(model, options);  // all ids are equally likely
  EXPECT_EQ(ids.size(), 13u);
  EXPECT_GT(std::set<int64_t>(ids.begin(), ids.end()).size(), 3u);
}

// As in transformers: penalty, temperature, top-k, top-p, min-p.
TEST(Generate, min_p_keeps_what_is_likely_enough_beside_the_likeliest) {
  const Model model = small_model();
  const auto p = probabilities(model, 1.0);
  const double highest = *std::max_element(p.begin(), p.end());
  GenerateOptions options;
  for (const double min_p : {0.05, 0.3, 1.0}) {
    options.min_p = min_p;
    double kept = 0;
    for (const double each : p) kept += each >= min_p * highest ? each : 0;
    const auto drawn = frequencies(model, options, kDraws);
    for (size_t id = 0; id < p.size(); ++id) {
      const double expected = p[id] >= min_p * highest ? p[id] / kept : 0;
      EXPECT_NEAR(drawn[id], expected, expected > 0 ? kTolerance : 0) << id << " at " << min_p;
    }
  }
}

TEST(Generate,
     the_penalty_divides_positive_logits_of_the_tokens_so_far_and_multiplies_negative_ones) {
  const Model model = small_model();
  const at::NoGradGuard no_gradients;
  for (const double penalty : {0.5, 1.3, 4.0}) {
    std::vector<int64_t> ids = kPrompt;
    GenerateOptions options;
    options.temperature = 0;
    options.repetition_penalty = penalty;
    options.max_tokens = 8;
    for (const int64_t id : ids_of(model, options)) {
      const auto count = static_cast<int64_t>(ids.size());
      const at::Tensor input = at::scalar_tensor(0, at::kLong).expand({1, count}).contiguous();
      std::copy(ids.begin(), ids.end(), input.mutable_data_ptr<int64_t>());
      const at::Tensor logits =
          logits_of(model.output(), hidden_of(model, input)).select(0, count - 1).to(at::kFloat);
      std::vector<float> values(logits.const_data_ptr<float>(),
                                logits.const_data_ptr<float>() + kVocabulary);
      for (const int64_t seen : std::set<int64_t>(ids.begin(), ids.end())) {
        float& value = values[static_cast<size_t>(seen)];
        value =
            value < 0 ? value * static_cast<float>(penalty) : value / static_cast<float>(penalty);
      }
      EXPECT_EQ(id, std::max_element(values.begin(), values.end()) - values.begin());
      ids.push_back(id);
    }
  }
}

TEST(Generate, ids_that_the_tokenizer_lacks_are_never_drawn_unless_they_end_the_text) {
  const Model model = small_model();
  const auto p = probabilities(model, 1.0);
  GenerateOptions options;
  options.drawable = {true, true, false, true, true, true};  // neither 2 nor 6 and more
  const auto is_drawn = [&](size_t id) { return id < 6 && id != 2; };
  double total = 0;
  for (size_t id = 0; id < 6; ++id) total += is_drawn(id) ? p[id] : 0;
  const auto drawn = frequencies(model, options, kDraws);
  for (size_t id = 0; id < p.size(); ++id) {
    EXPECT_NEAR(drawn[id], is_drawn(id) ? p[id] / total : 0, is_drawn(id) ? kTolerance : 0);
  }
  options.temperature = 0;
  const int64_t likeliest = std::max_element(p.begin(), p.end()) - p.begin();
  options.drawable = std::vector<bool>(p.size(), true);
  options.drawable[static_cast<size_t>(likeliest)] = false;
  EXPECT_NE(ids_of(model, options).at(0), likeliest);
  options.end_tokens = {likeliest};
  EXPECT_TRUE(ids_of(model, options).empty());
}

TEST(Generate, samples_of_one_seed_differ_and_repeat) {
  const Model model = small_model();
  GenerateOptions options;
  std::set<std::vector<int64_t>> samples;
  for (options.sample = 0; options.sample < 4; ++options.sample) {
    samples.insert(ids_of(model, options));
    EXPECT_EQ(samples.count(ids_of(model, options)), 1u);
  }
  EXPECT_EQ(samples.size(), 4u);
}

TEST(Generate, logits_that_are_no_numbers_are_an_error) {
  Model model = small_model();
  const at::NoGradGuard no_gradients;
  model.visit_frame([](const std::string& name, at::Tensor& tensor) {
    if (name.ends_with("ln_f.bias")) tensor.fill_(std::nan(""));
  });
  for (const double temperature : {0.0, 1.0}) {
    GenerateOptions options;
    options.temperature = temperature;
    EXPECT_THAT_ERROR(ids_of(model, options), "the logit nan");
  }
}

// A full window is cut to its first `kept` and the newest half of the others; generation continues
// as from that window alone.
TEST(Generate, a_shifted_context_goes_on_as_its_window_by_itself) {
  const Model model = small_model();
  for (const int64_t kept : {0, 2, 14, 15}) {
    GenerateOptions options;
    options.temperature = 0;
    options.max_tokens = 60;
    options.overflow = Overflow::kShift;
    options.kept = kept;
    const std::vector<int64_t> made = ids_of(model, options);
    ASSERT_EQ(made.size(), 60u);
    std::vector<int64_t> window = kPrompt;
    GenerateOptions one;
    one.temperature = 0;
    one.max_tokens = 1;
    one.overflow = Overflow::kShift;  // a window may fill all but the new token's place
    std::vector<int64_t> all = kPrompt;
    for (const int64_t id : made) {
      int64_t expected = -1;
      generate(model, window, one, [&](int64_t next) {
        expected = next;
        return true;
      });
      ASSERT_EQ(id, expected) << "after " << all.size() << " with " << kept;
      all.push_back(id);
      window.push_back(id);
      if (window.size() <= 16) continue;
      window.assign(all.begin(), all.begin() + kept);
      window.insert(window.end(), all.end() - std::max<int64_t>((16 - kept) / 2, 1), all.end());
    }
  }
  GenerateOptions options;
  options.overflow = Overflow::kShift;
  options.kept = 16;
  EXPECT_THAT_ERROR(ids_of(model, options), "--keep 16");
}

TEST(Generate, stops_for_the_reason_that_it_names) {
  const Model model = small_model();
  GenerateOptions options;
  options.temperature = 0;
  const auto run = [&](const std::function<bool(int64_t)>& on_token) {
    return generate(model, kPrompt, options, on_token);
  };
  const auto go_on = [](int64_t) { return true; };
  GenerateResult result = run(go_on);
  EXPECT_EQ(result.reason, StopReason::kContextFull);
  EXPECT_EQ(result.tokens, 13);
  options.max_tokens = 2;
  EXPECT_EQ(run(go_on).reason, StopReason::kMaxTokens);
  EXPECT_EQ(run([](int64_t) { return false; }).reason, StopReason::kCaller);
  options.max_tokens = 13;
  const auto ids = ids_of(model, options);
  options.end_tokens = {kVocabulary + 5, ids[0]};
  result = run(go_on);
  EXPECT_EQ(result.reason, StopReason::kEndToken);
  EXPECT_EQ(result.tokens, 0);
  EXPECT_THAT_ERROR(generate(model, {}, options, go_on), "no tokens");
  EXPECT_THAT_ERROR(generate(model, std::vector<int64_t>(16, 1), options, go_on),
                    "fills the model");
  EXPECT_THAT_ERROR(generate(model, std::vector<int64_t>{11}, options, go_on), "token id 11");
}

}  // namespace
}  // namespace twofour::model
