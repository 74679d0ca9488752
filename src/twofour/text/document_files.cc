#include <algorithm>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"
#include "twofour/text/documents.h"

namespace twofour::text {
namespace {

// Opens only regular files, because a pipe can be opened only once.
uint64_t check_inputs(const std::vector<fs::path>& paths) {
  uint64_t bytes = 0;
  bool is_known = true, has_standard_input = false;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const fs::path& path : paths) {
    if (path == "-") {
      if (std::exchange(has_standard_input, true)) fail_usage("\"-\" can be given only once");
      is_known = false;
      continue;
    }
    struct stat status;
    if (stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) {
      check_readable(path);
      bytes += static_cast<uint64_t>(status.st_size);
      if (!seen.insert({status.st_dev, status.st_ino}).second) {
        spdlog::warn("\"{}\" is given twice: its documents count twice", path.string());
      }
    } else {
      is_known = false;
    }
  }
  return is_known ? bytes : 0;
}

}  // namespace

DocumentFiles::DocumentFiles(std::vector<fs::path> paths, DocumentOptions options)
    : paths_(std::move(paths)), options_(std::move(options)), bytes_(check_inputs(paths_)) {}

bool DocumentFiles::next(Part& part) {
  for (;;) {
    if (reader_ && reader_->next(part)) return true;
    if (next_path_ == paths_.size()) return false;
    if (reader_) {
      bytes_before_ += reader_->input().file_size();
      empty_before_ += reader_->empty_documents();
    }
    reader_ = std::make_unique<DocumentReader>(Input(paths_[next_path_++]), options_);
    const std::string& decision = reader_->content().decision;
    if (!decision.empty() && said_.insert(decision).second) spdlog::info("{}", decision);
  }
}

uint64_t DocumentFiles::bytes_done() const {
  return bytes_before_ + (reader_ ? reader_->input().file_position() : 0);
}

int64_t DocumentFiles::empty_documents() const {
  return empty_before_ + (reader_ ? reader_->empty_documents() : 0);
}

}  // namespace twofour::text
