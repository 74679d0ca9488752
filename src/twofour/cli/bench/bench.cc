// bench: 2:4 against its best alternatives on this machine.
#include "twofour/cli/bench/bench.h"

namespace twofour::cli {

void add_bench(CLI::App& program) {
  CLI::App& bench = *program.add_subcommand(
      "bench", "2:4 against the best dense products, and the kernels against memory, as ratios");
  bench.require_subcommand(1);
  add_bench_linear(bench);
  add_bench_block(bench);
  add_bench_mask(bench);
  add_bench_mvue(bench);
  add_bench_decode(bench);
  add_bench_soft_mask(bench);
}

}  // namespace twofour::cli
