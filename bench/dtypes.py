"""Compares a training step in bfloat16 with one in float32 and with PyTorch's in bfloat16, on this CPU and on CPUs
without 16-bit arithmetic.

The latter are this CPU with the instruction sets of twofour, oneDNN and ATen limited: products that oneDNN emulates
take as long as on a real one, and MKL picks its own. All four run in turns; the fastest step of each counts. Prints the
ratios of the times; above 1 means that bfloat16 is slower than float32, or that twofour is faster than PyTorch. Writes
JSON to --out.
"""

import argparse
import os
import tempfile

from processes import ROOT, write_results
from step import SIZES, time_ours, time_peer, write_tokens

CPUS = {
    "this": {},
    "avx512": {"TWOFOUR_ISA": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx2": {"TWOFOUR_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}


def measure(size, method, peer_dtypes, steps, rounds, scratch):
    """The fastest step in seconds of each contestant."""
    contestants = {
        "float32": lambda: time_ours(size, "float32", steps, method, scratch),
        "bfloat16": lambda: time_ours(size, "bfloat16", steps, method, scratch),
    }
    for dtype in peer_dtypes:
        contestants["pytorch " + dtype] = lambda dtype=dtype: time_peer(size, dtype, steps, False)
    seconds = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            seconds[name].append(run()[0])
    return {name: min(values) for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpus", nargs="*", default=list(CPUS), choices=list(CPUS))
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--methods", nargs="*", default=["dense", "s-ste"])
    parser.add_argument("--peer-dtypes", nargs="*", default=["float32", "bfloat16"],
                        help="PyTorch's bfloat16 takes minutes a step where oneDNN has AVX2 alone")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", default=str(ROOT / "build/bench/dtypes.json"))
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        write_tokens(scratch)
        for cpu in args.cpus:
            os.environ.update(CPUS[cpu])
            for name in args.sizes:
                for method in args.methods:
                    best = measure(SIZES[name], method, args.peer_dtypes, args.steps, args.rounds, scratch)
                    results.append({"cpu": cpu, "model": name, "method": method, "seconds": best})
                    peers = [f"{dtype} {best['pytorch ' + dtype] / best[dtype]:.2f}" for dtype in args.peer_dtypes]
                    print(f"{cpu:7} {name} {method:6} bfloat16 {best['bfloat16']:.3f} s, "
                          f"{best['bfloat16'] / best['float32']:.2f}x float32; "
                          f"PyTorch / twofour: {', '.join(peers) or 'not measured'}", flush=True)
            for variable in CPUS[cpu]:
                del os.environ[variable]
    write_results(args.out, results)


if __name__ == "__main__":
    main()
