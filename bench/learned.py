"""Learned masks against one-shot pruning on small models, several seeds, and masks for another domain.

Uses the models of small_models.py. Measures held-out perplexity of every run, then writes the tables of
docs/results/learned-masks.md between its two marks. Finished runs are reused. `make results-learned` runs it. --print
prints the tables and leaves the page alone.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess

from oneshot import Experiment
from page import machine, orderings, with_deviation, write_page
from processes import PROGRAM, ROOT, run_and_measure
from small_models import CONTEXT, SHARED, add_model_options, models_of, run

SHAKESPEARE = SHARED / "shakespeare/input.txt"
PRUNED = ("magnitude", "Wanda", "SparseGPT, masks only", "SparseGPT", "all together")
BEST_PRIOR = "sparsegpt"
LEARNED = {
    **{f"learned, prior {prior}": ["--prior", prior] for prior in ("magnitude", "wanda", "sparsegpt")},
    "learned, no prior": ["--prior", "none"],
    "learned, hard": ["--prior", BEST_PRIOR, "--hard"],
    "learned, distilled": ["--prior", BEST_PRIOR, "--distill", "self"],
}
TOP = f"learned, prior {BEST_PRIOR}"
# (better, worse) according to the paper.
ORDERINGS = [(TOP, "SparseGPT, masks only"), (TOP, "SparseGPT"), (TOP, "all together"),
             ("learned, no prior", "SparseGPT, masks only"), (TOP, "learned, no prior"), (TOP, "learned, hard"),
             ("learned, distilled", TOP)]
# Fewer steps than the published 2000, and therefore a higher rate. Name of a model -> steps.
STEPS = {"stories260K": 400, "babyllama-tok105": 300, "gpt2-10m": 150}
RATE = ["--lr", 3e-4]


class Learning:
    """The mask-learning runs of a model."""

    def __init__(self, model, args):
        self.model, self.args, self.folder = model, args, args.out / model.name
        self.folder.mkdir(parents=True, exist_ok=True)

    def learn(self, name, options, seed, data=None):
        """The run's folder, with its result in result.json."""
        folder = self.folder / f"{name.replace(' ', '_').replace(',', '')}-{seed}"
        if not (folder / "result.json").exists():
            print(f"== {self.model.name}, {name}, seed {seed}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            _, peak, seconds = run_and_measure(
                PROGRAM, "learn", "--model", self.model.model, "--data", data or self.model.data, "--out", folder,
                "--steps", STEPS[self.model.name], "--batch", 8, "--context", CONTEXT, "--dtype", self.args.dtype,
                "--seed", seed, "--validate-every", 0, "--checkpoint-every", 0, "--keep", 1, "--json", *RATE, *options)
            result = {"perplexity": self.model.perplexity(folder / "model"), "seconds": seconds, "peak_bytes": peak}
            (folder / "result.json").write_text(json.dumps(result))
        return folder

    def result(self, name, seed):
        return json.loads((self.learn(name, LEARNED[name], seed) / "result.json").read_text())


def table(model, runs):
    lines = ["| | perplexity | seconds | peak memory |", "|---|--:|--:|--:|", f"| dense | {model.dense():.3f} | | |"]
    for name, results in runs.items():
        lines.append(f"| {name} | {with_deviation([each['perplexity'] for each in results])} | "
                     f"{statistics.mean(each['seconds'] for each in results):.1f} | "
                     f"{max(each['peak_bytes'] for each in results) / 1e6:.0f} MB |")
    return "\n".join(lines) + "\n"


def masked_weights(model):
    info = json.loads(run(PROGRAM, "mask", "show", model, "--json", capture_output=True).stdout)
    return sum(layer["entries"] for layer in info["layers"])


def domain(model, args):
    """Masks for Shakespeare on a model of TinyStories: one frozen model, two files of masks."""
    data, learning = model.folder / "shakespeare", Learning(model, args)
    if not (data / "val.json").exists():
        run(PROGRAM, "data", SHAKESPEARE, "--tokenizer", model.folder / "tokenizer", "--out", data,
            "--document-separator", r"\n\n", "--val-fraction", 0.1)
    test = model.folder / "shakespeare.bin"
    test.write_bytes((data / "val.bin").read_bytes()[:2 * args.test_tokens])
    lines = ["| masks | on TinyStories | on Shakespeare | bits a weight |", "|---|--:|--:|--:|",
             f"| none (dense) | {model.dense():.2f} | {model.perplexity(model.model, test):.2f} | |"]
    for name, folder in (("learned on TinyStories", learning.learn(TOP, LEARNED[TOP], 1)),
                         ("learned on Shakespeare", learning.learn("shakespeare", LEARNED[TOP], 1, data))):
        masks = folder / "masks.t24"
        run(PROGRAM, "trim", folder, "--out", masks, "--force", stdout=subprocess.DEVNULL)
        bits = 8 * masks.stat().st_size / masked_weights(folder / "model")
        own = json.loads((folder / "result.json").read_text())["perplexity"]
        lines.append(f"| {name} | {own:.2f} | {model.perplexity(folder / 'model', test):.2f} | {bits:.3f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/results/learned")
    parser.add_argument("--one-shot", type=pathlib.Path, default=ROOT / "build/results/oneshot",
                        help="finished runs of oneshot.py, which are reused")
    parser.add_argument("--page", type=pathlib.Path, default=ROOT / "docs/results/learned-masks.md")
    parser.add_argument("--samples", type=int, default=64, help="of 256 tokens, for one-shot pruning")
    parser.add_argument("--dtype", default="auto")
    args = parser.parse_args()
    by_model, parts = {}, []
    for model in models_of(args):
        seeds = range(1, args.seeds + 1)
        pruning = Experiment(model, argparse.Namespace(out=args.one_shot, samples=args.samples))
        learning = Learning(model, args)
        runs = {name: [pruning.prune(name, "2:4", seed) for seed in seeds] for name in PRUNED}
        runs.update({name: [learning.result(name, seed) for seed in seeds] for name in LEARNED})
        by_model[model.name] = {name: [each["perplexity"] for each in results] for name, results in runs.items()}
        parts.append(f"### {model.name}\n\n{table(model, runs)}\n")
        if model.name == "gpt2-10m" and SHAKESPEARE.exists():
            parts.append(f"### Masks for another domain\n\n{domain(model, args)}\n")
    orders = orderings("expected", ORDERINGS, by_model)
    generated = f"\nMeasured on: {machine(PROGRAM)}.\n\n{''.join(parts)}### Expected orders\n\n{orders}\n"
    if args.prints:
        print(generated)
    else:
        write_page(args.page, generated, "bench/learned.py")
        print(f"written: {args.page}")


if __name__ == "__main__":
    main()
