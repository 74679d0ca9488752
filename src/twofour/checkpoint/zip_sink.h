// Writes a zip archive into an AtomicFile: libzip does the format, nothing else touches the disk.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "twofour/base/file.h"

namespace twofour::checkpoint {

class ZipSink {
 public:
  /// `file` must be empty and outlive the sink; finish() leaves it to be committed.
  explicit ZipSink(AtomicFile& file);
  ~ZipSink();
  ZipSink(const ZipSink&) = delete;
  ZipSink& operator=(const ZipSink&) = delete;

  /// A member whose content is the pieces one after the other, which must live until finish().
  /// Its time stamp is always 1 January 1980. Throws Error for a name that is there already.
  void add(const std::string& name, const std::vector<std::string_view>& pieces, bool deflate);

  /// Writes the archive. Throws Error when the disk is full.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace twofour::checkpoint
