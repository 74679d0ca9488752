#include "twofour/checkpoint/zip_sink.h"

#include <cerrno>
#include <exception>

#include <zip.h>

#include "twofour/base/error.h"

namespace twofour::checkpoint {

struct ZipSink::State {
  AtomicFile* file;
  zip_t* zip = nullptr;
  zip_error_t error;
  uint64_t position = 0;
  std::exception_ptr failure;  // libzip is C, so an exception of a callback waits here

  explicit State(AtomicFile& target) : file(&target) { zip_error_init(&error); }
  ~State() {
    if (zip) zip_discard(zip);
    zip_error_fini(&error);
  }

  zip_int64_t write(const void* data, uint64_t size) {
    const uint64_t end = file->bytes_written();
    // libzip only seeks back to complete a member's header, before the end.
    if (position + size <= end) {
      file->write_at(position, data, size);
    } else {
      const uint64_t inside = end - position;
      if (inside > 0) file->write_at(position, data, inside);
      file->write(static_cast<const char*>(data) + inside, size - inside);
    }
    position += size;
    return static_cast<zip_int64_t>(size);
  }

  zip_int64_t seek(void* data, uint64_t size) {
    const zip_int64_t to =
        zip_source_seek_compute_offset(position, file->bytes_written(), data, size, &error);
    if (to < 0) return -1;
    position = static_cast<uint64_t>(to);
    return 0;
  }

  zip_int64_t answer(void* data, uint64_t size, zip_source_cmd_t command) {
    switch (command) {
      case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_WRITABLE;
      case ZIP_SOURCE_STAT:
        zip_error_set(&error, ZIP_ER_READ, ENOENT);  // a new archive
        return -1;
      case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&error, data, size);
      case ZIP_SOURCE_WRITE:
        return write(data, size);
      case ZIP_SOURCE_SEEK_WRITE:
        return seek(data, size);
      case ZIP_SOURCE_TELL_WRITE:
        return static_cast<zip_int64_t>(position);
      case ZIP_SOURCE_BEGIN_WRITE:
      case ZIP_SOURCE_COMMIT_WRITE:
      case ZIP_SOURCE_ROLLBACK_WRITE:
      case ZIP_SOURCE_REMOVE:
      case ZIP_SOURCE_FREE:
        return 0;
      default:
        zip_error_set(&error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
  }
};

namespace {

template <class State>
zip_int64_t callback(void* user, void* data, zip_uint64_t size, zip_source_cmd_t command) {
  auto* state = static_cast<State*>(user);
  try {
    return state->answer(data, size, command);
  } catch (...) {
    state->failure = std::current_exception();
    zip_error_set(&state->error, ZIP_ER_WRITE, EIO);
    return -1;
  }
}

}  // namespace

ZipSink::ZipSink(AtomicFile& file) : state_(std::make_unique<State>(file)) {
  zip_source_t* source = zip_source_function_create(callback<State>, state_.get(), &state_->error);
  if (source) state_->zip = zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &state_->error);
  if (!state_->zip) {
    if (source) zip_source_free(source);
    fail("cannot make a zip archive: {}", zip_error_strerror(&state_->error));
  }
}

ZipSink::~ZipSink() = default;

void ZipSink::add(const std::string& name, const std::vector<std::string_view>& pieces,
                  bool deflate) {
  std::vector<zip_buffer_fragment_t> fragments;
  for (const std::string_view piece : pieces) {
    auto* data = reinterpret_cast<zip_uint8_t*>(const_cast<char*>(piece.data()));
    if (!piece.empty()) fragments.push_back({data, piece.size()});
  }
  zip_t* zip = state_->zip;
  zip_source_t* source = zip_source_buffer_fragment(zip, fragments.data(), fragments.size(), 0);
  const zip_int64_t index = source ? zip_file_add(zip, name.c_str(), source, ZIP_FL_ENC_UTF_8) : -1;
  if (index < 0) {
    if (source) zip_source_free(source);
    fail("cannot write a zip archive: member \"{}\": {}", printable(name), zip_strerror(zip));
  }
  const auto member = static_cast<zip_uint64_t>(index);
  constexpr zip_uint16_t kFirstOfJanuary1980 = 1 << 5 | 1;
  zip_file_set_dostime(zip, member, 0, kFirstOfJanuary1980, 0);
  zip_set_file_compression(zip, member, deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
}

void ZipSink::finish() {
  if (zip_get_num_entries(state_->zip, 0) == 0) {  // libzip would write nothing
    state_->file->write(std::string("PK\5\6") + std::string(18, '\0'));
    return;
  }
  const int status = zip_close(state_->zip);
  if (state_->failure) std::rethrow_exception(state_->failure);
  if (status != 0) fail("cannot write a zip archive: {}", zip_strerror(state_->zip));
  state_->zip = nullptr;
}

}  // namespace twofour::checkpoint
