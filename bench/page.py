"""Shared by the scripts that write a page of docs/results."""

import json
import pathlib
import platform
import re
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
