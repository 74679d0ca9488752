#include "twofour/checkpoint/run_weights.h"

#include <map>

#include <gtest/gtest.h>

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/run_checkpoint.h"

#include "testing.h"

namespace twofour::checkpoint {
namespace {

using testing::TemporaryFolder;

constexpr const char* kSparse = "transformer.h.0.mlp.c_fc.weight";

// A run's checkpoint after step 3 of 5, in which one layer may be sparse.
model::Model save_run(const fs::path& run, bool is_sparse) {
  model::Gpt2Config config;
  config.vocabulary = 10;
  config.context = 8;
  config.width = 8;
  config.layers = 1;
  config.heads = 2;
  config.feed_forward = 16;
  model::Model model = {model::make_random(config, 1)};
  RunState state;
  state.state = {{"step", 3},
                 {"options",
                  {{"steps", 5},
                   {"vocabulary", 10},
                   {"context", 8},
                   {"width", 8},
                   {"layers", 1},
                   {"heads", 2},
                   {"feed-forward", 16},
                   {"forward-weight", "magnitude"}}}};
  NamedTensors masters, sparsity;
  model.visit([&](const std::string& name, at::Tensor& tensor) {
    masters.emplace_back(name, tensor.detach());
  });
  // The first two of every four entries are kept.
  sparsity.emplace_back(std::string(kSparse) + ".mask", at::full({16}, 0xcc, at::kByte));
  sparsity.emplace_back("searches", at::tensor({0, 0, is_sparse ? 1 : 0}, at::kLong));
  state.files = {{"model.safetensors", masters}, {"sparsity.safetensors", sparsity}};
  save_checkpoint(run, 3, state, 1);
  return model;
}

TEST(RunWeights, the_mask_holds_in_a_sparse_phase_only) {
  for (const bool is_sparse : {false, true}) {
    const TemporaryFolder run;
    model::Model masters = save_run(run.path(), is_sparse);
    const ModelFolder folder(run.path());
    EXPECT_EQ(folder.place().step, 3);
    EXPECT_EQ(folder.weights().mask(kSparse).defined(), is_sparse);
    model::Model read = folder.load(at::kFloat);
    std::map<std::string, at::Tensor> expected;
    masters.visit([&](const std::string& name, at::Tensor& tensor) {
      expected[name] = tensor.detach().clone();
    });
    if (is_sparse) expected.at(kSparse).view({-1, 4}).slice(1, 2, 4).zero_();
    read.visit([&](const std::string& name, at::Tensor& tensor) {
      EXPECT_TRUE(tensor.equal(expected.at(name))) << name;
    });
  }
}

TEST(RunWeights, what_the_run_removes_stays_readable) {
  const TemporaryFolder run;
  model::Model masters = save_run(run.path(), false);
  const ModelFolder folder(run.path());
  fs::remove_all(run / "checkpoints");
  model::Model read = folder.load(at::kFloat);
  std::map<std::string, at::Tensor> expected;
  masters.visit([&](const std::string& name, at::Tensor& tensor) { expected[name] = tensor; });
  read.visit([&](const std::string& name, at::Tensor& tensor) {
    EXPECT_TRUE(tensor.equal(expected.at(name))) << name;
  });
  EXPECT_THAT_ERROR(ModelFolder(run.path()), "the folder is empty");
}

TEST(RunWeights, sizes_that_no_model_has_are_refused) {
  const TemporaryFolder run;
  save_run(run.path(), false);
  const fs::path file = run / "checkpoints/step-0000003/state.json";
  const std::string state = read_file(file, 1 << 20);
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"heads\": 2", "\"heads\": 0"},
                                                        {"\"heads\": 2", "\"heads\": \"2\""},
                                                        {"\"width\": 8", "\"width\": -8"},
                                                        {"\"options\"", "\"opinions\""},
                                                        {"\"version\": 1", "\"version\": \"1\""}}) {
    std::string changed = state;
    changed.replace(changed.find(from), from.size(), to);
    write_file(file, changed);
    EXPECT_THAT_ERROR(ModelFolder(run.path()), "state.json");
  }
}

}  // namespace
}  // namespace twofour::checkpoint
