#include "twofour/checkpoint/t24.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/base/hash.h"
#include "twofour/checkpoint/t24_digits.h"
#include "twofour/sparse/mask_pattern.h"
#include "twofour/sparse/masks.h"

namespace twofour::checkpoint {
namespace {

constexpr std::string_view kMagic = "T24MASKS";
constexpr uint32_t kVersion = 1;
constexpr uint64_t kAlignment = 16, kChecksumBytes = 16;

// The fixed part of the header. All numbers are little-endian.
struct Head {
  char magic[8];
  uint32_t version;
  uint32_t masks;
  uint64_t header_bytes;  // up to the first digits
  uint64_t file_bytes;
};
static_assert(sizeof(Head) == 32);

// After it, for each mask: this, the weight's name, and zeros up to a multiple of 8 bytes.
struct EntryHead {
  uint64_t rows, columns;
  uint16_t kept, group;
  uint32_t name_bytes;
};
static_assert(sizeof(EntryHead) == 24);

uint64_t rounded_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

std::string_view bytes_of(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

template <class T>
T take(std::string_view from) {
  T value;
  std::memcpy(&value, from.data(), sizeof value);
  return value;
}

uint64_t digit_bytes(int64_t rows, int64_t columns, int64_t kept, int64_t group) {
  return T24Digits(kept, group).bytes(rows * columns / group);
}

// Throws Error with the reason for sizes and patterns that no mask has.
void check_sizes(uint64_t rows, uint64_t columns, uint64_t kept, uint64_t group) {
  uint64_t entries = 0;
  if (__builtin_mul_overflow(rows, columns, &entries) || entries > INT64_MAX / 2) {
    fail("its weight is {} x {}, too large for any memory", rows, columns);
  }
  if (entries == 0) fail("its weight is {} x {}", rows, columns);
  if (group == 0 || columns % group != 0) {
    fail("its groups of {} do not divide {} columns", group, columns);
  }
  const T24Digits is_possible(static_cast<int64_t>(kept), static_cast<int64_t>(group));
}

std::string header_of(std::span<const T24Mask> masks) {
  std::string entries;
  uint64_t data_bytes = 0;
  for (const T24Mask& mask : masks) {
    const EntryHead head = {static_cast<uint64_t>(mask.rows), static_cast<uint64_t>(mask.columns),
                            static_cast<uint16_t>(mask.kept), static_cast<uint16_t>(mask.group),
                            static_cast<uint32_t>(mask.weight.size())};
    entries += bytes_of(&head, sizeof head);
    entries += mask.weight;
    entries.resize(rounded_up(entries.size(), 8));
    data_bytes += digit_bytes(mask.rows, mask.columns, mask.kept, mask.group) + kChecksumBytes;
  }
  entries.resize(rounded_up(entries.size(), kAlignment));
  const uint64_t header_bytes = sizeof(Head) + entries.size() + kChecksumBytes;
  Head head = {
      {}, kVersion, static_cast<uint32_t>(masks.size()), header_bytes, header_bytes + data_bytes};
  std::copy(kMagic.begin(), kMagic.end(), head.magic);
  std::string header(bytes_of(&head, sizeof head));
  header += entries;
  return header + checksum_of(header);
}

// The mask after a check that each of its groups is a candidate.
at::Tensor checked(const T24Mask& mask, const fs::path& path) {
  const at::Tensor bits = mask.make().contiguous();
  const int64_t entries = mask.rows * mask.columns;
  const auto refuse = [&](const std::string& reason) {
    fail("cannot write \"{}\": the mask of \"{}\": {}", path.string(), printable(mask.weight),
         reason);
  };
  if (bits.scalar_type() != at::kByte || bits.numel() != (entries + 7) / 8) {
    refuse(fmt::format("it has {} bytes, the weight {} entries", bits.nbytes(), entries));
  }
  const at::Tensor bytes = sparse::unpacked_mask(bits, {entries});
  const int64_t place =
      sparse::first_unlike(bytes.const_data_ptr<uint8_t>(), entries, {mask.kept, mask.group});
  if (place >= 0) {
    const int64_t column = place % mask.columns;
    refuse(fmt::format("row {}, columns {} to {} are not {}:{}", place / mask.columns, column,
                       column + mask.group - 1, mask.kept, mask.group));
  }
  return bits;
}

}  // namespace

bool is_t24(std::string_view content) { return content.starts_with(kMagic); }

T24File::T24File(const fs::path& path) : file_(std::make_shared<MappedFile>(path)) {
  read_header();
}

void T24File::read_header() {
  const std::string path = file_->path().string();
  const std::string_view content = file_->text();
  if (content.size() < sizeof(Head) || !is_t24(content)) {
    fail("cannot read \"{}\": it is no .t24, which begins with {} and has at least {} bytes", path,
         kMagic, sizeof(Head));
  }
  const Head head = take<Head>(content);
  if (head.version != kVersion) {
    fail("cannot read \"{}\": it has version {} of .t24, this program knows {}", path, head.version,
         kVersion);
  }
  if (head.file_bytes != content.size()) {
    fail("cannot read \"{}\": it has {} bytes, its header asks for {}", path, content.size(),
         head.file_bytes);
  }
  if (head.header_bytes > content.size() || head.header_bytes % kAlignment != 0 ||
      head.header_bytes < sizeof(Head) + kChecksumBytes) {
    fail("cannot read \"{}\": its header should be {} bytes long, but the file has {}", path,
         head.header_bytes, content.size());
  }
  const std::string_view header = content.substr(0, head.header_bytes - kChecksumBytes);
  if (checksum_of(header) != content.substr(header.size(), kChecksumBytes)) {
    fail("cannot read \"{}\": its header is damaged: the checksum at byte {} differs", path,
         header.size());
  }
  uint64_t at = sizeof(Head), end = head.header_bytes;
  for (uint32_t i = 0; i < head.masks; ++i) {
    Entry entry{};
    const std::string name = read_entry(header, at, entry);
    // Both are below the file's size or the bytes that a check of `entry` allows: no overflow.
    entry.first = end;
    entry.last = end + digit_bytes(entry.rows, entry.columns, entry.kept, entry.group);
    end = entry.last + kChecksumBytes;
    if (end > content.size()) {
      fail("cannot read \"{}\": the mask of \"{}\" ends at byte {}, but the file has {}", path,
           printable(name), end, content.size());
    }
    if (!entries_.emplace(name, entry).second) {
      fail("cannot read \"{}\": it has two masks of \"{}\"", path, printable(name));
    }
  }
  if (rounded_up(at, kAlignment) != header.size()) {
    fail("cannot read \"{}\": its {} masks take {} bytes of the header, not {}", path, head.masks,
         at, header.size());
  }
  if (end != content.size()) {
    fail("cannot read \"{}\": {} bytes follow the last mask", path, content.size() - end);
  }
}

std::string T24File::read_entry(std::string_view header, uint64_t& at, Entry& entry) const {
  const auto refuse = [&](const std::string& name, const std::string& reason) {
    fail("cannot read \"{}\": the mask of \"{}\": {}", path().string(), printable(name), reason);
  };
  if (header.size() - at < sizeof(EntryHead)) {
    fail("cannot read \"{}\": its header ends inside mask {}", path().string(), entries_.size());
  }
  const EntryHead head = take<EntryHead>(header.substr(at));
  at += sizeof(EntryHead);
  if (head.name_bytes > header.size() - at) {
    fail("cannot read \"{}\": its header ends inside the name of mask {}", path().string(),
         entries_.size());
  }
  const std::string name(header.substr(at, head.name_bytes));
  at = std::min<uint64_t>(rounded_up(at + head.name_bytes, 8), header.size());
  try {
    check_sizes(head.rows, head.columns, head.kept, head.group);
  } catch (const Error& error) {
    refuse(name, error.what());
  }
  entry.rows = static_cast<int64_t>(head.rows);
  entry.columns = static_cast<int64_t>(head.columns);
  entry.kept = head.kept;
  entry.group = head.group;
  return name;
}

at::Tensor T24File::read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    fail("\"{}\" holds no mask of \"{}\"", path().string(), printable(name));
  }
  const Entry& entry = found->second;
  const std::string_view digits = file_->text().substr(entry.first, entry.last - entry.first);
  if (checksum_of(digits) != file_->text().substr(entry.last, kChecksumBytes)) {
    fail("cannot read \"{}\": the mask of \"{}\" is damaged: the checksum at byte {} differs",
         path().string(), printable(name), entry.last);
  }
  const int64_t entries = entry.rows * entry.columns, groups = entries / entry.group;
  at::Tensor mask = at::empty({(entries + 7) / 8}, at::TensorOptions().dtype(at::kByte));
  const T24Digits codec(entry.kept, entry.group);
  const int64_t bad = codec.decode(reinterpret_cast<const uint8_t*>(digits.data()), groups,
                                   mask.mutable_data_ptr<uint8_t>());
  if (bad >= 0) {
    fail("cannot read \"{}\": the mask of \"{}\" has digits at byte {} that are no {}:{} groups",
         path().string(), printable(name), entry.first + codec.bytes(bad), entry.kept, entry.group);
  }
  file_->release(entry.first, entry.last);
  return mask;
}

