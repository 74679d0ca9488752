// Writes the weights of a model folder tensor by tensor in any order, for a caller that makes them
// block by block and may be interrupted. write_weights() is for a caller that can make any tensor
// on request.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "twofour/base/folder_lock.h"
#include "twofour/checkpoint/safetensors.h"
#include "twofour/checkpoint/weight_files.h"

namespace twofour::checkpoint {

/// The file of an unfinished folder that lists its saved tensors; finish() removes it last.
inline constexpr char kWeightJournal[] = "written.json";

class WeightWriter {
 public:
  /// `tensors` announces all names, dtypes and shapes; make() is not called. The files are laid out
  /// in `folder` + ".unfinished", with their full sizes. If an earlier process left that folder
  /// with the same announcement and the same `origin` (the caller's description of the source), its
  /// saved tensors are kept; else the folder is started again. Throws Error if another process uses
  /// it.
  WeightWriter(const std::filesystem::path& folder, std::span<const TensorToWrite> tensors,
               uint64_t largest_shard, const Metadata& metadata, const std::string& origin);
  ~WeightWriter();
  WeightWriter(const WeightWriter&) = delete;
  WeightWriter& operator=(const WeightWriter&) = delete;

  /// The unfinished folder, for additional files.
  const std::filesystem::path& path() const { return path_; }

  /// Whether the tensor was put, in this process or a saved one.
  bool has(const std::string& name) const { return written_.contains(name); }

  /// Writes a tensor; it may be put again until finish(). Throws Error for a name, dtype or shape
  /// that was not announced, and if the disk is full.
  void put(const std::string& name, const at::Tensor& tensor);

  /// The tensor as it was put. Throws Error if it was not.
  at::Tensor read(const std::string& name) const;

  /// Makes the tensors put so far available to a later process, even after a crash.
  void save();

  /// Gives the complete folder its final name. Throws Error with a tensor that was not put, or if
  /// anything has that name; the unfinished folder then stays as it is.
  void finish();

 private:
  struct File;
  struct Place {
    File* file;
    const TensorToWrite* tensor;
    uint64_t begin;
  };
  void open_files(std::span<const SafetensorsLayout> layouts);
  void remove_weights() const;
  std::set<std::string> saved_names() const;

  std::filesystem::path folder_, path_;
  std::unique_ptr<FolderLock> lock_;
  std::vector<Shard> shards_;
  std::string announcement_;  // a hash
  std::vector<std::unique_ptr<File>> files_;
  std::map<std::string, Place> places_;
  std::set<std::string> written_;
};

}  // namespace twofour::checkpoint
