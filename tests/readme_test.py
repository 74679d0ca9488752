"""Every command of README.md's ```sh blocks runs, in order, in an empty folder beside the program."""

import os
import pathlib
import re
import subprocess

from conftest import PROGRAM, ROOT


def commands():
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_every_command_runs(tmp_path):
    (tmp_path / "build").mkdir()
    os.symlink(pathlib.Path(PROGRAM).resolve(), tmp_path / "build" / "twofour")
    lines = commands()
    assert len(lines) >= 10
    for line in lines:
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (line, done.stderr)
    assert (tmp_path / "text.txt").read_bytes() == (tmp_path / "back.txt").read_bytes()


def test_every_command_of_the_program_is_in_the_readme():
    listed = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^  ([\w-]+)  ", listed.split("Commands")[1].split("Options")[0], re.M)
    assert len(names) >= 7
    for name in names:
        assert re.search(rf"^\| `{name}\b", (ROOT / "README.md").read_text(), re.M), name
