#include "twofour/checkpoint/npz.h"

#include <algorithm>
#include <cstring>

#include <zip.h>

#include <ATen/ops/empty.h>

#include "twofour/base/error.h"
#include "twofour/checkpoint/npy_header.h"
#include "twofour/checkpoint/zip_sink.h"

namespace twofour::checkpoint {
namespace {

constexpr std::string_view kSuffix = ".npy";
// The limit of deflate: 258 bytes from 2 bits, and a block of any size in a few bytes.
constexpr uint64_t kMostInflation = 1032, kSlack = 1 << 10;

std::string message_of(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

struct MemberCloser {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using Member = std::unique_ptr<zip_file_t, MemberCloser>;

// Returns fewer bytes than asked for only at the end, and -1 for damaged data.
int64_t read_fully(zip_file_t* file, char* to, uint64_t size) {
  uint64_t used = 0;
  while (used < size) {
    const uint64_t piece = std::min<uint64_t>(size - used, 1 << 24);
    const zip_int64_t got = zip_fread(file, to + used, piece);
    if (got < 0) return -1;
    if (got == 0) break;
    used += static_cast<uint64_t>(got);
  }
  return static_cast<int64_t>(used);
}

bool is_plausible(const zip_stat_t& member) {
  if (member.comp_method == ZIP_CM_STORE) return member.size == member.comp_size;
  return member.size / kMostInflation <= member.comp_size + kSlack;
}

}  // namespace

struct NpzFile::Archive {
  zip_t* zip = nullptr;
  ~Archive() {
    if (zip) zip_discard(zip);
  }
};

NpzFile::~NpzFile() = default;
NpzFile::NpzFile(NpzFile&&) noexcept = default;
NpzFile& NpzFile::operator=(NpzFile&&) noexcept = default;

NpzFile::NpzFile(const fs::path& path) : path_(path), archive_(std::make_unique<Archive>()) {
  check_readable(path);
  int code = 0;
  archive_->zip = zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code);
  if (!archive_->zip) {
    fail("cannot read \"{}\": it is no sound zip archive ({})", path.string(), message_of(code));
  }
  const zip_int64_t members = zip_get_num_entries(archive_->zip, 0);
  for (zip_int64_t i = 0; i < members; ++i) add_member(static_cast<uint64_t>(i));
}

void NpzFile::add_member(uint64_t index) {
  zip_stat_t member;
  zip_stat_init(&member);
  if (zip_stat_index(archive_->zip, index, ZIP_FL_ENC_RAW, &member) != 0 || !member.name) {
    fail("cannot read \"{}\": member {} has no entry in its directory", path_.string(), index);
  }
  std::string name = member.name;
  const auto refuse = [&](const std::string& reason) {
    fail("cannot read \"{}\": member \"{}\" {}", path_.string(), printable(name), reason);
  };
  if (!name.ends_with(kSuffix)) refuse("is no .npy array");
  if (member.encryption_method != ZIP_EM_NONE) refuse("is encrypted");
  if (member.comp_method != ZIP_CM_STORE && member.comp_method != ZIP_CM_DEFLATE) {
    refuse("is compressed in another way than deflate");
  }
  if (!is_plausible(member)) {
    refuse(fmt::format("claims {} bytes, which its {} bytes cannot hold", member.size,
                       member.comp_size));
  }
  const Member file(zip_fopen_index(archive_->zip, index, 0));
  if (!file) refuse(fmt::format("cannot be opened ({})", zip_strerror(archive_->zip)));
  std::string header(kNpyFixedBytes, '\0');
  if (read_fully(file.get(), header.data(), header.size()) != kNpyFixedBytes) {
    refuse("ends inside its header");
  }
  Entry entry;
  try {
    entry.header_bytes = npy_header_bytes(header);
    header.resize(entry.header_bytes);
    const uint64_t rest = entry.header_bytes - kNpyFixedBytes;
    if (read_fully(file.get(), header.data() + kNpyFixedBytes, rest) !=
        static_cast<int64_t>(rest)) {
      fail("ends inside its header");
    }
    NpyHeader parsed = parse_npy_header(header);
    entry.dtype = parsed.dtype;
    entry.shape = std::move(parsed.shape);
    entry.fortran_order = parsed.fortran_order;
    entry.data_bytes = parsed.data_bytes;
  } catch (const Error& error) {
    refuse(error.what());
  }
  entry.member = index;
  if (member.size < entry.header_bytes || member.size - entry.header_bytes != entry.data_bytes) {
    refuse(fmt::format("has {} bytes, but its header and shape need {}", member.size,
                       entry.header_bytes + entry.data_bytes));
  }
  name.resize(name.size() - kSuffix.size());
  if (!entries_.emplace(name, std::move(entry)).second) refuse("is there twice");
}

at::Tensor NpzFile::read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    fail("\"{}\" holds no array \"{}\"", path_.string(), printable(name));
  }
  const Entry& entry = found->second;
  const Member file(zip_fopen_index(archive_->zip, entry.member, 0));
  std::string header(entry.header_bytes, '\0');
  std::vector<int64_t> shape = entry.shape;
  if (entry.fortran_order) std::reverse(shape.begin(), shape.end());
  at::Tensor array = at::empty(shape, at::TensorOptions().dtype(entry.dtype));
  char extra;  // reading past the end checks the checksum
  const bool whole =
      file &&
      read_fully(file.get(), header.data(), header.size()) == static_cast<int64_t>(header.size()) &&
      read_fully(file.get(), static_cast<char*>(array.mutable_data_ptr()), entry.data_bytes) ==
          static_cast<int64_t>(entry.data_bytes) &&
      read_fully(file.get(), &extra, 1) == 0;
  if (!whole) {
    fail("cannot read \"{}\": the data of array \"{}\" is damaged", path_.string(),
         printable(name));
  }
  if (!entry.fortran_order) return array;
  std::vector<int64_t> order(shape.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(order.size() - 1 - i);
  return array.permute(order);
}

void write_npz(const fs::path& path, const NamedTensors& arrays, bool deflate) {
  AtomicFile file(path);
  ZipSink sink(file);
  std::vector<std::string> headers;
  NamedTensors dense;
  for (const auto& [name, array] : arrays) {
    dense.emplace_back(name + std::string(kSuffix), array.detach().contiguous());
    headers.push_back(make_npy_header(array));
  }
  for (size_t i = 0; i < dense.size(); ++i) {
    const auto& [name, array] = dense[i];
    const std::string_view data(static_cast<const char*>(array.const_data_ptr()), array.nbytes());
    sink.add(name, {headers[i], data}, deflate);
  }
  sink.finish();
  file.commit();
}

}  // namespace twofour::checkpoint
