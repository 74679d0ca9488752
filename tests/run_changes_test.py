"""The options that a resumed run may change, where it may resume, and its messages."""

import json
import os
import shutil
import subprocess

import pytest

from conftest import PROGRAM

RUN = ["--method", "s-ste", "--log-every", 1, "--threads", 1]


def log_of(run, event):
    return [line for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if line["event"] == event]


def config_of(run):
    lines = (run / "config.toml").read_text().splitlines()
    return {key: json.loads(value) for key, value in (line.split(" = ", 1) for line in lines)}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def start(twofour, corpus, small, tmp_path):
    """Starts a run in tmp_path / `name`; returns its folder."""

    def begin(name, *options, **expected):
        twofour("train", "--data", corpus / "data", "--out", tmp_path / name, *small, *RUN, *options, **expected)
        return tmp_path / name

    return begin


def test_changes_are_taken_on_recorded_and_kept(twofour, start):
    run = start("run", "--steps", 8, "--stop-after", 4, "--min-lr", 1e-5)
    done = twofour("train", "--out", run, "--resume", "--lr", 1e-4, "--clip", 0.5, "--seed", 9, "--stop-after", 6)
    assert "from here on lr is 0.0001 (was 0.003)" in done.stderr
    changes = {line["option"]: (line["step"], line["before"], line["after"]) for line in log_of(run, "change")}
    assert changes == {"lr": (4, 3e-3, 1e-4), "clip": (4, 1.0, 0.5), "seed": (4, 1, 9)}
    rates = [line["lr"] for line in log_of(run, "step")]
    assert max(rates[4:]) <= 1e-4 < min(rates[1:4])
    kept = config_of(run)
    assert (kept["lr"], kept["clip"], kept["seed"]) == (1e-4, 0.5, 9)
    assert "from here on" not in twofour("train", "--out", run, "--resume").stderr  # they stay
    assert len(log_of(run, "change")) == 3 and len(log_of(run, "step")) == 8


def test_auto_is_settled_when_a_run_begins(twofour, start):
    run = start("run", "--steps", 4, "--stop-after", 2, "--dtype", "auto")
    assert config_of(run)["dtype"] == "float32"  # nothing may be measured in tests
    other = start("other", "--steps", 4, "--stop-after", 2, "--dtype", "bfloat16")
    twofour("train", "--out", other, "--resume", "--dtype", "auto")  # whatever is faster now
    assert config_of(other)["dtype"] == "bfloat16" and not log_of(other, "change")


@pytest.mark.parametrize("option, value, message", [
    ("--width", 64, "width was 32 and is now 64"), ("--batch", 2, "batch was 4 and is now 2"),
    ("--beta2", 0.9, 'beta2 was "0.95" and is now "0.9"'), ("--steps", 3, "4 steps are done, more than --steps 3"),
    ("--stop-after", 3, "4 steps are done, more than --stop-after 3")])
def test_what_cannot_change_is_refused_with_both_values(twofour, start, option, value, message):
    run = start("run", "--steps", 8, "--stop-after", 4)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert message in twofour("train", "--out", run, "--resume", option, value, fails=1).stderr
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_finished_run_is_extended(twofour, start, tmp_path):
    run = start("run", "--steps", 6, "--warmup", 0)
    finished = content(run / "model")
    twofour("train", "--out", run, "--resume", "--steps", 12, "--stop-after", 8)
    assert content(run / "model") == finished, "replaced at the end only"
    twofour("train", "--out", run, "--resume")
    assert content(run / "model") != finished
    assert len(log_of(run, "step")) == 12 and config_of(run)["steps"] == 12
    # From the checkpoint on, the schedule is the longer run's.
    longer = start("longer", "--steps", 12, "--warmup", 0)
    rates = [[line["lr"] for line in log_of(each, "step")] for each in (run, longer)]
    assert rates[0][6:] == rates[1][6:] and rates[0][:6] != rates[1][:6]


