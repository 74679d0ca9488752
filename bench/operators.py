"""One call of torch.ops.twofour.linear24 and of linear24_prepared against F.linear, inference on the CPU.

linear24 reads its weight in every call; linear24_prepared has it prepared. All run in turns; the fastest call of each
counts. Prints milliseconds and ratios (above 1: faster than F.linear) as a table. Writes JSON to --out.
"""

import argparse
import json
import pathlib
import time

import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent


def seconds_of(work, clock):
    start = clock()
    work()
    return clock() - start


def fastest(pieces, rounds, limit, clock):
    """The shortest time of each piece of work. They run in turns, after an uncounted call of each."""
    for work in pieces.values():
        work()
    best, begin = {name: float("inf") for name in pieces}, time.perf_counter()
    for done in range(rounds):
        if done >= 5 and time.perf_counter() - begin > limit:
            break
        for name, work in pieces.items():
            best[name] = min(best[name], seconds_of(work, clock))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="*", default=["768x3072", "4096x4096"], help="inputs x outputs")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--tokens", nargs="*", type=int, default=[1, 16, 256, 1024])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=8, help="of each row, at least five rounds")
    parser.add_argument("--cpu-time", action="store_true",
                        help="of this thread, instead of the time that passes: for OMP_NUM_THREADS=1 on a busy machine")
    parser.add_argument("--library", default=str(ROOT / "build/libtwofour_ops.so"))
    parser.add_argument("--out", default=str(ROOT / "build/bench/operators.json"))
    args = parser.parse_args()
    torch.ops.load_library(args.library)
    ops, results = torch.ops.twofour, []
    clock = time.thread_time if args.cpu_time else time.perf_counter
    print("| weight | tokens | F.linear | linear24 | linear24_prepared |\n|---|--:|--:|--:|--:|")
    for shape in args.shapes:
        inputs, outputs = map(int, shape.split("x"))
        for dtype in args.dtypes:
            weight = torch.randn(outputs, inputs).to(getattr(torch, dtype))
            weight = ops.apply_mask(weight, ops.magnitude_mask(weight, 2, 4))
            prepared = torch.classes.twofour.Weight24(weight)
            for tokens in args.tokens:
                x = torch.randn(tokens, inputs).to(weight.dtype)
                best = fastest({"dense": lambda: F.linear(x, weight), "linear24": lambda: ops.linear24(x, weight),
                                "prepared": lambda: ops.linear24_prepared(x, prepared)},
                               args.rounds, args.seconds, clock)
                ms = {name: 1e3 * seconds for name, seconds in best.items()}
                results.append({"shape": shape, "dtype": dtype, "tokens": tokens, "ms": ms})
                cells = [f"{ms[name]:.3g} ms, {ms['dense'] / ms[name]:.2f}" for name in ("linear24", "prepared")]
                print(f"| {dtype}, {shape} | {tokens} | {ms['dense']:.3g} ms | {' | '.join(cells)} |", flush=True)
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"threads": torch.get_num_threads(), "calls": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
