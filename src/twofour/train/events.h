// TensorBoard event files: TFRecord framing around Event protocol buffers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace twofour::train {

/// Writes one new file events.out.tfevents.… into `folder`. A resumed run adds another; TensorBoard
/// then drops the points of later steps in older files. Throws Error if it cannot be written.
class EventWriter {
 public:
  /// `first_step`: the number of earlier steps, 0 for a new run.
  EventWriter(const std::filesystem::path& folder, int64_t first_step);

  /// Adds a point to the curve `tag`. `wall_time` in seconds since 1970.
  void scalar(std::string_view tag, int64_t step, double value, double wall_time);
  /// Adds a UTF-8 text to the sequence `tag`.
  void text(std::string_view tag, int64_t step, std::string_view value, double wall_time);
  void flush();

 private:
  void write_summary(int64_t step, std::string_view value, double wall_time);
  void write_record(std::string_view event);
  std::filesystem::path path_;
  std::ofstream file_;
};

/// The time in seconds since 1970.
double unix_time();

/// CRC-32C (Castagnoli), which TFRecord frames carry "masked".
uint32_t crc32c(std::string_view bytes);

}  // namespace twofour::train
