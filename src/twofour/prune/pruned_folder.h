// The folder that pruning writes block by block, and from which an interrupted run goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "twofour/checkpoint/conversion.h"
#include "twofour/checkpoint/model_folder.h"
#include "twofour/checkpoint/weight_writer.h"
#include "twofour/prune/layer.h"

namespace twofour::prune {

/// What a finished block leaves.
struct BlockResult {
  std::vector<LayerResult> layers;
  std::optional<Reconstruction> reconstruction;
  checkpoint::NamedTensors masks;  ///< in the form of checkpoint/mask_files.h
};

/// Throws Error (usage) if OUT exists, if OUT.unfinished does without `resumes`, or if there is
/// nothing to go on with.
void check_place(const std::filesystem::path& out, bool resumes);

/// Until finish(), everything lies in OUT.unfinished.
class PrunedFolder {
 public:
  /// `identity`: all that determines the result, by name. Throws Error as check_place does. With
  /// `resumes`, throws Error with the first name whose value has changed, then sets the number of
  /// threads and the measured choices of products that the run began with, on which the last bits
  /// depend.
  PrunedFolder(const std::filesystem::path& out, const checkpoint::ModelFolder& folder,
               const nlohmann::ordered_json& identity, uint64_t largest_shard, bool resumes);
  /// Removes the unfinished folder if it holds no finished block.
  ~PrunedFolder();
  PrunedFolder(const PrunedFolder&) = delete;
  PrunedFolder& operator=(const PrunedFolder&) = delete;

  /// The unfinished folder.
  const std::filesystem::path& path() const { return writer_->path(); }
  int64_t blocks_done() const { return static_cast<int64_t>(blocks_.size()); }

  /// Creates the tensors of block i and fills them with its written weights.
  void load_block(model::Model& model, int64_t i, at::ScalarType dtype) const;
  const BlockResult& block(int64_t i) const { return blocks_.at(static_cast<size_t>(i)); }

  /// Writes a parameter (linears as [out, in]) in the dtype of the source and returns it as it will
  /// be read. Throws Error for values that are not finite in that dtype.
  at::Tensor put(const std::string& name, const at::Tensor& tensor);

  /// Copies the tensors of block i that were not put, and makes the block available to a later
  /// process.
  void finish_block(int64_t i, BlockResult result);

  /// Throws Error, with what can be continued, if a signal asked to stop.
  void stop_if_asked() const;

  /// Copies all other tensors, writes masks, `record` as prune.json and the other files, checks the
  /// folder by opening it, and gives it its name.
  void finish(const nlohmann::ordered_json& record);

 private:
  void read_progress();
  void open_writer(uint64_t largest_shard, bool resumes);
  void write_state() const;
  std::string stored_name(const std::string& name) const;
  const checkpoint::TensorToWrite& source_tensor(const std::string& stored) const;

  std::filesystem::path out_;
  nlohmann::ordered_json identity_;
  const checkpoint::ModelFolder& folder_;
  checkpoint::ModelSource source_;
  model::Model shapes_;
  std::map<std::string, const checkpoint::TensorToWrite*> tensors_;
  std::unique_ptr<checkpoint::WeightWriter> writer_;
  std::vector<BlockResult> blocks_;
  bool is_finished_ = false;
};

/// The hash of all tensors and the configuration.
std::string hash_of_model(const checkpoint::ModelFolder& folder);

}  // namespace twofour::prune
