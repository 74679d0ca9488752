#include "twofour/train/methods.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "twofour/base/error.h"
#include "twofour/base/numbers.h"

namespace twofour::train {
namespace {

using sparse::Precision;
using sparse::WeightGradient;

// The names of an axis' values.
template <class E>
using Names = std::vector<std::pair<E, std::string>>;

const Names<ForwardWeight> kForwardWeights = {{ForwardWeight::kDense, "dense"},
                                              {ForwardWeight::kMagnitude, "magnitude"},
                                              {ForwardWeight::kTransposable, "transposable"},
                                              {ForwardWeight::kSoft, "soft"},
                                              {ForwardWeight::kFixed, "fixed"}};
const Names<WeightGradient> kWeightGradients = {{WeightGradient::kExact, "exact"},
                                                {WeightGradient::kMvue, "mvue"}};
const Names<Precision> kPrecisions = {{Precision::kNative, "native"}, {Precision::kFloat8, "fp8"}};
const Names<DecayOn> kDecayOn = {{DecayOn::kGradient, "gradient"}, {DecayOn::kWeight, "weight"}};
const Names<SwitchRule> kSwitchRules = {{SwitchRule::kFixed, "fixed"},
                                        {SwitchRule::kArithmetic, "arithmetic"},
                                        {SwitchRule::kGeometric, "geometric"}};
const Names<SecondMoment> kSecondMoments = {{SecondMoment::kAdapt, "adapt"},
                                            {SecondMoment::kFreeze, "freeze"}};
const Names<Freeze> kFreeze = {{Freeze::kMasked, "masked"}, {Freeze::kAll, "all"}};
const Names<WatchedMasks> kWatchedMasks = {{WatchedMasks::kNone, "none"},
                                           {WatchedMasks::kMagnitude, "magnitude"},
                                           {WatchedMasks::kTransposable, "transposable"}};

template <class E>
std::string listed(const Names<E>& names) {
  std::string all;
  for (const auto& [value, name] : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

template <class E>
Axis choice_axis(std::string name, std::string help, E Method::*field, const Names<E>& names) {
  std::vector<std::string> choices;
  for (const auto& [value, known] : names) choices.push_back(known);
  return {name, std::move(help),
          [field, &names](const Method& method) {
            for (const auto& [value, text] : names) {
              if (value == method.*field) return text;
            }
            return std::string();
          },
          [name, field, &names](Method& method, const std::string& text) {
            for (const auto& [value, known] : names) {
              if (known != text) continue;
              method.*field = value;
              return;
            }
            fail_usage("unknown --{} \"{}\": choose one of {}", name, printable(text),
                       listed(names));
          },
          std::move(choices)};
}

template <class Number>
Axis number_axis(std::string name, std::string help, Number Method::*field,
                 double below = std::numeric_limits<double>::infinity()) {
  // The text of any number.
  const std::string range =
      std::isfinite(below) ? fmt::format("0 or more, below {}", below) : "0 or more";
  return {name,
          std::move(help),
          [field](const Method& method) { return fmt::format("{}", method.*field); },
          [name, field, below, range](Method& method, const std::string& text) {
            const auto value = parse_number<Number>(text);
            if (!value || *value < 0 || static_cast<double>(*value) >= below) {
              fail_usage("--{} must be a {}number, {}, but is \"{}\"", name,
                         std::is_integral_v<Number> ? "whole " : "", range, printable(text));
            }
            method.*field = *value;
          },
          {},
          range};
}

// AdamW's β2 is an axis because a method may need its own.
Axis beta2_axis() {
  Axis axis = number_axis("beta2", "AdamW's second moment averages over 1 / (1 - β2) steps",
                          &Method::beta2, 1.0);
  axis.goes_with_every_method = true;
  return axis;
}

Method preset(std::string name, std::string summary, const std::function<void(Method&)>& differs) {
  Method method;
  method.name = std::move(name);
  method.summary = std::move(summary);
  differs(method);
  return method;
}

}  // namespace

const std::vector<Method>& methods() {
  static const std::vector<Method> kMethods = {
      preset("dense", "every weight, every product", [](Method&) {}),
      preset("half", "dense with half the feed-forward width: the equal-FLOPs baseline",
             [](Method& m) { m.feed_forward_share = 0.5; }),
      preset("ste", "magnitude masks in every step, gradients straight through",
             [](Method& m) { m.forward_weight = ForwardWeight::kMagnitude; }),
      preset("sr-ste", "ste with a decay of the pruned weights",
             [](Method& m) {
               m.forward_weight = ForwardWeight::kMagnitude;
               m.decay = 2e-4;
             }),
      preset("step", "dense until Adam's second moment settles, then ste with that moment frozen",
             [](Method& m) {
               m.forward_weight = ForwardWeight::kMagnitude;
               m.switch_rule = SwitchRule::kArithmetic;
               m.second_moment = SecondMoment::kFreeze;
               m.beta2 = 0.999;
             }),
      preset("fst", "transposable masks, MVUE weight gradients, masked decay, a dense end",
             [](Method& m) {
               m.forward_weight = ForwardWeight::kTransposable;
               m.weight_gradient = WeightGradient::kMvue;
               m.decay = 6e-5;
               m.mask_interval = 40;
               m.dense_end = 1.0 / 6;
             }),
      preset("s-ste", "continuous 2:4 pruning by soft threshold, MVUE weight gradients",
             [](Method& m) {
               m.forward_weight = ForwardWeight::kSoft;
               m.weight_gradient = WeightGradient::kMvue;
             }),
  };
  return kMethods;
}

const Method& method_named(std::string_view name) {
  std::string known;
  for (const Method& method : methods()) {
    if (method.name == name) return method;
    known += (known.empty() ? "" : ", ") + method.name;
  }
  fail_usage("unknown method \"{}\": choose one of {}", printable(name), known);
}

const std::vector<Axis>& axes() {
  static const std::vector<Axis> kAxes = {
      choice_axis("forward-weight", "weight of the products", &Method::forward_weight,
                  kForwardWeights),
      choice_axis("weight-gradient", "estimator of dW", &Method::weight_gradient, kWeightGradients),
      choice_axis("precision", "precision of the chosen layers' products", &Method::precision,
                  kPrecisions),
      number_axis("decay", "λ on pruned weights", &Method::decay),
      choice_axis("decay-on", "where λ acts", &Method::decay_on, kDecayOn),
      number_axis("mask-interval", "steps between mask searches; 0 = keep the first masks",
                  &Method::mask_interval),
      number_axis("dense-start", "dense steps at the start: a share below 1, else a number",
                  &Method::dense_start),
      number_axis("dense-end", "dense steps at the end: a share below 1, else a number",
                  &Method::dense_end),
      choice_axis("switch", "rule that ends the dense start", &Method::switch_rule, kSwitchRules),
      number_axis("switch-threshold", "AutoSwitch: mean change of the second moment",
                  &Method::switch_threshold),
      number_axis("switch-earliest", "AutoSwitch: earliest share of the steps",
                  &Method::switch_earliest),
      number_axis("switch-latest", "AutoSwitch: latest share of the steps", &Method::switch_latest),
      choice_axis("second-moment", "AdamW's second moment after the dense start",
                  &Method::second_moment, kSecondMoments),
      choice_axis("freeze", "weights whose second moment freezes", &Method::freeze, kFreeze),
      beta2_axis(),
      choice_axis("watch-masks", "masks of a dense run to watch", &Method::watched_masks,
                  kWatchedMasks),
      {"sparse-layers",
       "regular expression that the names of the layers' weights contain; the default is the "
       "feed-forward layers, with --forward-weight fixed all that have masks",
       [](const Method& method) { return method.layers; },
       [](Method& method, const std::string& text) { method.layers = text; }},
  };
  return kAxes;
}

int64_t dense_steps(double share_or_steps, int64_t steps) {
  constexpr double kMost = 1e15;  // above it, their sums would not be exact
  return std::llround(share_or_steps < 1 ? share_or_steps * static_cast<double>(steps)
                                         : std::min(share_or_steps, kMost));
}

namespace {

// Refuses values that need another option. Defaults pass, because they look like values that were
// not given.
void check_has_use(const Method& method) {
  const Method unset;
  if (!method.has_auto_switch()) {
    const auto refuse = [](const char* flag, double value) {
      fail_usage("--{} {} makes no sense with --switch fixed: it is one of AutoSwitch's bounds",
                 flag, value);
    };
    if (method.switch_threshold != unset.switch_threshold) {
      refuse("switch-threshold", method.switch_threshold);
    }
    if (method.switch_earliest != unset.switch_earliest) {
      refuse("switch-earliest", method.switch_earliest);
    }
    if (method.switch_latest != unset.switch_latest) refuse("switch-latest", method.switch_latest);
  }
  if (method.second_moment == SecondMoment::kAdapt && method.freeze != unset.freeze) {
    fail_usage("--freeze all makes no sense with --second-moment adapt: no moment freezes");
  }
  if (method.decay == 0 && method.decay_on != unset.decay_on) {
    fail_usage("--decay-on weight makes no sense with --decay 0: nothing decays");
  }
  constexpr char kOlderDefault[] = "[.]mlp[.]";  // in the config.toml of older runs
  if (!method.has_chosen_layers() && method.layers != unset.layers &&
      method.layers != kOlderDefault) {
    fail_usage(
        "--sparse-layers \"{}\" makes no sense where every layer is dense: choose a sparse "
        "--method, "
        "or --watch-masks",
        printable(method.layers));
  }
}

void check_dense_phases(const Method& method, int64_t steps) {
  const bool is_auto = method.has_auto_switch();
  const int64_t start = dense_steps(method.dense_start, steps);
  const int64_t end = dense_steps(method.dense_end, steps);
  if (is_auto && start > 0) {
    fail_usage(
        "--dense-start and --switch {} both set the end of the dense start: give one of them",
        method.switch_rule == SwitchRule::kArithmetic ? "arithmetic" : "geometric");
  }
  if (is_auto && !(method.switch_earliest <= method.switch_latest && method.switch_latest < 1)) {
    fail_usage("--switch-earliest {} and --switch-latest {} must be shares of the steps in order",
               method.switch_earliest, method.switch_latest);
  }
  const int64_t longest = is_auto ? dense_steps(method.switch_latest, steps) : start;
  if (longest + end >= steps) {
    fail_usage("{} dense steps at the start and {} at the end leave none of {} steps sparse",
               longest, end, steps);
  }
  if (method.second_moment == SecondMoment::kFreeze && !is_auto && start == 0) {
    fail_usage(
        "--second-moment freeze would freeze it at zero: it needs a dense start (--dense-start or "
        "--switch)");
  }
}

void check_without_sparse_weights(const Method& method) {
  const auto refuse = [](const char* flag, const char* reason) {
    fail_usage("--{} needs sparse forward weights, but --forward-weight is dense: {}", flag,
               reason);
  };
  if (method.decay > 0) refuse("decay", "no weight is pruned that could decay");
  if (method.dense_start > 0) refuse("dense-start", "every step is dense");
  if (method.dense_end > 0) refuse("dense-end", "every step is dense");
  if (method.has_auto_switch()) refuse("switch", "there is nothing to switch to");
  if (method.second_moment == SecondMoment::kFreeze) {
    refuse("second-moment freeze", "no dense start ends");
  }
  if (method.watched_masks == WatchedMasks::kNone && method.mask_interval != 1) {
    refuse("mask-interval", "there are no masks (--watch-masks watches some)");
  }
  if (method.watched_masks != WatchedMasks::kNone && method.mask_interval == 0) {
    fail_usage("--watch-masks makes no sense with --mask-interval 0: masks that stay never flip");
  }
}

}  // namespace

void check_method(const Method& method, int64_t steps, c10::ScalarType dtype) {
  if (method.precision == Precision::kFloat8 && dtype == c10::ScalarType::Half) {
    fail_usage(
        "--precision fp8 does not go with --dtype float16, whose range the scaled products leave: "
        "use bfloat16 or float32");
  }
  if (!method.is_sparse()) {
    check_without_sparse_weights(method);
    return check_has_use(method);
  }
  check_has_use(method);
  check_dense_phases(method, steps);
  if (method.watched_masks != WatchedMasks::kNone) {
    fail_usage(
        "--watch-masks is for dense forward weights: with --forward-weight {} the masks in use are "
        "watched",
        axes()[0].get(method));
  }
  if (method.has_given_masks() && method.mask_interval != 1) {
    fail_usage("--mask-interval {} makes no sense with --forward-weight fixed: no mask is searched",
               method.mask_interval);
  }
  if (method.forward_weight == ForwardWeight::kSoft && method.mask_interval != 1) {
    fail_usage(
        "--mask-interval {} makes no sense with --forward-weight soft: the soft threshold follows "
        "the weights in every step",
        method.mask_interval);
  }
}

}  // namespace twofour::train
