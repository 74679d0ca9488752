"""One-shot pruning against the published loop in plain PyTorch (bench/peers/one_shot.py), and its peak memory.

layers: torch.ops.twofour.sparsegpt, 2:4, of single layers. gram: torch.ops.twofour.gram, XᵀX of calibration inputs.
Both run in turns with the peer in this process, and the fastest call of each counts. model: all of `prune` on a random
LLaMA of 160 million parameters. memory: peak resident set of `prune`, mapped file pages included, on random LLaMAs of
1.1 billion and, two blocks of it, 7 billion bfloat16 parameters. Prints ratios, above 1 where twofour is faster. Writes
JSON to --out.
"""

import argparse
import json
import pathlib
import shutil
import sys
import tempfile
import time

import numpy
import torch

import random_models
from operators import fastest
from processes import PROGRAM, ROOT, run_and_measure, write_results

sys.path.insert(0, str(ROOT / "bench/peers"))
import one_shot  # noqa: E402

SAMPLES, CONTEXT = 8, 512
# Size, options, limit of the peak in GB.
MEMORY = {"llama-1b": ([], 3), "llama-7b": (["--blocks", "0-1"], 8)}


def inputs_of_a_layer(tokens, width):
    """Correlated, and of different sizes, as activations are."""
    shared = torch.randn(tokens, 64) @ torch.randn(64, width) / 8
    return (torch.randn(tokens, width) + shared) * torch.rand(width).add_(0.1)


def bench_layers(args):
    results = []
    for shape in args.shapes:
        rows, columns = map(int, shape.split("x"))
        weight = torch.randn(rows, columns) * 0.02
        statistics = one_shot.Statistics(columns)
        statistics.add(inputs_of_a_layer(2 * columns, columns))
        hessian, ours, peer = statistics.hessian, {}, {}

        def run_ours():
            ours["weight"], ours["mask"] = torch.ops.twofour.sparsegpt(weight, hessian, 2, 4)

        def run_peer():
            peer["weight"], peer["mask"] = one_shot.sparsegpt(weight, hessian, 2, 4)

        best = fastest({"twofour": run_ours, "peer": run_peer}, args.rounds, float("inf"), args.clock)
        different = (ours["mask"].bool() != peer["mask"]).double().mean().item()
        results.append({"shape": shape, **best, "ratio": best["peer"] / best["twofour"], "different_masks": different})
        print(f"sparsegpt {shape}: {best['twofour']:.3f} s, {best['peer'] / best['twofour']:.2f}x the peer's "
              f"{best['peer']:.3f} s; {100 * different:.3f} % of the masks differ", flush=True)
    return results


def bench_gram(args):
    if not hasattr(torch.ops.twofour, "gram"):
        print("gram: the library has no such operator")
        return []
    results = []
    for width in args.widths:
        for dtype in ("float32", "bfloat16"):
            x = inputs_of_a_layer(args.tokens, width).to(getattr(torch, dtype))
            # The published classes convert to float32, too.
            best = fastest({"twofour": lambda: torch.ops.twofour.gram(x), "peer": lambda: x.float().t() @ x.float()},
                           args.rounds, float("inf"), args.clock)
            results.append({"tokens": args.tokens, "width": width, "dtype": dtype, **best,
                            "ratio": best["peer"] / best["twofour"]})
            print(f"gram {dtype} {args.tokens}x{width}: {1e3 * best['twofour']:.1f} ms, "
                  f"{best['peer'] / best['twofour']:.2f}x the full product's {1e3 * best['peer']:.1f} ms", flush=True)
    return results


def write_ids(path, vocabulary):
    numpy.random.default_rng(1).integers(0, vocabulary, 2 * SAMPLES * CONTEXT).astype(numpy.uint16).tofile(path)
    return path


def prune(model, ids, out, *options):
    """(seconds of the program's own, peak bytes)."""
    sparsegpt = ["--method", "sparsegpt", "--reweight", "none", "--pattern", "2:4"]
    output, peak, _ = run_and_measure(PROGRAM, "prune", "--model", model, *sparsegpt, "--calibration", ids, "--samples",
                                      SAMPLES, "--context", CONTEXT, "--out", out, "--json", *options)
    shutil.rmtree(out)
    return json.loads(output)["seconds"], peak


