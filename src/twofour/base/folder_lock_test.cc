#include "twofour/base/folder_lock.h"

#include <string>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testing.h"

namespace twofour {
namespace {

// A process that holds `folder` until it is killed.
pid_t holder_of(const fs::path& folder) {
  int ready[2];
  EXPECT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const FolderLock lock(folder);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char byte;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  return child;
}

TEST(FolderLock, keeps_others_out_and_names_who_holds_it) {
  const testing::TemporaryFolder folder;
  const pid_t child = holder_of(folder / "run");
  EXPECT_THAT_ERROR(FolderLock(folder / "run"), "is in use by process " + std::to_string(child));
  const FolderLock other(folder / "other");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs::exists(folder / "run" / "lock")) << "what a killed process leaves";
  const FolderLock after(folder / "run");
}

TEST(FolderLock, leaves_nothing_and_can_be_taken_again) {
  const testing::TemporaryFolder folder;
  for (int i = 0; i < 3; ++i) {
    const FolderLock lock(folder.path());
    EXPECT_EQ(read_file(folder / "lock", 100), std::to_string(getpid()));
    // A descriptor of its own conflicts inside one process too.
    EXPECT_THAT_ERROR(FolderLock(folder.path()), "is in use by process");
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(FolderLock, removes_the_folder_that_it_made_if_nothing_was_written) {
  const testing::TemporaryFolder folder;
  { const FolderLock lock(folder / "a" / "b"); }
  EXPECT_FALSE(fs::exists(folder / "a" / "b"));
  {
    const FolderLock lock(folder / "run");
    write_file(folder / "run" / "file", "x");
  }
  EXPECT_TRUE(fs::exists(folder / "run" / "file"));
  fs::create_directory(folder / "mine");
  { const FolderLock lock(folder / "mine"); }
  EXPECT_TRUE(fs::exists(folder / "mine"));
}

TEST(FolderLock, says_where_it_cannot_be_written) {
  const testing::TemporaryFolder folder;
  write_file(folder / "file", "x");
  EXPECT_THAT_ERROR(FolderLock(folder / "file"), "cannot make the folder");
}

}  // namespace
}  // namespace twofour
