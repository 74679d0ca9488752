#include "twofour/cli/command.h"

int main(int argc, char** argv) {
  using namespace twofour::cli;
  return run_program(argc, argv, {add_train, add_info});
}