def bench_model(args, scratch):
    model, size = scratch / "small", "llama-160m"
    random_models.write_model(model, size)
    ids = write_ids(scratch / "ids.bin", random_models.SIZES[size]["vocab_size"])
    samples = scratch / "samples.bin"
    times, peaks = {"twofour": [], "peer": []}, {"twofour": [], "peer": []}
    for _ in range(args.model_rounds):
        seconds, peak = prune(model, ids, scratch / "pruned", "--dtype", "float32", "--save-samples", samples)
        times["twofour"].append(seconds)
        peaks["twofour"].append(peak)
        samples.with_suffix(".json").unlink(missing_ok=True)
        output, peak, _ = run_and_measure(sys.executable, ROOT / "bench/peers/one_shot.py", "--model", model, "--ids",
                                          samples, "--context", CONTEXT, "--threads", torch.get_num_threads(), "--json")
        times["peer"].append(json.loads(output)["seconds"])
        peaks["peer"].append(peak)
        samples.unlink()
    result = {"model": size, "seconds": {name: min(all_) for name, all_ in times.items()},
              "peak_bytes": {name: min(all_) for name, all_ in peaks.items()}}
    seconds, peak = result["seconds"], result["peak_bytes"]
    print(f"prune {size}: {seconds['twofour']:.1f} s, {seconds['peer'] / seconds['twofour']:.2f}x the peer without "
          f"loading and saving; peak {peak['twofour'] / 1e9:.2f} GB, {peak['twofour'] / peak['peer']:.2f}x the peer's",
          flush=True)
    shutil.rmtree(model)
    return result


def bench_memory(args, scratch):
    results = []
    for size in args.sizes:
        options, limit = MEMORY[size]
        parameters = random_models.parameters_of(size)
        free, needed = shutil.disk_usage(scratch).free, 2.1 * 2 * parameters  # the model and the pruned one
        if free < needed:
            print(f"{size}: needs {needed / 1e9:.0f} GB of disk in {scratch}, {free / 1e9:.0f} GB are free")
            continue
        model = scratch / size
        random_models.write_model(model, size, torch.bfloat16)
        ids = write_ids(scratch / "ids.bin", random_models.SIZES[size]["vocab_size"])
        seconds, peak = prune(model, ids, scratch / "pruned", *options)
        shutil.rmtree(model)
        results.append({"model": size, "parameters": parameters, "options": options, "seconds": seconds,
                        "peak_bytes": peak, "limit_bytes": limit * 10**9})
        print(f"prune {size} {' '.join(options)}: {seconds:.1f} s, peak {peak / 1e9:.2f} GB, "
              f"{peak / (2 * parameters):.2f}x the weights{'' if peak <= limit * 1e9 else f', OVER {limit} GB'}",
              flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", default=["layers", "gram", "model", "memory"],
                        choices=["layers", "gram", "model", "memory"])
    parser.add_argument("--shapes", nargs="*", default=["768x3072", "4096x4096"], help="outputs x inputs")
    parser.add_argument("--widths", nargs="*", type=int, default=[768, 3072, 4096])
    parser.add_argument("--tokens", type=int, default=2048, help="of gram")
    parser.add_argument("--rounds", type=int, default=3, help="of layers and gram")
    parser.add_argument("--model-rounds", type=int, default=2)
    parser.add_argument("--sizes", nargs="*", default=list(MEMORY), choices=list(MEMORY))
    parser.add_argument("--cpu-time", action="store_true",
                        help="of this thread, instead of the time that passes: for OMP_NUM_THREADS=1 on a busy machine")
    parser.add_argument("--scratch", help="folder for the random models (default: the system's)")
    parser.add_argument("--library", default=str(ROOT / "build/libtwofour_ops.so"))
    parser.add_argument("--out", default=str(ROOT / "build/bench/prune.json"))
    args = parser.parse_args()
    args.clock = time.thread_time if args.cpu_time else time.perf_counter
    torch.ops.load_library(args.library)
    torch.manual_seed(1)
    results = {"threads": torch.get_num_threads()}
    in_this_process = {"layers": bench_layers, "gram": bench_gram}
    of_the_program = {"model": bench_model, "memory": bench_memory}
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        for part in args.parts:
            if part in in_this_process:
                results[part] = in_this_process[part](args)
            else:
                results[part] = of_the_program[part](args, pathlib.Path(scratch))
            write_results(args.out, results)


if __name__ == "__main__":
    main()
