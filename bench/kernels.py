"""The 2:4 kernels of `twofour bench` over the shapes of published models, as ratios.

Measures products of a layer against the fastest dense library of the same run, feed-forward blocks with all costs of
2:4, decoding, and masks and estimates against memory speed. Prints tables and writes JSON to --out after every row, so
an interruption keeps the rows before it. --quick runs every command once on small sizes, as a check and not a
measurement.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ["models", "blocks", "decode", "mask", "mvue", "sweep"]
PROGRAM = os.environ.get("TWOFOUR", str(ROOT / "build/twofour"))
MODELS = ["gpt2-124m", "gpt2-350m", "gpt2-774m", "gpt2-1558m", "llama2-7b"]
# Tokens and widths of the sweep over the choice, besides the models' own layers.
SWEEP_TOKENS = [1, 2, 4, 8, 16, 32, 64, 128, 512, 1024, 4096]
SWEEP_SIZES = [(64, 64), (64, 11008), (256, 1024), (768, 768), (768, 3072), (3072, 768), (4096, 4096),
               (11008, 64), (11008, 4096)]


def run(command, *options):
    done = subprocess.run([PROGRAM, "bench", command, "--json", *map(str, options)],
                          stdout=subprocess.PIPE, text=True,
                          env={"TWOFOUR_LOG": "warn", **os.environ}, check=False)
    if done.returncode:
        sys.exit(f"bench: twofour bench {command} {' '.join(map(str, options))} failed")
    return json.loads(done.stdout)


def ratio(value):
    return "     -" if value is None else f"{value:5.2f}x"


def forward_over_aten(result):
    """The chosen forward product against the dense one that choose() compares with."""
    forward = result["products"]["forward"]
    return forward["dense"]["aten"] / forward["chosen_ms"]


class Report:
    """The JSON file, complete after every row."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.results = {}

    def keep(self, part, value):
        self.results[part] = value
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.results, indent=2) + "\n")
        temporary.replace(self.path)

    def keep_rows(self, part, rows):
        kept = []
        self.keep(part, kept)
        for row in rows:
            kept.append(row)
            self.keep(part, kept)


def linear(args, shapes):
    """Rows of products; each shape is (label, options)."""
    print(f"{'':34} {'forward':>8} {'dx rows':>8} {'dx both':>8} {'dW':>8}  chosen forward, fastest dense")
    for dtype in args.dtypes:
        for label, options in shapes:
            result = run("linear", *options, "--dtype", dtype, "--rounds", args.rounds, *args.common)
            products = result["products"]
            cells = [ratio(products[name]["ratio"]) if name in products else "     -"
                     for name in ("forward", "input_gradient_rows", "input_gradient_both_sides",
                                  "weight_gradient")]
            forward = products["forward"]
            print(f"{dtype + ' ' + label:34} " + " ".join(f"{cell:>8}" for cell in cells) +
                  f"  {forward['choice']['run']} {ratio(forward['chosen_ratio'])}, "
                  f"{forward['fastest_dense']}", flush=True)
            yield {"label": label, **result}


def model_shapes(args):
    return [(f"{model} {layer} {tokens}", ("--model", model, "--layer", layer, "--tokens", tokens))
            for model in args.models for layer in ("up", "down") for tokens in args.tokens]


def sweep_shapes(args):
    return [(f"{tokens} x {width} -> {out}", ("--tokens", tokens, "--in", width, "--out", out))
            for width, out in args.sizes for tokens in args.sweep_tokens]


def least_of_sweep(results):
    """The worst result of the choice, by its kind. Where it chose a dense library, values below 1 are the spread of two
    measurements of one product. The estimate of the weight gradient is separate: where its 2:4 kernels do not pay,
    drawing it still adds to the dense product."""
    rows = [(name, product, result) for result in results for name, product in result["products"].items()]

    def chosen(condition):
        return [(product["chosen_ratio"], name, result) for name, product, result in rows
                if condition(name == "weight_gradient", product["choice"]["run"] in ("dense", "onednn"))]

    parts = {"where 2:4 is chosen": chosen(lambda is_estimate, is_dense: not is_estimate and not is_dense),
             "where dense is chosen": chosen(lambda is_estimate, is_dense: not is_estimate and is_dense),
             "weight gradient": chosen(lambda is_estimate, is_dense: is_estimate),
             "forward over ATen": [(forward_over_aten(result), "forward", result) for result in results]}
    least = {}
    for part, some in parts.items():
        if not some:
            continue
        value, name, result = min(some, key=lambda row: row[0])
        below = sum(row[0] < 0.98 for row in some)
        least[part] = {"products": len(some), "below_0.98": below, "least": value,
                       "median": statistics.median(row[0] for row in some),
                       "shape": f"{name}, {result['dtype']}, {result['label']}"}
        print(f"{part}: {len(some)} products, {below} below 0.98x, median {least[part]['median']:.2f}x, least "
              f"{value:.2f}x ({least[part]['shape']})", flush=True)
    return least


