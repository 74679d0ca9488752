"""tune-decay: the ratio of flip rates decides, the table and the file show it, an interrupted search resumes."""

import json
import subprocess

from conftest import PROGRAM

OPTIONS = ["--method", "fst", "--mask-interval", 2, "--steps", 400, "--warmup", 10, "--probe-steps", 40]


def mean_flip_rate(run):
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    rates = [entry["flip_rate"] for entry in log if entry["event"] == "step" and entry["step"] > 20]
    assert len(rates) == 20
    return sum(rates) / len(rates)


def test_finds_a_decay_in_the_healthy_range(twofour, corpus, small, tmp_path):
    out = tmp_path / "tune"
    command = ["tune-decay", "--data", corpus / "data", "--out", out, *small, *OPTIONS, "--decay", 1e-3]
    found = json.loads(twofour(*command, "--json").stdout)
    last = found["probes"][-1]
    assert last["healthy"] and 0.60 <= last["ratio"] <= 0.95
    assert all(not probe["healthy"] for probe in found["probes"][:-1])
    dense = mean_flip_rate(out / "dense")
    sparse = mean_flip_rate(out / f"decay-{last['decay']:.3g}")
    assert abs(last["ratio"] - sparse / dense) < 1e-9
    assert not (out / "dense" / "model").exists()

    fragment = (out / "decay.toml").read_text()
    assert f"decay = {last['decay']:.3g}" in fragment
    config = twofour("train", *small, "--config", out / "decay.toml", "--print-config").stdout
    assert 'method = "fst"' in config and f"decay = {last['decay']:.3g}" in config

    # A probe's own config has its decay, once.
    for probe in found["probes"]:
        kept = (out / f"decay-{probe['decay']:.3g}" / "config.toml").read_text().splitlines()
        assert [line for line in kept if line.startswith("decay =")] == [f"decay = {probe['decay']:g}"]

    # Repeating it finds all runs done.
    before = (out / "dense" / "log.jsonl").stat().st_size
    assert json.loads(twofour(*command, "--json").stdout) == found
    assert (out / "dense" / "log.jsonl").stat().st_size < 1.2 * before


def test_what_cannot_be_tuned_is_refused(twofour, corpus, small, tmp_path):
    def refused(*options, fails=2):
        return twofour("tune-decay", "--data", corpus / "data", "--out", tmp_path / "t", *small, *options,
                       fails=fails).stderr

    assert "--method dense has none" in refused("--method", "dense")
    assert "--method s-ste has none" in refused("--method", "s-ste")
    assert "four mask intervals" in refused("--method", "fst", "--probe-steps", 20)
    assert "masks that can flip" in refused("--method", "sr-ste", "--mask-interval", 0)


def test_gives_up_with_the_table_shown(corpus, small, tmp_path):
    # A decay so strong that no pruned weight ever comes back.
    command = ["tune-decay", "--data", corpus / "data", "--out", tmp_path / "t", *small, *OPTIONS, "--decay", 1e4,
               "--most-runs", 1]
    done = subprocess.run([PROGRAM, *map(str, command)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1, done.stdout
    assert "no decay in 1 runs" in done.stderr and "ratio" in done.stdout
    assert not (tmp_path / "t" / "decay.toml").exists()
