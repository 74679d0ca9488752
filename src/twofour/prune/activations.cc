#include "twofour/prune/activations.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "twofour/base/error.h"
#include "twofour/base/file.h"
#include "twofour/base/log.h"

namespace twofour::prune {
namespace {

constexpr uint64_t kPage = 4096;

// Every batch begins on a page, so that the pages of a used one can leave memory alone.
uint64_t whole_pages(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// A file without a name.
void* map_new_file(uint64_t bytes, const fs::path& folder) {
  const fs::path path = folder / "activations";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) fail("cannot write \"{}\": {}", path.string(), system_message(errno));
  unlink(path.c_str());
  const int error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  void* const mapped =
      error == 0 ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  const int why = error != 0 ? error : errno;
  close(fd);
  if (mapped == MAP_FAILED) {
    fail("cannot keep {:.1f} GB of activations in \"{}\": {}", static_cast<double>(bytes) * 1e-9,
         folder.string(), system_message(why));
  }
  return mapped;
}

}  // namespace

Activations::Activations(const std::vector<int64_t>& rows, int64_t width, at::ScalarType dtype,
                         uint64_t most_bytes, const fs::path& folder) {
  const auto bytes_of = [&](int64_t count) {
    return whole_pages(static_cast<uint64_t>(count * width) * c10::elementSize(dtype));
  };
  uint64_t bytes = 0;
  for (const int64_t count : rows) bytes += bytes_of(count);
  if (bytes > most_bytes) {
    mapped_ = map_new_file(bytes, folder);
    mapped_bytes_ = bytes;
    spdlog::info("{:.3g} GB of activations exceed --memory and are kept in a file",
                 static_cast<double>(bytes) * 1e-9);
  }
  auto* place = static_cast<char*>(mapped_);
  for (const int64_t count : rows) {
    const at::TensorOptions options = at::TensorOptions().dtype(dtype);
    batches_.push_back(mapped_ ? at::from_blob(place, {count, width}, options)
                               : at::empty({count, width}, options));
    if (mapped_) place += bytes_of(count);
  }
}

Activations::~Activations() {
  batches_.clear();
  if (mapped_) munmap(mapped_, mapped_bytes_);
}

void Activations::set(size_t i, const at::Tensor& values) {
  batches_[i].copy_(values);
  if (!mapped_) return;
  // The next batch is another one: written pages go to the file, not to the swap.
  auto* const begin = static_cast<char*>(batches_[i].data_ptr());
  const uint64_t bytes = whole_pages(batches_[i].nbytes());
  msync(begin, bytes, MS_ASYNC);
  madvise(begin, bytes, MADV_DONTNEED);
}

}  // namespace twofour::prune
