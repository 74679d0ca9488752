"""Learned masks against the published formulation in plain PyTorch (bench/peers/learned_masks.py).

layer: forward and backward of one linear layer (`twofour bench soft-mask`), and the memory that a call adds at its
peak. step: a step of `learn` on a random LLaMA of 100 million parameters. Both run in turns with the peer's process,
and the fastest of each counts. memory: peak resident set of `learn` on a random LLaMA of 1.1 billion parameters in
bfloat16, mapped file pages included, and the bytes per masked weight that it spends beside the weights. Prints ratios,
above 1 where twofour is faster. Writes JSON to --out.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile

import numpy
import torch

import random_models
from processes import PROGRAM, ROOT, run_and_measure, run_json, write_results

CONTEXT = 512
LIMIT = 16e9


def bench_layer(args):
    """The two run in turns, as processes of some rounds each."""
    results, sizes = [], ["--tokens", args.tokens, "--rounds", args.rounds]
    peer = [sys.executable, ROOT / "bench/peers/learned_masks.py", "layer", *sizes, "--width", args.width]
    program = [PROGRAM, "bench", "soft-mask", *sizes, "--in", args.width, "--out", args.width, "--json"]
    for dtype in args.dtypes:
        ours, peers = [], []
        for _ in range(args.model_rounds):
            ours.append(run_json(*program, "--dtype", dtype))
            peers.append(run_json(*peer, "--dtype", dtype))

        def least(name, reports):
            return min(report[name] for report in reports)

        best = {"twofour": least("masked_ms", ours), "peer": least("ms", peers), "dense": least("dense_ms", ours)}
        memory = {"twofour": least("added_bytes", ours), "peer": least("added_bytes", peers)}
        results.append({"width": args.width, "tokens": args.tokens, "dtype": dtype, "ms": best,
                        "ratio": best["peer"] / best["twofour"], "added_bytes": memory,
                        "memory_ratio": memory["twofour"] / memory["peer"]})
        print(f"layer {args.width}x{args.width}, {args.tokens} tokens, {dtype}: {best['twofour']:.0f} ms, "
              f"{best['peer'] / best['twofour']:.2f}x the peer's {best['peer']:.0f} ms (dense layer "
              f"{best['dense']:.0f} ms); adds {memory['twofour'] / 1e6:.0f} MB, "
              f"{memory['twofour'] / memory['peer']:.2f}x the peer's", flush=True)
    return results


def write_data(folder, vocabulary):
    folder.mkdir()
    ids = numpy.random.default_rng(1).integers(0, vocabulary, 200 * CONTEXT).astype(numpy.uint16)
    ids.tofile(folder / "train.bin")
    return folder


def learn(model, data, run, steps, *options):
    """(median seconds of a step after the first two, peak bytes)."""
    _, peak, _ = run_and_measure(PROGRAM, "learn", "--model", model, "--data", data, "--out", run, "--steps", steps,
                                 "--batch", 1, "--context", CONTEXT, "--log-every", 1, "--checkpoint-every", 0,
                                 "--stop-after", steps - 1, "--json", *options)
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    rates = [line["tokens_per_second"] for line in lines if line["event"] == "step"]
    return CONTEXT / statistics.median(rates[2:] or rates), peak


def bench_step(args, scratch):
    model, size, results = scratch / "small", "llama-100m", []
    random_models.write_model(model, size)
    data = write_data(scratch / "data", random_models.SIZES[size]["vocab_size"])
    for dtype in args.dtypes:
        times = {"twofour": [], "peer": []}
        for number in range(args.model_rounds):
            times["twofour"].append(learn(model, data, scratch / f"run-{dtype}-{number}", 8, "--dtype", dtype)[0])
            peer = [sys.executable, ROOT / "bench/peers/learned_masks.py", "step", model, data / "train.bin"]
            output = run_and_measure(*peer, "--dtype", dtype, "--steps", 6, "--batch", 1, "--context", CONTEXT,
                                     "--threads", torch.get_num_threads())[0]
            times["peer"].append(statistics.median(json.loads(output)["seconds"][2:]))
        best = {name: min(all_) for name, all_ in times.items()}
        results.append({"model": size, "dtype": dtype, "tokens": CONTEXT, "seconds": best,
                        "ratio": best["peer"] / best["twofour"]})
        print(f"step of {size}, {dtype}, {CONTEXT} tokens: {best['twofour']:.2f} s, "
              f"{best['peer'] / best['twofour']:.2f}x the peer's {best['peer']:.2f} s", flush=True)
    return results


def linear_weights(size):
    return sum(torch.Size(shape).numel() for name, shape in random_models.shapes_of(random_models.SIZES[size])
               if "proj" in name)


def bench_memory(args, scratch):
    model, size = scratch / "large", "llama-1b"
    parameters = random_models.write_model(model, size, torch.bfloat16)
    data = write_data(scratch / "ids", random_models.SIZES[size]["vocab_size"])
    seconds, peak = learn(model, data, scratch / "run-large", 4, "--dtype", "bfloat16", "--logits", "bfloat16",
                          "--moments", "8bit", "--recompute")
    weights = linear_weights(size)
    result = {"model": size, "parameters": parameters, "masked_weights": weights, "peak_bytes": peak,
              "seconds_per_step": seconds, "beside_weights_per_weight": (peak - 2 * parameters) / weights}
    print(f"learn {size}, bfloat16 logits, 8-bit moments: peak {peak / 1e9:.2f} GB, "
          f"{result['beside_weights_per_weight']:.2f} bytes a masked weight beside the weights; {seconds:.1f} s a step"
          f"{'' if peak <= LIMIT else f', OVER {LIMIT / 1e9:.0f} GB'}", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", default=["layer", "step", "memory"], choices=["layer", "step", "memory"])
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--width", type=int, default=4096, help="of the layer")
    parser.add_argument("--tokens", type=int, default=512, help="of the layer")
    parser.add_argument("--rounds", type=int, default=5, help="of the layer")
    parser.add_argument("--model-rounds", type=int, default=2)
    parser.add_argument("--scratch", help="folder for the random models (default: the system's)")
    parser.add_argument("--out", default=str(ROOT / "build/bench/learn.json"))
    args = parser.parse_args()
    results = {"threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        for part in args.parts:
            if part == "layer":
                results[part] = bench_layer(args)
            else:
                results[part] = (bench_step if part == "step" else bench_memory)(args, pathlib.Path(scratch))
            write_results(args.out, results)


if __name__ == "__main__":
    main()