def test_auto_switch_keeps_its_steps_until_it_has_decided(twofour, start):
    run = start("run", "--method", "step", "--steps", 12, "--stop-after", 4, "--warmup", 0)
    assert "before AutoSwitch has decided" in subprocess.run(
        [PROGRAM, "train", "--out", run, "--resume", "--steps", "20"], capture_output=True, text=True).stderr
    twofour("train", "--out", run, "--resume")
    twofour("train", "--out", run, "--resume", "--steps", 20)
    phases = [line["phase"] for line in log_of(run, "step")]
    assert phases == ["dense"] * 6 + ["sparse"] * 14


def test_going_on_from_an_older_checkpoint_sets_the_newer_ones_aside(twofour, start):
    options = ["--steps", 10, "--checkpoint-every", 2, "--keep", 9]
    whole, run = start("whole", *options), start("run", *options)
    newest = content(run / "checkpoints" / "step-0000010")
    assert "newer checkpoints are now in" in twofour("train", "--out", run, "--resume-from", "step-4",
                                                     "--stop-after", 5).stderr
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "aside-1", "step-0000002", "step-0000004", "step-0000005"]
    assert content(run / "checkpoints" / "aside-1" / "step-0000010") == newest
    report = json.loads(twofour("report", run, "--json").stdout)["runs"][0]
    assert report["train_loss"] == log_of(whole, "step")[4]["loss"], "later steps are no part of it any more"
    twofour("train", "--out", run, "--resume-from", 5)
    assert content(run / "checkpoints" / "step-0000010") == newest  # nothing was changed
    assert content(run / "model") == content(whole / "model")
    error = twofour("train", "--out", run, "--resume-from", "step-3", fails=1).stderr
    assert "from step 3: it holds checkpoints of the steps 2, 4, 5, 6, 8, 10" in error
    assert "as step-250" in twofour("train", "--out", run, "--resume-from", "last", fails=2).stderr


def test_a_damaged_newest_checkpoint_is_gone_around(twofour, start):
    options = ["--steps", 6, "--checkpoint-every", 2, "--keep", 9]
    whole, run = start("whole", *options), start("run", *options)
    file = run / "checkpoints" / "step-0000006" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    error = twofour("train", "--out", run, "--resume", fails=1).stderr
    assert 'optimizer.safetensors" is damaged; --resume-from step-4 goes on from the one before' in error
    twofour("train", "--out", run, "--resume-from", "step-4")
    assert content(run / "model") == content(whole / "model")
    assert (run / "checkpoints" / "aside-1" / "step-0000006").is_dir()


def test_a_run_goes_on_with_its_own_threads(twofour, start):
    run = start("run", "--steps", 6, "--stop-after", 2)  # one thread
    assert "number of threads" not in twofour("train", "--out", run, "--resume", "--stop-after", 4).stderr
    warning = twofour("train", "--out", run, "--resume", "--threads", 2).stderr
    assert "the number of threads was 1 and is now 2: the run continues, but not bit for bit" in warning
    assert [line["threads"] for line in log_of(run, "start")] == [1, 1, 2]


def test_a_run_finds_its_data_from_any_folder_and_where_it_was_moved(twofour, corpus, small, tmp_path):
    data = tmp_path / "a" / "data"
    shutil.copytree(corpus / "data", data)
    twofour("train", "--data", "data", "--out", tmp_path / "run", *small, *RUN, "--steps", 6, "--stop-after", 2,
            cwd=tmp_path / "a")
    resume = ["train", "--out", tmp_path / "run", "--resume"]
    twofour(*resume, "--stop-after", 3, cwd=tmp_path)
    data.rename(tmp_path / "moved")
    error = twofour(*resume, fails=1).stderr
    assert f"the run's data is no longer in \"{data}\": give its new folder with --data" in error
    twofour(*resume, "--data", "moved", "--stop-after", 4, cwd=tmp_path)
    twofour(*resume, cwd="/")
    # Other content is noticed, beside its old train.json and without one.
    ids, info = (tmp_path / "moved" / name for name in ("train.bin", "train.json"))
    ids.write_bytes(ids.read_bytes()[2:] + ids.read_bytes()[:2])
    assert "train.bin" in twofour(*resume, fails=1).stderr
    vocabulary = json.loads(info.read_text())["vocabulary_size"]
    info.unlink()
    assert "training data (content hash) was" in twofour(*resume, "--vocabulary", vocabulary, fails=1).stderr


