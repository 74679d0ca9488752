"""Generating one token after another, compared with memory speed and with llama2.c's own program.

It answers two questions, with interleaved runs of which the fastest counts:

- How near is a token to a plain read of its weights? For random models: tokens a second times the bytes of a token,
  divided by the bytes a second of `twofour bench decode` (the faster of its plain read and its 2:4 product).
- With --llama2c, a program built from llama2.c's run.c (say `gcc -Ofast -march=native run.c -lm`): tokens a second on
  llama2.c's models, which both continue greedily from their first token, with one thread, and whether the text is the same.

Writes JSON to --out.
"""

import argparse
import json
import pathlib
import random
import re
import struct
import subprocess
import tempfile

import random_models
from processes import PROGRAM, ROOT, run_json, write_results

MODELS = ROOT.parent / "shared" / "data" / "models"
STORIES = [(MODELS / "stories260K/stories260K.bin", MODELS / "stories260K/tok512.bin")]
ELEMENT = {"float32": 4, "bfloat16": 2, "float16": 2}


def bytes_of_a_token(size, dtype, weight_bytes):
    """All weights but the rows of an embedding that no token looks up."""
    config = random_models.SIZES[size]
    if config["model_type"] == "gpt2":
        unread = config["n_positions"] * config["n_embd"]
    else:
        unread = config["vocab_size"] * config["hidden_size"]
    return weight_bytes - unread * ELEMENT[dtype]


def measure_memory(args, scratch):
    for size in args.sizes:
        model = scratch / size
        random_models.write_model(model, size, sparse=True)
        prompt = scratch / "prompt.bin"
        chance = random.Random(1)
        vocabulary = random_models.SIZES[size]["vocab_size"]
        prompt.write_bytes(struct.pack("<8H", *[chance.randrange(vocabulary) for _ in range(8)]))
        for dtype in args.dtypes:
            rates = {"dense": [], "packed": []}
            reads = []
            for _ in range(args.rounds):
                bandwidth = run_json(PROGRAM, "bench", "decode", "--in", 768, "--out", 3072, "--megabytes", 200,
                                     "--rounds", 3, "--dtype", dtype, "--json")
                reads.append(max(bandwidth["read_gb_per_s"], bandwidth["sparse_gb_per_s"]))
                for weights in rates:
                    made = run_json(PROGRAM, "generate", "--model", model, "--prompt-ids", prompt, "--max-tokens",
                                    args.tokens, "--temperature", 0, "--dtype", dtype, "--weights", weights, "--json")
                    gigabytes = bytes_of_a_token(size, dtype, made["weight_bytes"]) / 1e9
                    rates[weights].append((made["tokens_per_second"], gigabytes))
            for weights, runs in rates.items():
                rate, gigabytes = max(runs)
                share = rate * gigabytes / max(reads)
                print(f"{size} {dtype} {weights}: {rate:.1f} tokens/s, {rate * gigabytes:.1f} of {max(reads):.1f} GB/s, "
                      f"{share:.2f} of the limit", flush=True)
                yield {"model": size, "dtype": dtype, "weights": weights, "tokens_per_second": rate,
                       "gb_per_s": rate * gigabytes, "read_gb_per_s": max(reads), "share_of_limit": share}


def run_llama2c(program, model, tokenizer):
    """Tokens a second and the text. run.c ends at its context or at a token that begins a text."""
    done = subprocess.run([program, model, "-z", tokenizer, "-t", "0", "-n", "0"], capture_output=True, text=True,
                          check=True, env={"OMP_NUM_THREADS": "1"})
    return float(re.search(r"achieved tok/s: ([\d.]+)", done.stderr)[1]), done.stdout.strip()


def measure_llama2c(args, scratch):
    for number, (weights, tokenizer) in enumerate(args.stories):
        model = scratch / f"stories{number}"
        subprocess.run([PROGRAM, "convert", weights, model, "--to", "hf", "--tokenizer", tokenizer], check=True,
                       capture_output=True)
        ours, theirs = [], []
        for _ in range(3 * args.rounds):  # they take milliseconds
            rate, text = run_llama2c(args.llama2c, weights, tokenizer)
            theirs.append(rate)
            made = run_json(PROGRAM, "generate", "--model", model, "--prompt", "", "--temperature", 0, "--max-tokens",
                            100000, "--threads", 1, "--weights", "dense", "--json")
            ours.append(made["tokens_per_second"])
        same = made["text"].strip().startswith(text) or text.startswith(made["text"].strip())
        print(f"{weights.stem}: {max(ours):.0f} tokens/s, {max(ours) / max(theirs):.2f}x llama2.c's "
              f"{max(theirs):.0f}; same text: {same}", flush=True)
        yield {"model": weights.stem, "tokens_per_second": max(ours), "llama2c_tokens_per_second": max(theirs),
               "ratio": max(ours) / max(theirs), "same_text": same}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama2c", metavar="PROGRAM", help="run.c, built; without it the first question alone")
    parser.add_argument("--stories", nargs=2, action="append", type=pathlib.Path, metavar=("MODEL.bin", "TOKENIZER.bin"),
                        help="a llama2.c model; may be given several times (default: stories260K of ../shared)")
    parser.add_argument("--sizes", nargs="*", default=["gpt2-124m"])
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16", "float16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--out", default=str(ROOT / "build/bench/decode.json"))
    args = parser.parse_args()
    args.stories = args.stories or STORIES
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        results = {"memory": list(measure_memory(args, scratch))}
        if args.llama2c:
            results["llama2c"] = list(measure_llama2c(args, scratch))
    write_results(args.out, results)


if __name__ == "__main__":
    main()
