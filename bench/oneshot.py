"""Compares one-shot pruning: methods and options, three patterns, several draws of calibration samples.

Prunes the models of ../shared/data/models and a GPT-2 of about 10 million parameters that it trains on TinyStories,
measures perplexity, time and memory of every run, then writes the tables of docs/results/oneshot.md between its two
marks and the error of each layer beside it as SVG. Finished runs are reused. `make results-oneshot` runs it. --print
prints the tables and leaves the page alone.
"""

import argparse
import json
import math
import pathlib
import shutil
import statistics

from page import machine, orderings, with_deviation, write_page
from processes import PROGRAM, ROOT, run_and_measure
from small_models import CONTEXT, add_model_options, models_of

PATTERNS = {"2:4": ["--pattern", "2:4"], "4:8": ["--pattern", "4:8"], "50 %": ["--sparsity", 0.5]}
SPARSEGPT = ["--method", "sparsegpt", "--update-weights"]  # without ADMM, which is the default
ADDITIONS = {"swaps": ["--swaps"], "ADMM": ["--reweight", "admm"], "reconstruct": ["--reconstruct", 5],
             "permute": ["--permute"]}
METHODS = {
    "magnitude": ["--method", "magnitude"],
    "Wanda": ["--method", "wanda"],
    "RIA": ["--method", "ria"],
    "SparseGPT, masks only": ["--method", "sparsegpt", "--no-update-weights"],
    "SparseGPT": SPARSEGPT,
    **{f"SparseGPT + {name}": [*SPARSEGPT, *options] for name, options in ADDITIONS.items()},
    "all together": [*SPARSEGPT, *(part for options in ADDITIONS.values() for part in options)],
}
# Swaps and permutation need groups.
STRUCTURED_ONLY = ("SparseGPT + swaps", "SparseGPT + permute")
UNSTRUCTURED_ALL = [*SPARSEGPT, *ADDITIONS["ADMM"], *ADDITIONS["reconstruct"]]
# (better, worse) according to the papers: arXiv 2301.00774, 2306.11695, 2512.10922, 2401.02938, 2510.14444, RIA.
ORDERINGS = [("Wanda", "magnitude"), ("RIA", "Wanda"), ("SparseGPT", "Wanda"), ("SparseGPT", "SparseGPT, masks only"),
             *((f"SparseGPT + {name}", "SparseGPT") for name in ADDITIONS), ("all together", "SparseGPT")]
CHARTED = ("magnitude", "Wanda", "SparseGPT, masks only", "SparseGPT", "SparseGPT + reconstruct", "all together")
COLOURS = ("#888888", "#d62728", "#ff7f0e", "#1f77b4", "#2ca02c", "#9467bd")


def file_name(text):
    return text.replace(" ", "_").replace(":", "-").replace("%", "percent").replace(",", "")


def options_of(method, pattern):
    """None for a method that needs groups, without groups."""
    if pattern == "50 %":
        if method in STRUCTURED_ONLY:
            return None
        if method == "all together":
            return [*UNSTRUCTURED_ALL, *PATTERNS[pattern]]
    return [*METHODS[method], *PATTERNS[pattern]]


class Experiment:
    """A model and its runs."""

    def __init__(self, model, args):
        self.model, self.args, self.folder = model, args, args.out / model.name
        self.folder.mkdir(parents=True, exist_ok=True)

    def prune(self, method, pattern, seed):
        """{"perplexity", "seconds", "peak_bytes", "layers"}"""
        kept = self.folder / f"{file_name(method)}-{file_name(pattern)}-{seed}.json"
        if not kept.exists():
            print(f"== {self.model.name}, {pattern}, {method}, seed {seed}", flush=True)
            pruned = self.folder / "pruned"
            for leftover in (pruned, pruned.with_name("pruned.unfinished")):
                shutil.rmtree(leftover, ignore_errors=True)
            output, peak, seconds = run_and_measure(
                PROGRAM, "prune", "--model", self.model.model, "--out", pruned, "--calibration",
                self.model.data / "train.bin", "--samples", self.args.samples, "--context", CONTEXT, "--seed", seed,
                "--dtype", "float32", "--json", *options_of(method, pattern))
            kept.write_text(json.dumps({"perplexity": self.model.perplexity(pruned), "seconds": seconds,
                                        "peak_bytes": peak, "layers": json.loads(output)["layers"]}))
            shutil.rmtree(pruned)
        return json.loads(kept.read_text())


