"""Runs all benchmarks; the files beside this one describe them."""

import pathlib
import subprocess
import sys

for name in ("tokenizer.py", "step.py", "dtypes.py", "two_processes.py", "perplexity.py", "generate.py", "decode.py",
             "large_model.py", "kernels.py", "prune.py", "learn.py"):
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, pathlib.Path(__file__).parent / name], check=False)
