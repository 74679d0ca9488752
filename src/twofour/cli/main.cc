#include <csignal>

#include "twofour/base/memory.h"
#include "twofour/base/streams.h"
#include "twofour/cli/command.h"

int main(int argc, char** argv) {
  using namespace twofour::cli;
  twofour::reserve_standard_streams();
  twofour::keep_freed_memory();
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond ulimit -f fails like one to a full disk
  return run_program(argc, argv,
                     {add_tokenizer, add_data, add_train, add_tune_decay, add_report, add_prune,
                      add_learn, add_trim, add_eval, add_generate, add_convert, add_mask, add_info,
                      add_bench, add_completion});
}
