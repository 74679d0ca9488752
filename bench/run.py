"""Every benchmark after the other; see the files beside this one for their questions."""

import pathlib
import subprocess
import sys

for name in ("tokenizer.py", "step.py", "two_processes.py", "perplexity.py", "generate.py", "large_model.py", "kernels.py"):
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, pathlib.Path(__file__).parent / name], check=False)