def table(dense, runs, parameters):
    lines = ["| | " + " | ".join(PATTERNS) + " | seconds | peak memory |", "|---|" + "--:|" * (len(PATTERNS) + 2),
             f"| dense | {' | '.join([f'{dense:.3f}'] * len(PATTERNS))} | | |"]
    for method in METHODS:
        cells = [with_deviation([each["perplexity"] for each in runs[method, pattern]])
                 if runs.get((method, pattern)) else "–" for pattern in PATTERNS]
        first = runs[method, "2:4"]
        lines.append(f"| {method} | {' | '.join(cells)} | {statistics.mean(each['seconds'] for each in first):.1f} | "
                     f"{max(each['peak_bytes'] for each in first) / 1e6:.0f} MB |")
    return f"{parameters:,} parameters\n\n".replace(",", " ") + "\n".join(lines) + "\n"


def chart(title, curves):
    """The relative error of each layer on a logarithmic scale, as SVG. curves: name -> errors."""
    width, height, left, right, top, bottom = 760, 340, 56, 190, 34, 40
    layers = max(map(len, curves.values()))
    logs = [math.log10(max(error, 1e-6)) for errors in curves.values() for error in errors]
    low, high = math.floor(min(logs)), math.ceil(max(logs))

    def place(layer, error):
        x = left + layer / max(1, layers - 1) * (width - left - right)
        y = top + (high - math.log10(max(error, 1e-6))) / max(1, high - low) * (height - top - bottom)
        return x, y

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
             f'font-size="12">', f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<text x="{left}" y="18" font-size="14">{title}</text>']
    for power in range(low, high + 1):
        y = place(0, 10.0**power)[1]
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#dddddd"/>'
                     f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    parts.append(f'<text x="{left}" y="{height - 12}">layers in the model\'s order</text>')
    for number, (name, errors) in enumerate(curves.items()):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(i, error) for i, error in enumerate(errors)))
        y = top + 8 + 18 * number
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[number]}" stroke-width="1.5"/>'
                     f'<line x1="{width - right + 12}" y1="{y}" x2="{width - right + 32}" y2="{y}" '
                     f'stroke="{COLOURS[number]}" stroke-width="3"/>'
                     f'<text x="{width - right + 38}" y="{y + 4}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def errors_by_layer(runs):
    """Of the first seed, 2:4. Magnitude pruned without samples would have none."""
    return {method: [layer["error"] for layer in runs[method, "2:4"][0]["layers"]] for method in CHARTED
            if all(layer.get("error") is not None for layer in runs[method, "2:4"][0]["layers"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/results/oneshot")
    parser.add_argument("--page", type=pathlib.Path, default=ROOT / "docs/results/oneshot.md")
    parser.add_argument("--samples", type=int, default=64, help="of 256 tokens")
    args = parser.parse_args()
    by_model, tables = {}, []
    for model in models_of(args):
        name, experiment = model.name, Experiment(model, args)
        runs = {(method, pattern): [experiment.prune(method, pattern, seed) for seed in range(1, args.seeds + 1)]
                for pattern in PATTERNS for method in METHODS if options_of(method, pattern)}
        by_model[name] = {method: [each["perplexity"] for each in results]
                          for (method, pattern), results in runs.items() if pattern == "2:4"}
        tables.append(f"### {name}\n\n{table(model.dense(), runs, model.parameters())}\n")
        if not args.prints:
            svg = args.page.parent / f"oneshot-{name.lower()}.svg"
            svg.write_text(chart(f"{name}, 2:4: relative error of each layer", errors_by_layer(runs)))
            tables.append(f"![Relative error of each layer of {name}]({svg.name})\n\n")
    orders = orderings("expected, 2:4", ORDERINGS, by_model)
    generated = f"\nMeasured on: {machine(PROGRAM)}.\n\n{''.join(tables)}### Expected orders\n\n{orders}\n"
    if args.prints:
        print(generated)
    else:
        write_page(args.page, generated, "bench/oneshot.py")
        print(f"written: {args.page}")


if __name__ == "__main__":
    main()
