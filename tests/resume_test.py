"""A run interrupted anywhere and resumed equals one that never stopped, bit for bit."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM

# The first 6 and the last 5 of 16 steps are dense; masks are searched and checkpoints written after every 5. The steps
# of CUTS lie just before, at and after both.
MIDDLE = ["--dense-start", 6, "--dense-end", 5]
METHODS = {
    "dense": ["--watch-masks", "magnitude", "--mask-interval", 5],
    "half": ["--watch-masks", "transposable", "--mask-interval", 5],
    "ste": [*MIDDLE, "--mask-interval", 5],
    "sr-ste": [*MIDDLE, "--mask-interval", 5, "--decay", 0.1, "--decay-on", "weight"],
    "step": ["--switch-latest", 0.375, "--dense-end", 5, "--mask-interval", 5],
    "fst": [*MIDDLE, "--mask-interval", 5, "--decay", 0.1],
    "s-ste": MIDDLE,
}
SHORT = ["--steps", 16, "--checkpoint-every", 5, "--log-every", 1, "--validate-every", 0]
CUTS = [4, 5, 6, 7, 10, 11, 12]
SCALED = ["--dtype", "float16", "--loss-scale", 2**24, "--loss-scale-growth", 2]


def command(corpus, small, run, method, *more):
    return [PROGRAM, *map(str, ["train", "--data", corpus / "data", "--out", run, *small, "--method",
                                method, "--accumulate", 2, *more])]


def run_to(corpus, small, run, method, *more):
    subprocess.run(command(corpus, small, run, method, *more), check=True, capture_output=True)


def files_of(run, step):
    """The content of the last checkpoint and of the model."""
    folders = [run / "checkpoints" / f"step-{step:07}", run / "model"]
    return {path.relative_to(run): path.read_bytes() for folder in folders for path in folder.iterdir()}


def records_of(run):
    """The log of each step without times; every step appears once."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [{key: value for key, value in line.items() if key not in ("time", "tokens_per_second", "seconds")}
             for line in lines if line["event"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    return steps


def has_checkpoint(run):
    return any((folder / "state.json").exists() for folder in run.glob("checkpoints/step-*"))


def check_cuts(corpus, small, folder, method, *more):
    whole, cut = folder / "whole", folder / "cut"
    run_to(corpus, small, whole, method, *SHORT, *more)
    for stop in [*CUTS, 0]:
        resume = ["--resume"] if has_checkpoint(cut) else []
        run_to(corpus, small, cut, method, *SHORT, *more, "--stop-after", stop, *resume)
    assert records_of(cut) == records_of(whole)
    assert files_of(cut, 16) == files_of(whole, 16)
    return records_of(whole)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", METHODS)
def test_cut_around_every_switch_and_search_equals_never_stopped(corpus, small, tmp_path, method, dtype,
                                                                 threads):
    steps = check_cuts(corpus, small, tmp_path, method, *METHODS[method], "--dtype", dtype, "--threads",
                       threads)
    assert any(step["flip_rate"] > 0 for step in steps)
    phases = [step.get("phase") for step in steps]
    dense = [None] * 16 if method in ("dense", "half") else ["dense"] * 6 + ["sparse"] * 5 + ["dense"] * 5
    assert phases == dense


def test_cut_equals_never_stopped_where_steps_are_skipped(corpus, small, tmp_path):
    steps = check_cuts(corpus, small, tmp_path, "fst", *METHODS["fst"], *SCALED, "--threads", 1)
    scales = [step["loss_scale"] for step in steps]
    assert any(after < before for before, after in zip(scales, scales[1:])), scales
    assert any(after > before for before, after in zip(scales, scales[1:])), scales


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cut_equals_never_stopped_with_fp8(corpus, small, tmp_path, dtype):
    check_cuts(corpus, small, tmp_path, "s-ste", *METHODS["s-ste"], "--precision", "fp8", "--dtype", dtype,
               "--threads", 2)


LONG = ["--steps", 500, "--checkpoint-every", 11, "--threads", 2]


@pytest.mark.parametrize("method, more", [("s-ste", ["--dtype", "float32"]),
                                          ("fst", ["--dtype", "bfloat16", "--dense-start", 0.1]),
                                          ("step", ["--dtype", "float32", "--mask-interval", 7])])
def test_killed_at_random_moments_equals_never_stopped(corpus, small, tmp_path, method, more):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_to(corpus, small, whole, method, *LONG, *more)
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    kills = 0
    for _ in range(60):
        resume = ["--resume"] if has_checkpoint(cut) else []
        process = subprocess.Popen(command(corpus, small, cut, method, *LONG, *more, *resume),
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
    assert files_of(cut, 500) == files_of(whole, 500)


def test_config_drift_is_refused_with_the_difference_named(twofour, corpus, small, sparse_run, tmp_path):
    def resume(*changes):
        return twofour("train", "--out", sparse_run, "--resume", *changes, fails=1).stderr

    before = {path: path.read_bytes() for path in (sparse_run / "checkpoints").rglob("*.*")}
    assert "width was 32 and is now 64" in resume("--width", 64)
    assert "method was \"s-ste\" and is now \"dense\"" in resume("--method", "dense")
    assert "batch was 4 and is now 2" in resume("--batch", 2)
    other = tmp_path / "data"
    twofour("data", corpus / "text.txt", "--tokenizer", corpus / "tokenizer", "--out", other, "--seed", 9,
            "--document-separator", r"\n\n", "--val-fraction", 0.1)
    assert "training" in resume("--data", other)
    assert before == {path: path.read_bytes() for path in (sparse_run / "checkpoints").rglob("*.*")}
    # Options that change no value may differ.
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
