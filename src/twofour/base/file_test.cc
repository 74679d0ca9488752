#include "twofour/base/file.h"

#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "twofour/base/error.h"

#include "testing.h"

namespace twofour {
namespace {

using testing::TemporaryFolder;

size_t entries(const fs::path& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(AtomicFile, appears_only_when_committed_and_leaves_no_trace_otherwise) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.txt";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
    EXPECT_EQ(read_file(path), "old");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(entries(folder.path()), 1u);
  AtomicFile file(path);
  file.write("....new");
  file.write_at(0, "very", 4);
  file.write("er");
  file.commit();
  EXPECT_EQ(read_file(path), "verynewer");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(AtomicFile, a_full_disk_is_reported_and_nothing_existing_is_damaged) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.txt";
  write_file(path, "old");
  const testing::FileSizeLimit full_disk(1 << 16);
  EXPECT_THAT_ERROR(write_file(path, std::string(1 << 21, 'x')), "what was there before");
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(AtomicFile, no_device_or_pipe_is_replaced) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT_ERROR(write_file(folder / "pipe", "text"), "it is a device or a pipe");
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
}

TEST(AtomicFile, what_a_link_leads_to_is_written) {
  const TemporaryFolder folder;
  write_file(folder / "there.txt", "old");
  fs::create_symlink("there.txt", folder / "link.txt");
  write_file(folder / "link.txt", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link.txt"));
  EXPECT_EQ(read_file(folder / "there.txt"), "new");
}

TEST(AtomicFolder, what_a_link_leads_to_is_replaced) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "there");
  fs::create_directory_symlink("there", folder / "link");
  AtomicFolder next(folder / "link");
  write_file(next.path() / "weights", "new");
  next.commit();
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "there" / "weights"), "new");
}

TEST(AtomicFolder, replaces_an_existing_folder_in_one_step) {
  const TemporaryFolder folder;
  const fs::path target = folder / "checkpoint";
  for (const std::string content : {"first", "second"}) {
    AtomicFolder next(target);
    write_file(next.path() / "data", content);
    next.commit();
    EXPECT_EQ(read_file(target / "data"), content);
    EXPECT_EQ(entries(folder.path()), 1u);
  }
  { AtomicFolder abandoned(target); }
  EXPECT_EQ(read_file(target / "data"), "second");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(MappedFile, refuses_a_pipe_without_waiting_for_its_writer) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT_ERROR(MappedFile(folder / "pipe"), "not a regular file");
}

TEST(ReadFile, takes_no_more_than_its_limit_and_no_device) {
  const TemporaryFolder folder;
  write_file(folder / "a", std::string(10000, 'x'));
  EXPECT_EQ(read_file(folder / "a", 10000), std::string(10000, 'x'));
  EXPECT_THAT_ERROR(read_file(folder / "a", 9999),
                    "a\": it holds 10000 bytes, expected at most 9999");
  EXPECT_THAT_ERROR(read_file_or_pipe("/dev/zero", 1 << 20), "holds 1048576 bytes and more");
  fs::create_symlink("/dev/zero", folder / "zero");
  EXPECT_THAT_ERROR(read_file(folder / "zero", 1 << 20), "not a regular file");
  EXPECT_FALSE(read_file("/proc/self/status", 1 << 20).empty()) << "a file that says it is empty";
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT_ERROR(read_file(folder / "pipe", 1 << 20), "not a regular file");
  std::thread writer([&] { std::ofstream(folder / "pipe") << std::string(100000, 'y'); });
  EXPECT_EQ(read_file_or_pipe(folder / "pipe", 1 << 20), std::string(100000, 'y'));
  writer.join();
}

TEST(RemoveAbandoned, takes_only_what_dead_processes_left) {
  const TemporaryFolder folder;
  write_file(folder / "x.partial-999999999-0", "dead");
  fs::create_directory(folder / "out.partial-999999999-12");
  write_file(folder / "out.partial-999999999-12" / "config.json", "dead");
  const std::vector<std::string> keep = {"keep",
                                         "x.partial-999999999",
                                         "x.partial-999999999-0.txt",
                                         "x.partial--999999999-0",
                                         "x.partial-999999999-",
                                         "x.partial-y-0"};
  for (const std::string& name : keep) write_file(folder / name, "");
  AtomicFile living(folder / "y");
  remove_abandoned(folder.path());
  for (const std::string& name : keep) EXPECT_TRUE(fs::exists(folder / name)) << name;
  EXPECT_EQ(entries(folder.path()), keep.size() + 1);
}

TEST(MappedFile, refuses_what_is_not_a_file_by_name) {
  const TemporaryFolder folder;
  EXPECT_THAT_ERROR(MappedFile(folder / "none"), "No such file");
  EXPECT_THAT_ERROR(MappedFile(folder.path()), "it is a folder");
  EXPECT_THAT_ERROR(read_file(folder / "none"), "none\": No such file");
  write_file(folder / "empty", "");
  EXPECT_EQ(MappedFile(folder / "empty").size(), 0u);
}

}  // namespace
}  // namespace twofour
