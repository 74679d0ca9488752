#include "twofour/train/events.h"

#include <array>
#include <chrono>
#include <cstring>

#include <unistd.h>

#include "twofour/base/error.h"

namespace twofour::train {
namespace {

// Protocol buffers' wire format: a key combines the field's number with one of these types.
enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

class Message {
 public:
  void varint(uint32_t field, uint64_t value) {
    key(field, kVarint);
    raw_varint(value);
  }
  void number(uint32_t field, double value) {
    key(field, kFixed64);
    raw(&value, sizeof value);
  }
  void number(uint32_t field, float value) {
    key(field, kFixed32);
    raw(&value, sizeof value);
  }
  void bytes(uint32_t field, std::string_view value) {
    key(field, kBytes);
    raw_varint(value.size());
    text_.append(value);
  }
  const std::string& text() const { return text_; }

 private:
  void key(uint32_t field, WireType type) { raw_varint(field << 3 | type); }
  void raw_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_.push_back(static_cast<char>(value | 0x80));
    text_.push_back(static_cast<char>(value));
  }
  void raw(const void* value, size_t size) { text_.append(static_cast<const char*>(value), size); }
  std::string text_;
};

// The field numbers of tensorflow.Event and tensorflow.Summary.
enum EventField : uint32_t {
  kWallTime = 1,
  kStep = 2,
  kFileVersion = 3,
  kSummary = 5,
  kSessionLog = 7
};
enum SummaryField : uint32_t { kValue = 1, kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9 };
enum TensorField : uint32_t { kDtype = 1, kShape = 2, kStrings = 8 };
enum ShapeField : uint32_t { kDim = 2, kSize = 1 };
enum MetadataField : uint32_t { kPluginData = 1, kPluginName = 1 };
enum SessionLogField : uint32_t { kStatus = 1 };
constexpr uint64_t kStringType = 7, kSessionStart = 1;  // tensorflow.DataType and SessionStatus

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82F63B78u : value >> 1;
    table[byte] = value;
  }
  return table;
}

uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

}  // namespace

double unix_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = make_table();
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc = kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff] ^ crc >> 8;
  }
  return ~crc;
}

EventWriter::EventWriter(const std::filesystem::path& folder, int64_t first_step) {
  const double now = unix_time();
  path_ = folder / fmt::format("events.out.tfevents.{:.0f}.twofour.{}", now, getpid());
  file_.open(path_, std::ios::binary);
  Message version;
  version.number(kWallTime, now);
  version.bytes(kFileVersion, "brain.Event:2");
  write_record(version.text());
  // With several such marks in a folder, each one but the first makes TensorBoard drop the points
  // of its step and later ones.
  Message session, start;
  session.varint(kStatus, kSessionStart);
  start.number(kWallTime, now);
  start.varint(kStep, static_cast<uint64_t>(first_step) + 1);
  start.bytes(kSessionLog, session.text());
  write_record(start.text());
  flush();
}

void EventWriter::scalar(std::string_view tag, int64_t step, double value, double wall_time) {
  Message point;
  point.bytes(kTag, tag);
  point.number(kSimpleValue, static_cast<float>(value));
  write_summary(step, point.text(), wall_time);
}

void EventWriter::text(std::string_view tag, int64_t step, std::string_view value,
                       double wall_time) {
  Message dim, shape, tensor, plugin, metadata, point;
  dim.varint(kSize, 1);
  shape.bytes(kDim, dim.text());
  tensor.varint(kDtype, kStringType);
  tensor.bytes(kShape, shape.text());
  tensor.bytes(kStrings, value);
  plugin.bytes(kPluginName, "text");
  metadata.bytes(kPluginData, plugin.text());
  point.bytes(kTag, tag);
  point.bytes(kTensor, tensor.text());
  point.bytes(kMetadata, metadata.text());
  write_summary(step, point.text(), wall_time);
}

void EventWriter::write_summary(int64_t step, std::string_view value, double wall_time) {
  Message summary, event;
  summary.bytes(kValue, value);
  event.number(kWallTime, wall_time);
  event.varint(kStep, static_cast<uint64_t>(step));
  event.bytes(kSummary, summary.text());
  write_record(event.text());
}

void EventWriter::flush() {
  file_.flush();
  if (!file_) fail("cannot write \"{}\": is the disk full?", path_.string());
}

void EventWriter::write_record(std::string_view event) {
  char length[8];
  const uint64_t size = event.size();
  std::memcpy(length, &size, sizeof size);
  const uint32_t length_crc = masked_crc({length, 8}), event_crc = masked_crc(event);
  file_.write(length, 8);
  file_.write(reinterpret_cast<const char*>(&length_crc), 4);
  file_.write(event.data(), static_cast<std::streamsize>(event.size()));
  file_.write(reinterpret_cast<const char*>(&event_crc), 4);
}

}  // namespace twofour::train
