"""Compares a training step with the same model in PyTorch (bench/peers/gpt2_step.py).

Both run in turns, several times; the fastest step of each counts. Prints the ratio of the times, above 1
where twofour is faster, and of the peak memory, below 1 where it needs less. Writes JSON to --out.
"""

import argparse
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from processes import PROGRAM, ROOT, run_and_measure, write_results

SIZES = {
    "gpt2-124m": {"layers": 12, "heads": 12, "width": 768},
    "6x384": {"layers": 6, "heads": 6, "width": 384},
}
BATCH, CONTEXT, VOCABULARY = 4, 256, 50257
# Of the few measured steps, a dense end or a switch would be most.
SPARSE_THROUGHOUT = {"fst": ["--dense-end", 0], "step": ["--switch", "fixed", "--second-moment", "adapt"]}


def flags(size):
    return [part for key, value in size.items() for part in (f"--{key}", value)]


def time_peer(size, dtype, steps, compiled):
    output, peak, _ = run_and_measure(
        sys.executable, ROOT / "bench/peers/gpt2_step.py", *flags(size), "--dtype", dtype, "--steps",
        steps, "--batch", BATCH, "--context", CONTEXT, "--vocabulary", VOCABULARY,
        *(["--compile"] if compiled else []))
    return min(json.loads(output)["seconds"]), peak


def time_ours(size, dtype, steps, method, scratch):
    run = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    _, peak, _ = run_and_measure(
        PROGRAM, "train", "--data", scratch, "--out", run, *flags(size), "--dtype", dtype,
        "--method", method, *SPARSE_THROUGHOUT.get(method, []), "--steps", steps + 2, "--batch", BATCH, "--context", CONTEXT, "--vocabulary",
        VOCABULARY, "--log-every", 1, "--json")
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    rates = [entry["tokens_per_second"] for entry in log if entry["event"] == "step"][2:]
    subprocess.run(["rm", "-rf", run], check=True)
    return BATCH * CONTEXT / max(rates), peak


def write_tokens(folder):
    chance = random.Random(1)
    tokens = [chance.randrange(VOCABULARY) for _ in range(100_000)]
    pathlib.Path(folder, "train.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--dtypes", nargs="*", default=["bfloat16", "float32"])
    parser.add_argument("--methods", nargs="*", default=["dense", "s-ste", "fst"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="also against torch.compile")
    parser.add_argument("--out", default=str(ROOT / "build/bench/step.json"))
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        write_tokens(scratch)
        for name in args.sizes:
            for dtype in args.dtypes:
                size, runs = SIZES[name], {}
                for _ in range(args.rounds):
                    for peer in ["eager"] + (["compile"] if args.compile else []):
                        runs.setdefault(peer, []).append(
                            time_peer(size, dtype, args.steps, peer == "compile"))
                    for method in args.methods:
                        runs.setdefault(method, []).append(
                            time_ours(size, dtype, args.steps, method, scratch))
                best = {key: {"seconds": min(s for s, _ in value), "peak_bytes": min(p for _, p in value)}
                        for key, value in runs.items()}
                result = {"model": name, "dtype": dtype, "batch": BATCH, "context": CONTEXT, **best}
                results.append(result)
                for method in args.methods:
                    for peer in ("eager", "compile"):
                        if peer in best:
                            print(f"{name} {dtype} {method:6} {best[method]['seconds']:.3f} s, "
                                  f"{best[peer]['seconds'] / best[method]['seconds']:.2f}x PyTorch {peer}, "
                                  f"memory {best[method]['peak_bytes'] / best[peer]['peak_bytes']:.2f}x",
                                  flush=True)
    write_results(args.out, results)


if __name__ == "__main__":
    main()
