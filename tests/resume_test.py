"""A run cut anywhere and resumed is the run that never stopped, bit for bit."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM

METHODS = ["dense", "s-ste", "half"]


def command(corpus, small, run, method, *more):
    return [PROGRAM, *map(str, ["train", "--data", corpus / "data", "--out", run, *small, "--method",
                                method, "--steps", 500, "--checkpoint-every", 11, "--accumulate", 2,
                                "--threads", 2, *more])]


def files_of(run):
    folder = run / "checkpoints" / "step-0000500"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def has_checkpoint(run):
    return any((folder / "state.json").exists() for folder in run.glob("checkpoints/step-*"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_killed_at_random_moments_equals_never_stopped(corpus, small, tmp_path, method, dtype):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(command(corpus, small, whole, method, "--dtype", dtype), check=True,
                   capture_output=True)
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    kills = 0
    for _ in range(60):
        resume = ["--resume"] if has_checkpoint(cut) else []
        process = subprocess.Popen(command(corpus, small, cut, method, "--dtype", dtype, *resume),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=chance.uniform(0.1, 0.8) if kills < 6 else 100)
            assert process.returncode == 0, errors
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
    assert kills > 0
    assert files_of(cut) == files_of(whole)
    assert (cut / "model" / "model.safetensors").read_bytes() == (
        whole / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_checkpoint(corpus, small, tmp_path, number):
    run = tmp_path / "run"
    process = subprocess.Popen(command(corpus, small, run, "s-ste", "--steps", 100000),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()  # the first metrics: training has begun
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "go on with --resume" in errors
    steps = [int(path.name.removeprefix("step-")) for path in (run / "checkpoints").iterdir()]
    assert len(steps) <= 2 and f"after step {max(steps)} of" in errors


def test_config_drift_is_refused_with_the_difference_named(twofour, corpus, small, sparse_run, tmp_path):
    def resume(*changes):
        return twofour("train", "--out", sparse_run, "--resume", *changes, fails=1).stderr

    before = {path: path.read_bytes() for path in (sparse_run / "checkpoints").rglob("*.*")}
    assert "width was 32 and is now 64" in resume("--width", 64)
    assert "method was \"s-ste\" and is now \"dense\"" in resume("--method", "dense")
    assert "seed was 1 and is now 2" in resume("--seed", 2)
    other = tmp_path / "data"
    twofour("data", corpus / "text.txt", "--tokenizer", corpus / "tokenizer", "--out", other, "--seed", 9,
            "--document-separator", r"\n\n", "--val-fraction", 0.1)
    assert "training" in resume("--data", other)
    assert before == {path: path.read_bytes() for path in (sparse_run / "checkpoints").rglob("*.*")}
    # What changes no value may differ.
    twofour("train", "--out", sparse_run, "--resume", "--log-every", 3, "--keep", 5)


def test_damaged_checkpoint_is_refused_by_name(twofour, corpus, small, tmp_path):
    run = tmp_path / "run"
    twofour("train", "--data", corpus / "data", "--out", run, *small, "--steps", 4, "--method", "s-ste")
    file = run / "checkpoints" / "step-0000004" / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    error = twofour("train", "--out", run, "--resume", fails=1).stderr
    assert "optimizer.safetensors\" is damaged" in error


def test_retention_keeps_the_newest(twofour, corpus, small, tmp_path):
    run = tmp_path / "run"
    twofour("train", "--data", corpus / "data", "--out", run, *small, "--steps", 10, "--checkpoint-every",
            2, "--keep", 3)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "step-0000006", "step-0000008", "step-0000010"]


def test_recomputation_changes_memory_not_values(twofour, corpus, small, tmp_path):
    for name, more in [("a", []), ("b", ["--recompute"])]:
        twofour("train", "--data", corpus / "data", "--out", tmp_path / name, *small, "--steps", 6,
                "--method", "s-ste", *more)
    read = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in "ab"]
    assert read[0] == read[1]


def test_print_config_starts_the_same_run(twofour, corpus, small, tmp_path):
    options = ["--data", corpus / "data", *small, "--steps", 4, "--method", "s-ste"]
    config = tmp_path / "c.toml"
    config.write_text(twofour("train", *options, "--out", "x", "--print-config").stdout)
    twofour("train", *options, "--out", tmp_path / "a")
    twofour("train", "--config", config, "--out", tmp_path / "b")
    read = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in "ab"]
    assert read[0] == read[1]
    summary = json.loads(twofour("train", "--config", config, "--out", tmp_path / "c", "--json").stdout)
    assert summary["steps"] == 4 and summary["zeros"] >= 0.5
