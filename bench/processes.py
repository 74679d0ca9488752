"""Shared by the benchmarks: runs programs as processes and writes results."""

import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build/twofour"


def run_and_measure(*command):
    """Runs a process; returns its standard output, peak memory in bytes and seconds."""
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"bench: {' '.join(map(str, command))} failed")
    return output, usage.ru_maxrss * 1024, time.perf_counter() - start


def run_json(*command):
    """Runs a process that prints one JSON object."""
    return json.loads(run_and_measure(*command)[0])


def write_results(path, results):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
