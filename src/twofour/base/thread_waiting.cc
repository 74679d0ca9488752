// Sets how long a thread without work spins before it sleeps, before anything else of a program
// runs.
//
// libgomp spins for 300 000 rounds, some milliseconds, longer than most parallel regions take.
// Beside another busy process, this takes time from threads of both that have work
// (bench/two_processes.py). libgomp reads GOMP_SPINCOUNT when it is loaded, so the program restarts
// itself with another value in its environment. OMP_WAIT_POLICY or GOMP_SPINCOUNT of the user
// stand.
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

// Uses no sanitizer, libc function or exception, because none is set up yet.
#define TWOFOUR_FIRST_CODE __attribute__((no_sanitize("address", "undefined", "thread")))

TWOFOUR_FIRST_CODE bool is_variable_named(const char* variable, const char* name) {
  for (; *name != 0; ++name, ++variable) {
    if (*variable != *name) return false;
  }
  return *variable == '=';
}

TWOFOUR_FIRST_CODE void choose_waiting(int /*argc*/, char** argv, char** environment) {
  size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count == kMostVariables || is_variable_named(environment[count], "GOMP_SPINCOUNT") ||
        is_variable_named(environment[count], "OMP_WAIT_POLICY")) {
      return;
    }
    environment_with_count[count] = environment[count];
  }
  environment_with_count[count] = spin_count;
  // The path itself, not the link, because ps and killall show the name of the start.
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  if (length <= 0) return;
  execve(program, argv, environment_with_count);
  // If that fails, threads wait as long as libgomp's usually do.
}

// Called before the initialisers of all libraries.
__attribute__((section(".preinit_array"), used)) void (*const kFirst)(int, char**,
                                                                      char**) = choose_waiting;

}  // namespace
