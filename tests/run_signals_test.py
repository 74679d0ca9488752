"""Whatever ends a run, a checkpoint keeps its progress, and a line says so."""

import json
import random
import resource
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM

LONG = ["--steps", 100000, "--log-every", 1, "--checkpoint-every", 0, "--validate-every", 0, "--threads", 1]


@pytest.fixture
def start(corpus, small, tmp_path):
    """Starts a run that would take hours; returns the process once it trains."""

    def begin(*options, **how):
        command = [PROGRAM, *map(str, ["train", "--data", corpus / "data", "--out", tmp_path / "run", *small, *LONG,
                                       *options])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)
        assert process.stdout.readline().startswith("step")
        return process

    return begin


def checkpoints(run):
    return sorted(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_answered_and_leaves_a_checkpoint(start, tmp_path, number):
    process = start()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    lines = errors.splitlines()
    assert lines[0] == "twofour: stopping after this step, with a checkpoint; once more to stop at once"
    step, = checkpoints(tmp_path / "run")
    assert lines[1] == f"twofour: stopped on request after step {step} of 100000, with a checkpoint: continue with --resume"
    assert process.returncode == 1 and len(lines) == 2


def test_the_second_signal_ends_at_once_and_says_what_is_lost(start, tmp_path):
    process = start("--batch", 64, "--accumulate", 64)  # a step takes long enough for two
    time.sleep(0.5)  # into the second step
    process.send_signal(signal.SIGINT)
    assert "stopping after this step" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert errors == "twofour: stopped at once: there is no checkpoint yet, so all steps are lost\n"
    assert not list((tmp_path / "run" / "checkpoints").glob("step-???????"))


def test_a_hangup_that_was_ignored_stays_ignored(start):
    process = start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # nohup
    process.send_signal(signal.SIGHUP)
    for _ in range(3):
        assert process.stdout.readline().startswith("step")
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert "stopped on request" in errors


def test_output_that_nobody_reads_any_more_ends_the_run_with_a_checkpoint(start, tmp_path):
    process = start()
    process.stdout.close()  # as `| head -1` does
    errors = process.stderr.read()
    assert process.wait(timeout=60) == 1
    step, = checkpoints(tmp_path / "run")
    assert errors == ("twofour: the standard output cannot be written (Broken pipe): stopped after step "
                      f"{step} of 100000, with a checkpoint: continue with --resume\n")


def test_a_limit_of_file_sizes_is_a_full_disk(twofour, corpus, small, tmp_path):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
    run = tmp_path / "run"
    error = twofour("train", "--data", corpus / "data", "--out", run, *small, "--steps", 4, fails=1,
                    preexec_fn=limit).stderr
    assert "File too large" in error
    assert list((run / "checkpoints").iterdir()) == []


def test_a_signal_at_any_moment_loses_no_step(corpus, small, tmp_path):
    """Near the end too, before the last step, its validation and the model."""
    steps, chance = 30, random.Random(20)
    whole = tmp_path / "whole"
    options = ["--data", corpus / "data", *small, "--steps", steps, "--method", "s-ste", "--validate-every", 5,
               "--checkpoint-every", 0, "--log-every", 1, "--threads", 1]
    command = [PROGRAM, *map(str, ["train", *options])]
    subprocess.run([*command, "--out", whole], check=True, capture_output=True)
    for round in range(8):
        run = tmp_path / f"cut-{round}"
        after = steps - chance.choice([0, 0, 1, 2, 20])
        process = subprocess.Popen([*command, "--out", run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith(f"step {after:>2}/{steps}  loss"):
                break
        process.terminate()
        _, errors = process.communicate(timeout=60)
        if process.returncode != 0:
            assert process.returncode == 1 and "with a checkpoint" in errors, errors
            subprocess.run([PROGRAM, "train", "--out", run, "--resume"], check=True, capture_output=True)
        for folder in (f"checkpoints/step-{steps:07}", "model"):
            for path in (whole / folder).iterdir():
                assert (run / folder / path.name).read_bytes() == path.read_bytes(), path
        events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert {line["step"] for line in events if line["event"] == "validation"} == {5, 10, 15, 20, 25, 30}