def blocks(args):
    for dtype in args.dtypes:
        for model in args.models:
            for tokens in args.tokens:
                result = run("block", "--model", model, "--tokens", tokens, "--dtype", dtype, "--rounds",
                             args.rounds, *args.common)
                methods = result["methods"]
                print(f"{dtype} {model} {tokens}: s-ste {ratio(methods['s-ste']['ratio'])}, "
                      f"fst {ratio(methods['fst']['ratio'])}", flush=True)
                yield {"model": model, **result}


def decoding(args):
    for dtype in args.dtypes:
        for tokens in args.few_tokens:
            result = run("decode", *args.decode_size, "--tokens", tokens, "--dtype", dtype, "--megabytes",
                         args.megabytes, "--rounds", args.rounds, *args.common)
            print(f"{dtype} {tokens} tokens: {ratio(result['ratio'])} dense ({result['fastest_dense']}), "
                  f"{ratio(result['ratio_to_rowwise'])} row-wise, {result['share_of_read']:.2f} of a plain "
                  f"read", flush=True)
            yield result


def memory(args, command):
    for dtype in args.dtypes:
        result = run(command, "--dtype", dtype, "--megabytes", args.megabytes, "--rounds", args.rounds,
                     *args.common)
        shares = ", ".join(f"{name} {row['share']:.2f}" for name, row in result["kernels"].items())
        print(f"{dtype}, share of a copy: {shares}", flush=True)
        if "transposable_search" in result:
            print(f"  transposable search: {result['transposable_search']['ratio']:.1f}x a convolution")
        yield result


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtypes", nargs="*", default=["bfloat16", "float32"])
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--tokens", nargs="*", type=int, default=[1024, 2048, 4096])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--out", default=str(ROOT / "build/bench/kernels.json"))
    args = parser.parse_args()
    args.common = ["--threads", args.threads] if args.threads else []
    args.sweep_tokens, args.sizes, args.few_tokens = SWEEP_TOKENS, SWEEP_SIZES, [1, 4, 16, 64]
    args.decode_size = ["--model", "llama2-7b"]
    if args.quick:
        args.dtypes, args.models, args.tokens, args.rounds, args.megabytes = ["float32"], [], [], 1, 1
        args.sweep_tokens, args.sizes, args.few_tokens = [1, 68], [(64, 32)], [1]
        args.decode_size = ["--in", 64, "--out", 64]
    return args


def main():
    args = parse()
    report = Report(args.out)
    machine = run("linear", "--tokens", 1, "--in", 4, "--out", 4, "--rounds", 1, *args.common)
    report.keep("machine", {key: machine[key] for key in ("cpu", "threads", "instruction_set")})
    print("{cpu}, {threads} threads, {instruction_set}".format(**report.results["machine"]), flush=True)
    parts = {
        "models": ("layers of published models: dense time / 2:4 time", lambda: linear(args, model_shapes(args))),
        "blocks": ("blocks, forward and backward", lambda: blocks(args)),
        "decode": ("decoding", lambda: decoding(args)),
        "mask": ("masks", lambda: memory(args, "mask")),
        "mvue": ("estimates of gradients", lambda: memory(args, "mvue")),
        "sweep": ("the choice over tokens and widths", lambda: linear(args, sweep_shapes(args))),
    }
    for part in args.parts:
        title, rows = parts[part]
        print(f"-- {title}", flush=True)
        report.keep_rows(part, rows())
    products = report.results.get("models", []) + report.results.get("sweep", [])
    if products:
        report.keep("least", least_of_sweep(products))


if __name__ == "__main__":
    main()
