#include "twofour/prune/pruned_folder.h"

#include <set>

#include <ATen/ops/isfinite.h>

#include "twofour/base/error.h"
#include "twofour/base/folder_lock.h"
#include "twofour/base/hash.h"
#include "twofour/base/parallel.h"
#include "twofour/base/progress.h"
#include "twofour/base/stop_signal.h"
#include "twofour/checkpoint/json_file.h"
#include "twofour/checkpoint/mask_files.h"
#include "twofour/prune/record.h"
#include "twofour/sparse/masks.h"
#include "twofour/tensor/choice.h"
#include "twofour/tensor/dtype.h"

namespace twofour::prune {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char *kProgress = "progress", *kState = "state.json";

fs::path unfinished(const fs::path& out) { return out.string() + ".unfinished"; }
fs::path block_path(const fs::path& folder, size_t i, const char* extension) {
  return folder / kProgress / fmt::format("block-{}{}", i, extension);
}

// Names may come from a file system that does not know UTF-8.
std::string json_text(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

Json read_json(const fs::path& path) {
  Json json = Json::parse(read_file(path, kLargestSettings), nullptr, false);
  if (json.is_discarded()) {
    fail("cannot read \"{}\": it is damaged; remove the folder and start again", path.string());
  }
  return json;
}

// The first name, at any depth, whose values differ.
void check_same(const Json& before, const Json& now, const fs::path& out) {
  // First the settings: other samples also have another hash.
  if (before.contains("settings") && before != now && before.size() > 1) {
    check_same({{"settings", before.at("settings")}}, {{"settings", now.at("settings")}}, out);
  }
  const Json flat_before = before.flatten(), flat_now = now.flatten();
  const auto value_of = [](const Json& json, const std::string& name) {
    return json.contains(name) ? json_text(json.at(name)) : std::string("not set");
  };
  std::set<std::string> names;
  for (const auto& [name, value] : flat_before.items()) names.insert(name);
  for (const auto& [name, value] : flat_now.items()) names.insert(name);
  for (const std::string& name : names) {
    const std::string old_value = value_of(flat_before, name), value = value_of(flat_now, name);
    if (old_value == value) continue;
    fail_usage("cannot resume \"{}\": its {} is {}, but now it is {}", out.string(),
               name.substr(name.rfind('/') + 1), printable(old_value), printable(value));
  }
}

// What only an unfinished folder has.
void remove_state(const fs::path& folder) {
  if (!fs::exists(folder / kState)) return;
  std::error_code ignored;
  fs::remove_all(folder / kProgress, ignored);
  fs::remove(folder / checkpoint::kWeightJournal, ignored);
  fs::remove(folder / kState, ignored);
}

// Whether the folder is one that a process had only begun to make.
bool is_bare(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_own = name == kProgress || name == "lock" || name.find(".partial-") != name.npos;
    if (!is_own || (name == kProgress && !fs::is_empty(entry.path()))) return false;
  }
  return !error;
}

}  // namespace

void check_place(const fs::path& out, bool resumes) {
  if (is_taken(out)) {
    if (resumes) remove_state(out);  // of a run that was stopped at its very end
    fail_usage("\"{}\" exists{}", out.string(),
               resumes ? ": the run is finished" : ": choose another --out, or remove it");
  }
  const fs::path folder = unfinished(out);
  if (resumes && !fs::exists(folder / kState)) {
    fail_usage("there is no interrupted run in \"{}\" to resume", folder.string());
  }
  if (!resumes && is_taken(folder) && !is_bare(folder)) {
    fail_usage("\"{}\" holds an interrupted or running prune: go on with --resume, or remove it",
               folder.string());
  }
}

PrunedFolder::PrunedFolder(const fs::path& out, const checkpoint::ModelFolder& folder,
                           const Json& identity, uint64_t largest_shard, bool resumes)
    : out_(out),
      identity_(identity),
      folder_(folder),
      source_(checkpoint::open_folder(folder)),
      shapes_(model::make_shapes(source_.model)) {
  for (const auto& tensor : source_.tensors) tensors_[tensor.name] = &tensor;
  check_place(out, resumes);
  if (resumes) {
    const Json state = read_json(unfinished(out) / kState);
    check_same(state.value("identity", Json::object()), identity, out);
    set_thread_count(state.value("threads", thread_count()));
    tensor::use_choices(state.value("products", Json::object()));
  }
  open_writer(largest_shard, resumes);
}

// A new folder has its state from the beginning, so that it can always be resumed. It is removed if
// its files cannot be laid out.
void PrunedFolder::open_writer(uint64_t largest_shard, bool resumes) {
  const fs::path folder = unfinished(out_);
  { const FolderLock is_free(folder); }  // throws if another process works there
  try {
    make_folder(folder / kProgress);
    remove_abandoned(folder);
    remove_abandoned(folder / kProgress);
    if (!resumes) write_state();
    writer_ = std::make_unique<checkpoint::WeightWriter>(out_, source_.tensors, largest_shard,
                                                         checkpoint::Metadata{{"format", "pt"}},
                                                         json_text(identity_));
  } catch (const Error&) {
    std::error_code ignored;
    if (!resumes) fs::remove_all(folder, ignored);
    throw;
  }
  if (resumes) read_progress();
}

// Again after each block, because products are chosen when they are first needed.
void PrunedFolder::write_state() const {
  const Json state = {
      {"identity", identity_}, {"threads", thread_count()}, {"products", tensor::choices_made()}};
  write_file(unfinished(out_) / kState, json_text(state) + "\n");
}

