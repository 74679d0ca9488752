// TensorBoard event files: TFRecord framing around Event protocol buffers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace twofour::train {

/// Writes one new file events.out.tfevents.… into `folder`; a resumed run adds another, as
/// TensorBoard expects. Throws Error when it cannot be written.
class EventWriter {
 public:
  explicit EventWriter(const std::filesystem::path& folder);

  /// One point of the curve `tag`. `wall_time` in seconds since 1970.
  void scalar(std::string_view tag, int64_t step, double value, double wall_time);
  void flush();

 private:
  void write_record(std::string_view event);
  std::filesystem::path path_;
  std::ofstream file_;
};

/// CRC-32C (Castagnoli), which TFRecord frames carry "masked".
uint32_t crc32c(std::string_view bytes);

}  // namespace twofour::train
