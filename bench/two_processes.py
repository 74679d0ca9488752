"""Compares two training runs at once on one machine with one alone, for each way that threads wait for work.

The model is the demo's. Each way is measured in turns, several times: one run alone, then two that start together. A
rate is the median over the steps that both make; the best round counts. Prints the two runs' joint tokens a second
relative to one alone. Writes JSON to --out.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import tempfile

from processes import PROGRAM, ROOT, write_results

MODEL = ["--layers", 4, "--heads", 4, "--width", 256, "--batch", 6, "--context", 256, "--vocabulary", 4096]
WAYS = {
    "twofour": {},
    "libgomp": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}


def start(data, run, environment, args):
    command = [PROGRAM, "train", "--data", data, "--out", run, *MODEL, "--method", args.method, "--steps", args.steps,
               "--log-every", 1, "--json"]
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    return subprocess.Popen(list(map(str, command)), env={**clean, "TWOFOUR_TUNE": "off", **environment},
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rates(data, scratch, environment, processes, args):
    """Tokens a second of each of several runs at once."""
    runs = [pathlib.Path(tempfile.mkdtemp(dir=scratch)) for _ in range(processes)]
    started = [start(data, run, environment, args) for run in runs]
    for process in started:
        if process.wait():
            sys.exit("bench: a run failed")
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in runs]
    return [statistics.median([entry["tokens_per_second"] for entry in log if entry["event"] == "step"][2:])
            for log in logs]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="s-ste")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spins", nargs="*", default=[], help="other values of GOMP_SPINCOUNT to measure")
    parser.add_argument("--out", default=str(ROOT / "build/bench/two_processes.json"))
    args = parser.parse_args()
    ways = {**WAYS, **{f"spins {count}": {"GOMP_SPINCOUNT": count} for count in args.spins}}
    seen = {way: {"alone": [], "together": []} for way in ways}
    with tempfile.TemporaryDirectory() as scratch:
        data = pathlib.Path(scratch, "data")
        data.mkdir()
        chance = random.Random(1)
        (data / "train.bin").write_bytes(struct.pack("<200000H", *[chance.randrange(4096) for _ in range(200_000)]))
        for _ in range(args.rounds):
            for way, environment in ways.items():
                seen[way]["alone"] += rates(data, scratch, environment, 1, args)
                seen[way]["together"].append(sum(rates(data, scratch, environment, 2, args)))
    results = {way: {"alone": max(rate["alone"]), "together": max(rate["together"]),
                     "ratio": max(rate["together"]) / max(rate["alone"])} for way, rate in seen.items()}
    for way, result in results.items():
        print(f"{way:14} alone {result['alone']:.0f} tokens/s, two together {result['together']:.0f}: "
              f"{result['ratio']:.2f} of one alone")
    write_results(args.out, {"method": args.method, "results": results})


if __name__ == "__main__":
    main()
