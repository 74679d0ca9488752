#include "twofour/train/methods.h"

#include <map>

#include <gtest/gtest.h>

#include "testing.h"

namespace twofour::train {
namespace {

using Values = std::map<std::string, std::string>;

Values values_of(const Method& method) {
  Values values;
  for (const Axis& axis : axes()) values[axis.name] = axis.get(method);
  return values;
}

void set(Method& method, const std::string& name, const std::string& value) {
  for (const Axis& axis : axes()) {
    if (axis.name == name) return axis.set(method, value);
  }
  ADD_FAILURE() << "no axis " << name;
}

// The preset `name` with changed values.
Method changed(const std::string& name, const Values& values) {
  Method method = method_named(name);
  for (const auto& [axis, value] : values) set(method, axis, value);
  return method;
}

void check(const std::string& name, const Values& values, int64_t steps = 100,
           c10::ScalarType dtype = c10::ScalarType::Float) {
  check_method(changed(name, values), steps, dtype);
}

// tests/methods_test.py compares the presets with the published runs.
TEST(Methods, presets_are_valid_and_all_different) {
  std::map<std::pair<Values, double>, std::string> seen;
  for (const Method& method : methods()) {
    check_method(method, 12, c10::ScalarType::Half);
    EXPECT_FALSE(method.summary.empty()) << method.name;
    const auto [same, is_new] =
        seen.insert({{values_of(method), method.feed_forward_share}, method.name});
    EXPECT_TRUE(is_new) << method.name << " is " << same->second;
    EXPECT_EQ(&method_named(method.name), &method) << "two of one name";
  }
}

TEST(Methods, an_unknown_name_lists_the_known_ones) {
  EXPECT_THAT_ERROR(method_named("sste"),
                    "choose one of dense, half, ste, sr-ste, step, fst, s-ste");
}

// Every value in the help, and some numbers.
std::vector<std::string> examples_of(const Axis& axis) {
  Method method;
  std::vector<std::string> examples;
  try {
    axis.set(method, "\"no such value\"");
  } catch (const Error& error) {
    const std::string what = error.what(), listing = "choose one of ";
    const size_t list = what.find(listing);
    if (list == std::string::npos) {
      if (axis.name == "mask-interval") return {"0", "40", "9000000000"};
      if (axis.name == "beta2") return {"0", "0.5", "0.999999"};
      return {"0", "0.3", "1e-08", "17.25"};
    }
    std::string rest = what.substr(list + listing.size());
    for (size_t comma; (comma = rest.find(", ")) != std::string::npos;) {
      examples.push_back(rest.substr(0, comma));
      rest = rest.substr(comma + 2);
    }
    examples.push_back(rest);
    EXPECT_EQ(examples, axis.choices);
    return examples;
  }
  return {"[.]mlp[.]", "c_attn", ""};
}

TEST(Axes, every_value_is_read_back_as_it_was_set) {
  for (const Axis& axis : axes()) {
    const auto examples = examples_of(axis);
    EXPECT_GE(examples.size(), 2u) << axis.name;
    for (const std::string& value : examples) {
      Method method = method_named("fst");
      Values expected = values_of(method);
      axis.set(method, value);
      expected[axis.name] = value;
      EXPECT_EQ(values_of(method), expected) << axis.name << " " << value;
    }
    for (const Method& preset : methods()) {
      Method copy;
      axis.set(copy, axis.get(preset));
      EXPECT_EQ(axis.get(copy), axis.get(preset)) << axis.name << " of " << preset.name;
    }
  }
}

TEST(Axes, a_bad_value_is_refused_and_changes_nothing) {
  for (const Axis& axis : axes()) {
    if (axis.name == "sparse-layers") continue;  // read when the layers are known
    for (const char* bad : {"", " ", "x", "1x", " 1", "1 ", "-1", "nan", "inf", "1e999", "0x1",
                            "1,5", "dense ", "Dense", "exact,mvue"}) {
      Method method = method_named("fst");
      SCOPED_TRACE(axis.name + " " + bad);
      EXPECT_THAT_ERROR(axis.set(method, bad), "--" + axis.name);
      EXPECT_EQ(values_of(method), values_of(method_named("fst"))) << axis.name << " " << bad;
    }
  }
  Method method;
  EXPECT_THAT_ERROR(set(method, "mask-interval", "1.5"),
                    "must be a whole number, 0 or more, but is \"1.5\"");
  EXPECT_THAT_ERROR(set(method, "decay", "-1"), "--decay must be a number, 0 or more, but is");
  EXPECT_THAT_ERROR(set(method, "beta2", "1"), "--beta2 must be a number, 0 or more, below 1");
}

TEST(DenseSteps, are_a_share_below_one_and_a_number_from_there) {
  EXPECT_EQ(dense_steps(0, 100), 0);
  EXPECT_EQ(dense_steps(1.0 / 6, 600), 100);
  EXPECT_EQ(dense_steps(1.0 / 6, 10), 2);
  EXPECT_EQ(dense_steps(0.004, 100), 0);
  EXPECT_EQ(dense_steps(0.5, 5), 3);
  EXPECT_EQ(dense_steps(0.9999999, 100), 100);
  EXPECT_EQ(dense_steps(1, 100), 1);
  EXPECT_EQ(dense_steps(40, 100), 40);
  EXPECT_EQ(dense_steps(140, 100), 140);
  EXPECT_GT(dense_steps(1e300, 100), 100) << "no wrap";
}

TEST(CheckMethod, refuses_what_needs_sparse_weights_with_the_reason) {
  for (const char* name : {"dense", "half"}) {
    EXPECT_THAT_ERROR(check(name, {{"decay", "1e-4"}}), "no weight is pruned that could decay");
    EXPECT_THAT_ERROR(check(name, {{"dense-start", "5"}}), "--dense-start needs sparse forward");
    EXPECT_THAT_ERROR(check(name, {{"dense-end", "0.1"}}), "--dense-end needs sparse forward");
    EXPECT_THAT_ERROR(check(name, {{"switch", "geometric"}}), "there is nothing to switch to");
    EXPECT_THAT_ERROR(check(name, {{"second-moment", "freeze"}}), "no dense start ends");
    EXPECT_THAT_ERROR(check(name, {{"mask-interval", "40"}}), "there are no masks");
    check(name, {{"watch-masks", "transposable"}, {"mask-interval", "40"}});
    check(name, {{"weight-gradient", "mvue"}, {"precision", "fp8"}});
  }
}

TEST(CheckMethod, refuses_phases_that_contradict_each_other_or_leave_no_sparse_step) {
  EXPECT_THAT_ERROR(check("step", {{"dense-start", "5"}}),
                    "--dense-start and --switch arithmetic both set");
  EXPECT_THAT_ERROR(check("ste", {{"dense-start", "0.2"}, {"switch", "geometric"}}),
                    "--dense-start and --switch geometric both set");
  EXPECT_THAT_ERROR(check("step", {{"switch-earliest", "0.6"}}),
                    "--switch-earliest 0.6 and --switch-latest 0.5 must be shares");
  EXPECT_THAT_ERROR(check("step", {{"switch-latest", "1"}}),
                    "must be shares of the steps in order");
  EXPECT_THAT_ERROR(check("ste", {{"dense-start", "60"}, {"dense-end", "40"}}),
                    "60 dense steps at the start and 40 at the end leave none of 100 steps sparse");
  check("ste", {{"dense-start", "60"}, {"dense-end", "39"}});
  EXPECT_THAT_ERROR(check("step", {{"dense-end", "0.5"}}),
                    "50 dense steps at the start and 50 at the end leave none");
  check("step", {{"dense-end", "0.49"}});
  EXPECT_THAT_ERROR(check("fst", {{"dense-end", "100"}}), "leave none of 100 steps");
  EXPECT_THAT_ERROR(check("fst", {{"dense-end", "1e300"}}), "leave none of 100 steps");
  EXPECT_THAT_ERROR(check("fst", {{"dense-start", "1e19"}}), "leave none of 100 steps");
  EXPECT_THAT_ERROR(check("step", {{"switch-latest", "0.9"}}, 4), "leave none of 4 steps sparse");
}

TEST(CheckMethod, refuses_to_freeze_a_second_moment_of_zeros) {
  EXPECT_THAT_ERROR(check("ste", {{"second-moment", "freeze"}}), "would freeze it at zero");
  EXPECT_THAT_ERROR(check("ste", {{"second-moment", "freeze"}, {"dense-start", "0.004"}}),
                    "would freeze it at zero");
  check("ste", {{"second-moment", "freeze"}, {"dense-start", "1"}});
}

TEST(CheckMethod, refuses_a_value_that_nothing_uses) {
  for (const char* name : {"ste", "s-ste", "dense"}) {
    EXPECT_THAT_ERROR(check(name, {{"switch-threshold", "1"}}),
                      "--switch-threshold 1 makes no sense");
    EXPECT_THAT_ERROR(check(name, {{"switch-earliest", "0.2"}}),
                      "makes no sense with --switch fixed");
    EXPECT_THAT_ERROR(check(name, {{"switch-latest", "0.2"}}),
                      "makes no sense with --switch fixed");
    EXPECT_THAT_ERROR(check(name, {{"freeze", "all"}}), "no moment freezes");
    EXPECT_THAT_ERROR(check(name, {{"decay-on", "weight"}}), "nothing decays");
  }
  for (const char* name : {"dense", "half"}) {
    for (const char* layers : {"c_attn", "mlp(", "norm"}) {
      EXPECT_THAT_ERROR(check(name, {{"sparse-layers", layers}}), "where every layer is dense");
      check(name,
            {{"sparse-layers", layers}, {"watch-masks", "magnitude"}});  // read with the model
      check(name, {{"sparse-layers", layers}, {"precision", "fp8"}});
    }
    EXPECT_THAT_ERROR(check(name, {{"watch-masks", "magnitude"}, {"mask-interval", "0"}}),
                      "masks that stay never flip");
  }
  check("step", {{"switch-threshold", "1"}, {"switch-earliest", "0.2"}, {"freeze", "all"}});
  check("sr-ste", {{"decay-on", "weight"}});
}

TEST(CheckMethod, refuses_what_cannot_go_together) {
  EXPECT_THAT_ERROR(check("s-ste", {{"mask-interval", "40"}}), "follows the weights in every step");
  EXPECT_THAT_ERROR(check("s-ste", {{"mask-interval", "0"}}), "--mask-interval 0 makes no sense");
  EXPECT_THAT_ERROR(check("fst", {{"watch-masks", "magnitude"}}),
                    "with --forward-weight transposable the masks in use are watched");
  for (const char* name : {"dense", "s-ste"}) {
    EXPECT_THAT_ERROR(check(name, {{"precision", "fp8"}}, 100, c10::ScalarType::Half),
                      "--precision fp8 does not go with --dtype float16");
    check(name, {{"precision", "fp8"}}, 100, c10::ScalarType::BFloat16);
  }
}

}  // namespace
}  // namespace twofour::train
