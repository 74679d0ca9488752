"""Compares the pre-training methods: every method, several seeds, one small GPT-2 on real text.

Trains them (finished runs are reused, interrupted ones resumed), then writes the tables of docs/results/pretraining.md
between its two marks and the curves beside it as SVG. `make results-pretraining` runs it. --print prints the paired
differences and leaves the page alone, for variants such as
`--methods ste step step-all ste-999 --threads 1 --print`.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys

from page import machine, write_page

ROOT = pathlib.Path(__file__).resolve().parent.parent
TWOFOUR = os.environ.get("TWOFOUR", ROOT / "build/twofour")
METHODS = {
    "dense": ["--watch-masks", "magnitude"],
    "half": [],
    "ste": [],
    "sr-ste": ["--decay", "2e-3"],
    "step": [],
    "fst": ["--decay", "6e-3", "--mask-interval", "10"],
    "s-ste": [],
}
VARIANTS = {  # the method and what differs from its row
    "step-all": ("step", ["--freeze", "all"]),
    "step-adapt": ("step", ["--second-moment", "adapt"]),
    "step-95": ("step", ["--beta2", "0.95"]),
    "step-95-all": ("step", ["--beta2", "0.95", "--freeze", "all"]),
    "ste-999": ("ste", ["--beta2", "0.999"]),
}
SIZE = ["--layers", 4, "--heads", 4, "--width", 256, "--context", 128]
# (better, worse) according to the papers: S-STE (arXiv 2409.09099), FST (arXiv 2404.01847).
ORDERINGS = [("dense", "half"), ("s-ste", "sr-ste"), ("fst", "sr-ste"), ("sr-ste", "ste"), ("step", "ste"),
             ("s-ste", "half"), ("fst", "half"), ("dense", "fst"), ("dense", "s-ste")]
# Printed with --print, if trained.
COMPARISONS = [("step", "ste"), ("step", "ste-999"), ("step-all", "ste"), ("step-all", "ste-999"),
               ("step", "step-all"), ("step-adapt", "step"), ("step-95", "ste"), ("step-95-all", "ste"),
               ("ste-999", "ste")]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, text=True, **options)


def prepare(texts, out, vocabulary):
    if not (out / "tokenizer/tokenizer.json").exists():
        run(TWOFOUR, "tokenizer", "train", *texts, "--vocab-size", vocabulary, "--out", out / "tokenizer")
    if not (out / "data/val.json").exists():
        run(TWOFOUR, "data", *texts, "--tokenizer", out / "tokenizer", "--out", out / "data",
            "--document-separator", "<|endoftext|>", "--val-fraction", 0.05)


def train(out, name, seed, args):
    folder = out / f"{name}-{seed}"
    method, options = VARIANTS[name] if name in VARIANTS else (name, METHODS[name])
    threads = ["--threads", args.threads] if args.threads else []
    if not (folder / "model/config.json").exists():
        resume = ["--resume"] if any(folder.glob("checkpoints/step-*/state.json")) else []
        print(f"== {name}, seed {seed}", flush=True)
        run(TWOFOUR, "train", "--data", out / "data", "--out", folder, "--method", method, *options, *SIZE,
            "--seed", seed, "--steps", args.steps, "--batch", 16, "--lr", args.lr, "--warmup", args.steps // 10,
            "--dtype", "bfloat16", "--validate-every", args.steps // 20, "--validation-windows", 256,
            "--checkpoint-every", 500, "--keep", 1, "--log-every", 20, *threads, *resume, stdout=subprocess.DEVNULL)
    return folder


def report(folders, *options):
    return run(TWOFOUR, "report", *folders, *options, capture_output=True).stdout


def losses(folders):
    return [entry["validation_loss"] for entry in json.loads(report(folders, "--json"))["runs"]]


def orderings(pairs, by_method):
    """The paired differences: runs of one seed share initial weights and data."""
    lines = ["| expected | difference of the validation loss | |", "|---|--:|---|"]
    for better, worse in pairs:
        if better not in by_method or worse not in by_method:
            continue
        gaps = [w - b for b, w in zip(by_method[better], by_method[worse])]
        mean = sum(gaps) / len(gaps)
        error = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / max(1, len(gaps) - 1) / len(gaps))
        verdict = "holds" if mean > 2 * error else "does not hold" if mean < -2 * error else "not decided"
        lines.append(f"| {better} better than {worse} | {mean:+.4f} ± {error:.4f} | {verdict} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stories = ROOT.parent / "shared/data/tinystories"
    parser.add_argument("--text", nargs="*", type=pathlib.Path,
                        default=[stories / "train_2MiB.txt", stories / "val.txt"],
                        help="text files, documents parted by <|endoftext|> (default: ../shared's TinyStories)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/results/pretraining")
    parser.add_argument("--page", type=pathlib.Path, default=ROOT / "docs/results/pretraining.md")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=[*METHODS, *VARIANTS])
    parser.add_argument("--threads", type=int, help="of each run (default: all cores)")
    parser.add_argument("--print", action="store_true", dest="prints",
                        help="print the table and the differences, variants' too, and leave the page alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--vocabulary", type=int, default=2048)
    args = parser.parse_args()
    missing = [str(text) for text in args.text if not text.is_file()]
    if missing:
        sys.exit(f"no text to train on at {', '.join(missing)}: give --text FILES")
    args.out.mkdir(parents=True, exist_ok=True)
    prepare(args.text, args.out, args.vocabulary)
    folders = {method: [] for method in args.methods}
    for seed in range(1, args.seeds + 1):
        for method in args.methods:
            folders[method].append(train(args.out, method, seed, args))
    everything = [folder for group in folders.values() for folder in group]
    by_method = {method: losses(group) for method, group in folders.items()}
    if args.prints:
        print(f"{machine(TWOFOUR)}\n\n{report(everything, '--average-seeds', '--markdown')}")
        print(orderings([*ORDERINGS, *COMPARISONS], by_method))
        return
    sparse = [folder for method, group in folders.items() if method != "half" for folder in group]
    for curve, chosen in [("validation", everything), ("flip_rate", sparse)]:
        chart = args.page.parent / f"{args.page.stem}-{curve.replace('_', '-')}.svg"
        report(chosen, "--average-seeds", "--chart", curve, "--out", chart)
    tables = report(everything, "--average-seeds", "--markdown")
    write_page(args.page, f"\nMeasured on: {machine(TWOFOUR)}.\n\n{tables}\n{orderings(ORDERINGS, by_method)}\n",
               "bench/pretraining.py")
    print(f"written: {args.page}")


if __name__ == "__main__":
    main()
