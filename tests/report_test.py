"""Reports: one self-contained, well-formed page with the numbers of the log."""

import json
import shutil
import xml.etree.ElementTree as xml

import pytest


def page_of(path):
    text = path.read_text()
    assert text.startswith("<!DOCTYPE html>")
    return xml.fromstring(text.split("\n", 1)[1]), text


def test_page_is_well_formed_and_needs_no_other_file(twofour, sparse_run, tmp_path):
    page, text = page_of_runs(twofour, [sparse_run], tmp_path)
    titles = [caption.text for caption in page.iter("figcaption")]
    assert "Flip rate of the masks" in titles and "Validation loss" in titles
    for forbidden in ("http://", "https://", "<link", "src=", "import", "fetch("):
        assert forbidden not in text
    assert text.count("<script") == 1
    # The script's data: each point of a curve with its logged step and value.
    log = [json.loads(line) for line in (sparse_run / "log.jsonl").read_text().splitlines()]
    logged = {entry["step"]: entry["grad_norm"] for entry in log if entry["event"] == "step"}
    figure = next(figure for figure in page.iter("figure") if "Gradient norm" in figure.find("figcaption").text)
    curve = next(figure.iter("polyline"))
    assert len(curve.get("points").split()) == len(logged)
    shown = dict(zip(map(float, curve.get("data-steps").split()), map(float, curve.get("data-values").split())))
    assert shown == pytest.approx(logged, rel=1e-5)
    assert "norm (log scale)" in [label.text for label in figure.iter("text")]
    assert "Where the time of a step goes" in [title.text for title in page.iter("h2")]


def test_it_says_how_to_open_what_it_wrote(twofour, sparse_run, tmp_path):
    out = tmp_path / "r.html"
    last = twofour("report", sparse_run, "--out", "r.html", cwd=tmp_path).stdout.splitlines()[-1]
    assert last == f"written: r.html; open it in a browser: file://{out}"


def page_of_runs(twofour, runs, tmp_path):
    out = tmp_path / "report.html"
    twofour("report", *runs, "--out", out)
    return page_of(out)


def test_table_has_the_last_values_of_the_log(twofour, sparse_run):
    log = [json.loads(line) for line in (sparse_run / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in log if entry["event"] == "step"]
    validations = [entry for entry in log if entry["event"] == "validation"]
    run = json.loads(twofour("report", sparse_run, "--json").stdout)["runs"][0]
    assert run["method"] == "s-ste"
    assert run["train_loss"] == steps[-1]["loss"]
    assert run["validation_loss"] == validations[-1]["loss"]
    assert run["zeros"] >= 0.5


def copy_of(run, tmp_path):
    other = tmp_path / "copy"
    shutil.rmtree(other, ignore_errors=True)
    other.mkdir()
    shutil.copy(run / "log.jsonl", other)
    return other


def test_text_is_escaped_and_the_later_of_two_equal_steps_counts(twofour, sparse_run, tmp_path):
    run = copy_of(sparse_run, tmp_path)
    (run / "samples.txt").write_text("<script>alert(1)</script> & \x07 \u00e9")
    (run / "config.toml").write_text('data = "<b>"\n')
    with open(run / "log.jsonl", "a") as log:
        log.write(json.dumps({"event": "step", "step": 30, "loss": 0.125}) + "\n")
        log.write('{"event": "step", "ste')  # a killed run
    _, text = page_of_runs(twofour, [run, sparse_run], tmp_path)
    assert "<script>alert" not in text and "&lt;script&gt;" in text
    assert json.loads(twofour("report", run, "--json").stdout)["runs"][0]["train_loss"] == 0.125


@pytest.mark.parametrize("content, message", [
    ("", "it is empty"), ("garbage\n", "line 1"), ("[1]\n", "line 1"), ('{"a": 1}\n', "line 1"),
    ('{"event": "start"}\nnonsense\n', "line 2"), ('{"event": "step", "step": "x"}\n', "line 1")])
def test_what_is_no_log_is_refused_with_the_line(twofour, tmp_path, content, message):
    (tmp_path / "log.jsonl").write_text(content)
    out = tmp_path / "r.html"
    out.write_text("old")
    error = twofour("report", tmp_path, "--out", out, fails=1).stderr
    assert "log.jsonl" in error and message in error
    assert out.read_text() == "old"
    assert "No such file" in twofour("report", tmp_path / "none", fails=1).stderr


def test_a_run_of_one_step_and_constant_curves(twofour, tmp_path):
    lines = [{"event": "start", "method": "dense", "steps": 1},
             {"event": "step", "step": 1, "loss": 0.0, "lr": 1e-3, "grad_norm": 0.0, "zeros": None}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page, text = page_of_runs(twofour, [tmp_path], tmp_path)
    assert "nan" not in text and "inf" not in text.replace("information", "")


def test_runs_that_differ_in_the_seed_are_averaged(twofour, corpus, small, tmp_path):
    runs = []
    for method, seed in [("s-ste", 1), ("dense", 1), ("s-ste", 2)]:
        runs.append(tmp_path / f"{method}-{seed}")
        twofour("train", "--data", corpus / "data", "--out", runs[-1], *small, "--method", method, "--seed", seed,
                "--steps", 20, "--validate-every", 10)
    single = json.loads(twofour("report", *runs, "--json").stdout)["runs"]
    means = json.loads(twofour("report", *runs, "--average-seeds", "--json").stdout)["runs"]
    assert [run["run"] for run in means] == ["s-ste", "dense"]
    losses = [single[0]["validation_loss"], single[2]["validation_loss"]]
    assert means[0]["validation_loss"] == pytest.approx(sum(losses) / 2)
    assert means[0]["validation_loss_deviation"] == pytest.approx(abs(losses[0] - losses[1]) / 2**0.5)
    assert means[0]["runs"] == 2 and "runs" not in means[1]
    text = twofour("report", *runs, "--average-seeds", "--markdown").stdout
    assert text.startswith("| run | method |") and " ± " in text and "backward" in text


def test_one_chart_as_svg(twofour, sparse_run, tmp_path):
    out = tmp_path / "flips.svg"
    twofour("report", sparse_run, "--chart", "flip_rate", "--out", out)
    svg = xml.fromstring(out.read_text())
    assert svg.tag.endswith("svg") and "polyline" in out.read_text()
    assert "must be validation" in twofour("report", sparse_run, "--chart", "flips", "--out", out,
                                                 fails=2).stderr
    assert "no run has logged" in twofour("report", sparse_run, "--chart", "loss_scale", "--out", out,
                                          fails=1).stderr
