"""Evaluates a LLaMA of 1.1 billion random bfloat16 parameters over two windows and saves it again, in little memory.

Prints each process's peak resident set in bytes, including mapped file pages, relative to the size of the weights, and
checks that the saved folder holds the same tensors. Writes JSON to --out.
"""

import argparse
import json
import pathlib
import random
import struct
import tempfile

import torch
from safetensors import safe_open

import random_models
from processes import PROGRAM, ROOT, run_and_measure, write_results

LIMIT = 6 * 2**30


def tensors(folder):
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():
                yield name, opened.get_tensor(name)


def same_tensors(one, other):
    """Compared one at a time, other's by name."""
    index = json.loads((other / "model.safetensors.index.json").read_text())["weight_map"]
    for name, tensor in tensors(one):
        with safe_open(other / index.pop(name), "pt") as opened:
            if not torch.equal(opened.get_tensor(name), tensor):
                return False
    return not index


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="llama-1b", choices=list(random_models.SIZES))
    parser.add_argument("--out", default=str(ROOT / "build/bench/large_model.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        model, saved = scratch / "model", scratch / "saved"
        parameters = random_models.write_model(model, args.size, torch.bfloat16)
        config = random_models.SIZES[args.size]
        count = 2 * config["max_position_embeddings"]
        chance = random.Random(1)
        data = scratch / "ids.bin"
        data.write_bytes(struct.pack(f"<{count}H", *[chance.randrange(config["vocab_size"]) for _ in range(count)]))
        evaluated = run_and_measure(PROGRAM, "eval", "perplexity", "--model", model, "--data", data, "--dtype",
                                    "bfloat16", "--batch", 1, "--json")
        converted = run_and_measure(PROGRAM, "convert", model, saved, "--to", "hf", "--dtype", "bfloat16",
                                    "--max-shard-size", "500MB")
        result = {"parameters": parameters, "weight_bytes": 2 * parameters, "tokens": json.loads(evaluated[0])["tokens"],
                  "evaluate": {"peak_bytes": evaluated[1], "seconds": evaluated[2]},
                  "save": {"peak_bytes": converted[1], "seconds": converted[2]},
                  "saved_tensors_are_the_same": same_tensors(model, saved)}
    for step in ("evaluate", "save"):
        peak = result[step]["peak_bytes"]
        print(f"{step}: peak {peak / 2**30:.2f} GiB, {peak / (2 * parameters):.2f}x the weights, "
              f"{result[step]['seconds']:.1f} s{'' if peak < LIMIT else ', OVER 6 GiB'}", flush=True)
    print(f"saved tensors are the same: {result['saved_tensors_are_the_same']}")
    write_results(args.out, result)


if __name__ == "__main__":
    main()
