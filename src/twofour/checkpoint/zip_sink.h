// Writes a zip archive into an AtomicFile. libzip makes the format and does not touch the disk.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/base/file.h"

namespace twofour::checkpoint {

class ZipSink {
 public:
  /// `file` must be empty and outlive the sink; after finish() the caller commits it.
  explicit ZipSink(AtomicFile& file);
  ~ZipSink();
  ZipSink(const ZipSink&) = delete;
  ZipSink& operator=(const ZipSink&) = delete;

  /// Adds a member with the concatenated pieces, which must live until finish(). Its time stamp is
  /// always 1 January 1980. Throws Error for an existing name.
  void add(const std::string& name, const std::vector<std::string_view>& pieces, bool deflate);

  /// Writes the archive. Throws Error if the disk is full.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace twofour::checkpoint
