#include "twofour/learn/prior.h"

#include <ATen/ops/std.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/base/parallel.h"
#include "twofour/base/stop_signal.h"
#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/json_file.h"
#include "twofour/checkpoint/mask_files.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/kernels/soft_mask/soft_mask.h"
#include "twofour/prune/prune.h"
#include "twofour/prune/pruned_folder.h"
#include "twofour/sparse/masks.h"
#include "twofour/tensor/choice.h"
#include "twofour/tensor/dtype.h"

namespace twofour::learn {
namespace {

prune::PruneOptions prune_options_of(const LearnOptions& options) {
  prune::PruneOptions prune;
  prune.out = options.train.run.out / "prior.pruned";
  prune.method = options.prior.method.value();
  prune.pattern = options.pattern;
  prune.weights = prune::Weights::kUntouched;
  prune.include = options.include;
  prune.exclude = options.exclude;
  prune.inputs = prune::Inputs::kDense;
  prune.dtype = tensor::dtype_named(options.train.model.dtype);
  if (prune.dtype == at::kHalf) prune.dtype = at::kFloat;  // activations may overflow
  if (prune.method == prune::Method::kMagnitude) return prune;
  prune.calibration.files = {options.train.data.folder / "train.bin"};
  prune.calibration.samples = options.prior.samples;
  prune.calibration.context = options.train.context();
  prune.calibration.seed = options.train.run.seed;
  prune.calibration.vocabulary = options.train.model.sizes().vocabulary;
  return prune;
}

// A run may begin in a folder that holds other things.
void check_is_prior(const fs::path& folder) {
  if (!is_taken(folder)) return;
  bool is_other = !fs::is_directory(folder);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    is_other |= name != "masks.safetensors" && name != "prune.json";
  }
  if (!is_other) return;
  fail_usage("\"{}\" exists, and the run would replace it: remove it, or choose another --out",
             folder.string());
}

// Whether the masks in `folder` were made from the same model, data and settings.
bool is_made_by(const fs::path& folder, const prune::PruneOptions& options,
                const std::string& model_hash, const prune::Calibration& calibration) {
  if (!fs::exists(folder / "prune.json") || !fs::exists(folder / "masks.safetensors")) return false;
  const nlohmann::json record = checkpoint::read_json_object(folder / "prune.json");
  return record.value("settings", nlohmann::json()) ==
             nlohmann::json(prune::settings_of(options)) &&
         record.value("model", "") == model_hash &&
         record.value("calibration", "") == calibration.hash;
}

// Prunes into options.out, or goes on with what an interrupted run left.
void prune_or_resume(const checkpoint::ModelFolder& model, prune::PruneOptions& options,
                     const prune::Calibration& calibration) {
  const fs::path unfinished = options.out.string() + ".unfinished";
  options.resume = fs::exists(unfinished / "state.json");
  const int threads = thread_count();
  try {
    prune::prune(model, options, calibration);
  } catch (const Error& error) {
    if (StopSignal::requested()) {
      fail("stopped on request while pruning for the prior: the same command continues");
    }
    if (!options.resume || error.kind() != Error::kUsage) throw;
    fail_usage("{}; to prune anew, remove \"{}\"", error.what(), unfinished.string());
  }
  set_thread_count(threads);  // a resumed one takes the number that it had
}

}  // namespace

checkpoint::NamedTensors pruned_prior(const LearnOptions& options) {
  const checkpoint::ModelFolder model(options.train.model.init);
  const auto shapes = checkpoint::parameter_shapes(options.train.model.config);
  prune::PruneOptions prune = prune_options_of(options);
  const prune::Calibration calibration = prune.calibration.files.empty()
                                             ? prune::Calibration()
                                             : prune::draw_calibration(prune.calibration);
  const fs::path kept = options.train.run.out / "prior";
  check_is_prior(kept);
  try {
    if (is_made_by(kept, prune, prune::hash_of_model(model), calibration)) {
      return checkpoint::read_masks(kept, shapes);
    }
  } catch (const Error& error) {
    fail("{}; to prune anew, remove \"{}\"", error.what(), kept.string());
  }
  spdlog::info("pruning by {} for the prior", options.prior.name);
  fs::remove_all(kept);
  fs::remove_all(prune.out);
  prune_or_resume(model, prune, calibration);
  AtomicFolder folder(kept);
  for (const char* file : {"masks.safetensors", "prune.json"}) {
    fs::rename(prune.out / file, folder.path() / file);
  }
  folder.commit();
  fs::remove_all(prune.out);
  tensor::forget_choices_made();  // a run that finds the prior finished makes none of these
  return checkpoint::read_masks(kept, shapes);
}

void check_prior_mask(const at::Tensor& mask, int64_t rows, int64_t columns,
                      const kernels::Candidates& candidates, const std::string& layer,
                      const std::string& prior) {
  const at::Tensor kept = sparse::unpacked_mask(mask, {rows, columns});
  const auto* bytes = kept.const_data_ptr<uint8_t>();
  const int64_t group = candidates.group();
  for (int64_t first = 0; first < rows * columns; first += group) {
    int64_t count = 0;
    for (int64_t k = first; k < first + group; ++k) count += bytes[k] != 0;
    if (count == candidates.kept()) continue;
    fail_usage(
        "--prior \"{}\": the mask of \"{}\" is not {}:{}: in row {} it keeps {} of the {} entries "
        "from column {} on",
        prior, layer, candidates.kept(), group, first / columns, count, group, first % columns);
  }
}

void add_prior_mask(at::Tensor& logits, const at::Tensor& mask,
                    const kernels::Candidates& candidates, double strength) {
  const int64_t groups = logits.numel() / candidates.count();
  const at::Tensor kept = sparse::unpacked_mask(mask, {groups, candidates.group()});
  const double deviation = at::std(logits, /*unbiased=*/true).item<double>();
  kernels::add_prior(logits.mutable_data_ptr<float>(), kept.const_data_ptr<uint8_t>(), groups,
                     candidates, static_cast<float>(strength * deviation));
}

}  // namespace twofour::learn
