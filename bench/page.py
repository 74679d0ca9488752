"""Shared by the scripts that write a page of docs/results."""

import json
import math
import pathlib
import platform
import re
import statistics
import subprocess
import sys


def machine(program):
    """The processor, and what `program` uses of it."""
    match = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    info = json.loads(subprocess.run([program, "info", "--json"], check=True, text=True, capture_output=True).stdout)
    return (f"{match.group(1) if match else platform.machine()}, {info['threads']} threads, "
            f"instruction set {info['kernels']}")


def write_page(page, generated, maker):
    """Replaces what stands between the two marks of the page."""
    begin, end = f"<!-- made by {maker} -->\n", "<!-- end -->\n"
    text = page.read_text()
    if begin not in text or end not in text:
        sys.exit(f"{page}: the marks {begin.strip()} and {end.strip()} are missing")
    before, rest = text.split(begin, 1)
    page.write_text(before + begin + generated + end + rest.split(end, 1)[1])


def with_deviation(values):
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def orderings(title, expected, by_model):
    """expected: (better, worse) pairs; by_model: name of a model -> {method: perplexities by seed}. The differences are
    of the loss, paired by seed, because runs of one seed share their samples."""
    lines = [f"| {title} | " + " | ".join(by_model) + " |", "|---|" + "---|" * len(by_model)]
    for better, worse in expected:
        cells = []
        for runs in by_model.values():
            gaps = [math.log(bad / good) for good, bad in zip(runs[better], runs[worse])]
            error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.inf
            mean = statistics.mean(gaps)
            verdict = "holds" if mean > 2 * error else "does not hold" if mean < -2 * error else "not decided"
            cells.append(f"{verdict}, {mean:+.4f} ± {error:.4f}")
        lines.append(f"| {better} better than {worse} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