def test_without_a_run_there_is_nothing_to_resume(twofour, tmp_path):
    assert f'there is no run in "{tmp_path / "no"}"' in twofour("train", "--out", tmp_path / "no", "--resume",
                                                               fails=2).stderr
    assert "--out is missing" in twofour("train", "--resume", fails=2).stderr
    assert not (tmp_path / "no").exists()


def test_a_diverged_run_goes_on_as_its_message_says(twofour, start):
    run = start("run", "--steps", 12, "--warmup", 0, "--clip", 0, "--checkpoint-every", 4, "--stop-after", 4)
    resume = ["train", "--out", run, "--resume"]
    command = [PROGRAM, *map(str, [*resume, "--lr", 1e6])]
    error = subprocess.run(command, capture_output=True, text=True).stderr
    assert "the checkpoint of step 4 is kept; try a lower --lr or a longer --warmup with --resume" in error
    twofour(*resume, "--lr", 1e-3, "--warmup", 8)
    assert [line["step"] for line in log_of(run, "step")][-8:] == list(range(5, 13))
    assert config_of(run)["lr"] == 1e-3


def test_float16_can_become_float32_and_back(twofour, start):
    run = start("run", "--method", "fst", "--dtype", "float16", "--steps", 9, "--stop-after", 3)
    twofour("train", "--out", run, "--resume", "--dtype", "float32", "--stop-after", 6)
    twofour("train", "--out", run, "--resume", "--dtype", "float16")
    assert [line.get("loss_scale") for line in log_of(run, "step")] == [65536] * 3 + [None] * 3 + [65536] * 3


def test_two_processes_do_not_share_a_run(twofour, corpus, small, tmp_path):
    run = tmp_path / "run"
    options = ["train", "--data", corpus / "data", "--out", run, *small, *RUN]
    first = subprocess.Popen([PROGRAM, *map(str, options), "--steps", "100000", "--checkpoint-every", "0"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    first.stdout.readline()
    for more in ([], ["--resume"]):
        error = twofour(*options, "--steps", 100000, *more, fails=1).stderr
        assert f"is in use by process {first.pid}" in error
    first.kill()
    first.communicate()
    assert "is in use" not in twofour(*options, "--steps", 3).stderr  # a killed process holds nothing
    assert not (run / "lock").exists()


def test_samples_show_what_the_model_writes_and_change_nothing(twofour, start):
    options = ["--steps", 6, "--dtype", "bfloat16", "--checkpoint-every", 3]
    plain = start("plain", *options)
    samples = ["--sample-every", 2, "--sample-prompt", "the cat", "--sample-tokens", 12]
    run = start("run", *options, *samples)
    for folder in ("checkpoints/step-0000003", "checkpoints/step-0000006", "model"):
        assert content(run / folder) == content(plain / folder)
    lines = log_of(run, "sample")
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(line["prompt"] == "the cat" and line["continuation"] for line in lines)
    again = log_of(start("again", *options, *samples), "sample")
    other = log_of(start("other", *options, *samples, "--seed", 2), "sample")
    texts = [[line["continuation"] for line in each] for each in (lines, again, other)]
    assert texts[0] == texts[1] != texts[2]
    page = twofour("report", run, "--out", run / "r.html") and (run / "r.html").read_text()
    assert "after step 2: the cat" in page
    long = " ".join(["the cat"] * 40)
    for prompt, message in [([], "make no sense without --sample-every"), (["--sample-every", 1], "fills the context")]:
        start("refused", *options, *prompt, "--sample-prompt", long, fails=2)
    assert not (run.parent / "refused").exists()


def test_tensorboard_reads_samples_and_forgets_what_was_set_aside(twofour, start):
    reader = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_accumulator")
    run = start("run", "--steps", 6, "--checkpoint-every", 2, "--keep", 9, "--sample-every", 3, "--sample-prompt", "the")
    twofour("train", "--out", run, "--resume-from", 2, "--stop-after", 4)
    events = reader.EventAccumulator(os.fspath(run))
    events.Reload()
    texts = events.Tensors("sample")
    assert [text.step for text in texts] == [3, 4]
    assert texts[0].tensor_proto.string_val[0].decode().startswith("the")
    assert [point.step for point in events.Tensors("loss/train")] == [1, 2, 3, 4]