void write_t24(const fs::path& path, std::span<const T24Mask> masks) {
  std::set<std::string> names;
  for (const T24Mask& mask : masks) {
    const auto refuse = [&](const std::string& reason) {
      fail("cannot write \"{}\": the mask of \"{}\": {}", path.string(), printable(mask.weight),
           reason);
    };
    try {
      check_sizes(static_cast<uint64_t>(mask.rows), static_cast<uint64_t>(mask.columns),
                  static_cast<uint64_t>(mask.kept), static_cast<uint64_t>(mask.group));
    } catch (const Error& error) {
      refuse(error.what());
    }
    if (!names.insert(mask.weight).second) refuse("it is there twice");
  }
  AtomicFile file(path);
  file.write(header_of(masks));
  for (const T24Mask& mask : masks) {
    const at::Tensor bits = checked(mask, path);
    const T24Digits codec(mask.kept, mask.group);
    const int64_t groups = mask.rows * mask.columns / mask.group;
    std::string digits(codec.bytes(groups), '\0');
    codec.encode(bits.const_data_ptr<uint8_t>(), groups, reinterpret_cast<uint8_t*>(digits.data()));
    file.write(digits);
    file.write(checksum_of(digits));
  }
  file.commit();
}

}  // namespace twofour::checkpoint
