"""Generates one token at a time with packed 2:4 weights, dense weights and transformers, on one model and prompt.

All run in turns; the fastest run counts. Prints tokens a second as ratios (above 1: packed is faster), the memory of
the weights, and whether greedy text is the same. Writes JSON to --out.
"""

import argparse
import pathlib
import random
import struct
import sys
import tempfile

import random_models
from processes import PROGRAM, ROOT, run_json, write_results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=["gpt2-124m", "llama-160m"])
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=32, help="tokens")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--out", default=str(ROOT / "build/bench/generate.json"))
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for size in args.sizes:
            vocabulary = random_models.SIZES[size]["vocab_size"]
            chance = random.Random(1)
            prompt = scratch / "prompt.bin"
            prompt.write_bytes(struct.pack(f"<{args.prompt}H",
                                           *[chance.randrange(vocabulary) for _ in range(args.prompt)]))
            random_models.write_model(scratch / size, size, sparse=True)
            for dtype in args.dtypes:
                runs = {"packed": [], "dense": [], "transformers": []}
                for _ in range(args.rounds):
                    for weights in ("packed", "dense"):
                        runs[weights].append(run_json(
                            PROGRAM, "generate", "--model", scratch / size, "--prompt-ids", prompt,
                            "--max-tokens", args.tokens, "--temperature", 0, "--dtype", dtype, "--weights", weights,
                            "--json"))
                    runs["transformers"].append(run_json(
                        sys.executable, ROOT / "bench/peers/hugging_face.py", "generate", scratch / size, prompt,
                        "--tokens", args.tokens, "--dtype", dtype))
                rate = {kind: max(r["tokens_per_second"] for r in of_kind) for kind, of_kind in runs.items()}
                memory = {kind: runs[kind][0]["weight_bytes"] for kind in ("packed", "dense")}
                same = {kind: runs[kind][0]["ids"] == runs["packed"][0]["ids"] for kind in ("dense", "transformers")}
                results.append({"model": size, "dtype": dtype, "tokens_per_second": rate, "weight_bytes": memory,
                                "same_ids_as_packed": same})
                print(f"{size} {dtype}: packed {rate['packed']:.1f} tokens/s, {rate['packed'] / rate['dense']:.2f}x "
                      f"dense, {rate['packed'] / rate['transformers']:.2f}x transformers; weights "
                      f"{memory['packed'] / memory['dense']:.2f}x; same ids: {same}", flush=True)
    write_results(args.out, results)


if __name__ == "__main__":
    main()