PrunedFolder::~PrunedFolder() {
  if (is_finished_ || !blocks_.empty() || !writer_) return;
  const fs::path folder = path();
  writer_.reset();
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

// A block counts if its record is there and the writer has saved all its tensors.
void PrunedFolder::read_progress() {
  for (int64_t i = 0; i < shapes_.layers(); ++i) {
    bool is_complete = fs::exists(block_path(path(), blocks_.size(), ".json"));
    shapes_.visit_block(i, [&](const std::string& name, at::Tensor&) {
      is_complete = is_complete && writer_->has(stored_name(name));
    });
    if (!is_complete) return;
    StopSignal::set_saved(i + 1);
    BlockResult result;
    const Json record = read_json(block_path(path(), blocks_.size(), ".json"));
    for (const auto& layer : record.at("layers")) result.layers.push_back(layer_from_json(layer));
    if (const auto found = record.find("reconstruction"); found != record.end()) {
      result.reconstruction = {found->at(0).get<double>(), found->at(1).get<double>()};
    }
    const fs::path masks = block_path(path(), blocks_.size(), ".safetensors");
    if (fs::exists(masks)) result.masks = checkpoint::read_masks(masks, source_.shapes);
    blocks_.push_back(std::move(result));
  }
}

std::string PrunedFolder::stored_name(const std::string& name) const {
  return folder_.stored_name(name);
}

const checkpoint::TensorToWrite& PrunedFolder::source_tensor(const std::string& stored) const {
  return *tensors_.at(stored);
}

void PrunedFolder::load_block(model::Model& model, int64_t i, at::ScalarType dtype) const {
  model::make_empty_block(model, i, dtype);
  model.visit_block(i, [&](const std::string& name, at::Tensor& tensor) {
    const at::Tensor stored = writer_->read(stored_name(name));
    tensor.copy_(checkpoint::stores_transposed(source_.model, name) ? stored.t() : stored);
  });
  const BlockResult& result = block(i);
  for (const auto& [name, bits] : result.masks) {
    at::Tensor& weight = model::linear_named(model, name).weight;
    weight.mul_(sparse::unpacked_mask(bits, weight.sizes()));
  }
}

at::Tensor PrunedFolder::put(const std::string& name, const at::Tensor& tensor) {
  const std::string stored = stored_name(name);
  const at::ScalarType dtype = source_tensor(stored).dtype;
  const at::Tensor rounded = tensor.detach().to(dtype);
  if (!at::isfinite(rounded.to(at::kFloat)).all().item<bool>()) {
    fail("the new values of \"{}\" do not fit into {}: try a larger --damping", printable(name),
         tensor::dtype_name(dtype));
  }
  const bool is_transposed = checkpoint::stores_transposed(source_.model, name);
  writer_->put(stored, is_transposed ? rounded.t() : rounded);
  return rounded;
}

void PrunedFolder::finish_block(int64_t i, BlockResult result) {
  shapes_.visit_block(i, [&](const std::string& name, at::Tensor&) {
    const std::string stored = stored_name(name);
    if (!writer_->has(stored)) writer_->put(stored, source_tensor(stored).make());
  });
  if (!result.masks.empty()) {
    checkpoint::write_masks(block_path(path(), blocks_.size(), ".safetensors"), result.masks,
                            source_.shapes);
    result.masks = checkpoint::read_masks(block_path(path(), blocks_.size(), ".safetensors"),
                                          source_.shapes);  // mapped
  }
  Json record = {{"layers", Json::array()}};
  for (const LayerResult& layer : result.layers) record["layers"].push_back(layer_json(layer));
  if (const auto& errors = result.reconstruction) {
    record["reconstruction"] = {errors->before, errors->after};
  }
  write_file(block_path(path(), blocks_.size(), ".json"), json_text(record));
  write_state();
  writer_->save();
  blocks_.push_back(std::move(result));
  StopSignal::set_saved(blocks_done());
}

void PrunedFolder::stop_if_asked() const {
  if (!StopSignal::requested()) return;
  if (blocks_.empty()) fail("stopped on request before the first block, so nothing is kept");
  fail("stopped on request after block {}: continue with --resume", blocks_done());
}

void PrunedFolder::finish(const Json& record) {
  for (const auto& tensor : source_.tensors) {
    stop_if_asked();
    if (!writer_->has(tensor.name)) writer_->put(tensor.name, tensor.make());
  }
  std::map<std::string, at::Tensor> masks(source_.masks.begin(), source_.masks.end());
  for (const BlockResult& block : blocks_) {
    for (const auto& [name, bits] : block.masks) masks[name] = bits;
  }
  source_.masks.assign(masks.begin(), masks.end());
  checkpoint::write_without_weights(path(), source_);
  write_file(path() / "prune.json", json_text(record) + "\n");
  remove_abandoned(path());
  writer_->save();
  writer_->finish();
  is_finished_ = true;
  remove_state(out_);
  const checkpoint::ModelFolder check(out_);
}

std::string hash_of_model(const checkpoint::ModelFolder& folder) {
  const checkpoint::ModelSource source = checkpoint::open_folder(folder);
  uint64_t total = 0, done = 0;
  for (const auto& tensor : source.tensors) total += tensor.bytes();
  ProgressBar bar("hashing the model", total);
  Hasher hasher;
  hasher.add(checkpoint::python_json(source.config, -1));
  for (const auto& tensor : source.tensors) {
    const at::Tensor values = tensor.make().contiguous();
    hasher.add(tensor.name);
    hasher.add({static_cast<const char*>(values.const_data_ptr()), values.nbytes()});
    bar.update(done += tensor.bytes());
  }
  return hasher.digest();
}

}  // namespace twofour::prune
