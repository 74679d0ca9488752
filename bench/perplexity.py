"""Compares perplexity with a Hugging Face script (bench/peers/hugging_face.py) on the same model and tokens.

Both run in turns; the fastest run counts, without reading the model. Prints the ratio of the times, above 1
where twofour is faster, and the relative difference of the results. `sparse`: the same model magnitude pruned to
2:4, on the 2:4 kernels where those are faster. Writes JSON to --out.
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
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--out", default=str(ROOT / "build/bench/perplexity.json"))
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for size in args.sizes:
            config = random_models.SIZES[size]
            context = config.get("n_positions") or config["max_position_embeddings"]
            chance = random.Random(1)
            count = args.windows * context
            data = scratch / "ids.bin"
            data.write_bytes(struct.pack(f"<{count}H", *[chance.randrange(config["vocab_size"]) for _ in range(count)]))
            for kind in ("dense", "sparse"):
                random_models.write_model(scratch / f"{size}-{kind}", size, sparse=kind == "sparse")
            for dtype in args.dtypes:
                runs = {"peer": [], "dense": [], "sparse": []}
                for _ in range(args.rounds):
                    for kind in ("dense", "sparse"):
                        runs[kind].append(run_json(PROGRAM, "eval", "perplexity", "--model",
                                              scratch / f"{size}-{kind}", "--data", data, "--dtype", dtype, "--batch",
                                              args.batch, "--json"))
                    runs["peer"].append(run_json(sys.executable, ROOT / "bench/peers/hugging_face.py", "perplexity",
                                            scratch / f"{size}-dense", data, "--context", context, "--dtype", dtype,
                                            "--batch", args.batch))
                best = {kind: min(r["seconds"] for r in of_kind) for kind, of_kind in runs.items()}
                difference = abs(runs["dense"][0]["nll"] / runs["peer"][0]["nll"] - 1)
                results.append({"model": size, "dtype": dtype, "context": context, "batch": args.batch,
                                "seconds": best, "relative_difference": difference,
                                "ratio": best["peer"] / best["dense"], "ratio_sparse": best["peer"] / best["sparse"]})
                print(f"{size} {dtype}: dense {best['peer'] / best['dense']:.2f}x, 2:4 sparse "
                      f"{best['peer'] / best['sparse']:.2f}x transformers ({count / best['dense']:.0f} tokens/s, nll "
                      f"differs by {difference:.1e})", flush=True)
    write_results(args.out, results)


if __name__ == "__main__":
    main()
