// How long a thread without work spins before it sleeps; linked into every program, before anything
// of it runs.
//
// libgomp spins for 300 000 rounds, some milliseconds: longer than most parallel regions take.
// Beside another busy process, that is time taken from threads that have work, of the other process
// and of this one (bench/two_processes.py). It reads GOMP_SPINCOUNT when it is loaded, so the one
// way to choose another number is an environment that has it from the start: the program runs
// itself again with that. What the user says with OMP_WAIT_POLICY or GOMP_SPINCOUNT stands.
#include <climits>
#include <cstddef>

#include <unistd.h>

namespace {

// Some tens of microseconds, about what waking a sleeper takes: a round is 27 ns on Zen 4, 56 ns on
// Cascade Lake.
char spin_count[] = "GOMP_SPINCOUNT=1000";

constexpr size_t kMostVariables = 8192;
char* environment_with_count[kMostVariables + 2];
char program[PATH_MAX];

// Without sanitizers, libc's own functions and exceptions: nothing of these is set up yet.
#define TWOFOUR_FIRST_CODE __attribute__((no_sanitize("address", "undefined", "thread")))

TWOFOUR_FIRST_CODE bool is_named(const char* variable, const char* name) {
  for (; *name != 0; ++name, ++variable) {
    if (*variable != *name) return false;
  }
  return *variable == '=';
}

TWOFOUR_FIRST_CODE void choose_waiting(int /*argc*/, char** argv, char** environment) {
  size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count == kMostVariables || is_named(environment[count], "GOMP_SPINCOUNT") ||
        is_named(environment[count], "OMP_WAIT_POLICY")) {
      return;
    }
    environment_with_count[count] = environment[count];
  }
  environment_with_count[count] = spin_count;
  // The path itself, not the link: ps and killall name a process by what it was started as.
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  if (length <= 0) return;
  execve(program, argv, environment_with_count);
  // Where that fails, threads wait as libgomp's do everywhere.
}

// Called before the initialisers of all libraries.
__attribute__((section(".preinit_array"), used)) void (*const kFirst)(int, char**,
                                                                      char**) = choose_waiting;

}  // namespace
