"""Every pre-training method on the command line: its files, log, refusals and interruptions."""

import json
import re

import numpy
import pytest
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel

METHODS = ["dense", "half", "ste", "sr-ste", "step", "fst", "s-ste"]
STEPS = ["--steps", 12, "--log-every", 1, "--threads", 1]


@pytest.fixture
def train(twofour, corpus, small, tmp_path):
    """Trains `name` with some options; returns its folder."""

    def run(name, *options, **expected):
        twofour("train", "--data", corpus / "data", "--out", tmp_path / name, *small, *STEPS, *options,
                **expected)
        return tmp_path / name

    return run


@pytest.fixture
def config(twofour):
    """The output of --print-config for some options."""

    def read(*options):
        lines = twofour("train", *options, "--print-config").stdout.splitlines()
        return {key: json.loads(value) for key, value in (line.split(" = ", 1) for line in lines)}

    return read


def steps_of(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == "step"]


def feed_forward_weights(run):
    """[out, in] by name, as transformers loads them."""
    model = GPT2LMHeadModel.from_pretrained(run / "model")
    return {name: weight.detach().T.numpy() for name, weight in model.named_parameters()
            if ".mlp." in name and weight.dim() == 2}


def is_24(weight):
    return (numpy.count_nonzero(weight.reshape(-1, 4), axis=1) <= 2).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_a_model_of_its_sparsity(train, method, dtype):
    run = train("run", "--method", method, "--dtype", dtype)
    sparse = method in ("ste", "sr-ste", "step", "s-ste")  # fst ends dense
    weights = feed_forward_weights(run)
    assert len(weights) == 4
    assert all(is_24(weight) == sparse for weight in weights.values())
    assert (run / "model" / "masks.safetensors").exists() == sparse
    assert weights["transformer.h.0.mlp.c_fc.weight"].shape[0] == (64 if method == "half" else 128)
    for name, tensor in load_file(run / "model" / "model.safetensors").items():
        assert tensor.isfinite().all(), name
        if "attn.c_attn.weight" in name:
            assert not is_24(tensor.T.numpy())
    phases = {"fst": ["sparse"] * 10 + ["dense"] * 2, "step": ["dense"] * 6 + ["sparse"] * 6}
    expected = phases.get(method, ["sparse" if sparse else None] * 12)
    assert [step.get("phase") for step in steps_of(run)] == expected


def test_fst_without_a_dense_end_is_2_4_along_rows_and_columns(train):
    run = train("run", "--method", "fst", "--dense-end", 0)
    weights = feed_forward_weights(run)
    assert all(is_24(weight) and is_24(numpy.ascontiguousarray(weight.T)) for weight in weights.values())
    masks = load_file(run / "model" / "masks.safetensors")
    for name, weight in weights.items():
        mask = numpy.unpackbits(masks[name + ".mask"].numpy())[:weight.size].reshape(weight.shape)
        assert (mask.reshape(-1, 4).sum(1) == 2).all()
        assert (weight[mask == 0] == 0).all()


def test_other_layers_can_be_sparse(train):
    run = train("run", "--method", "ste", "--sparse-layers", "h[.]1[.]|c_attn")
    model = load_file(run / "model" / "model.safetensors")
    sparse = {name for name, weight in model.items()
              if weight.dim() == 2 and ".h." in name and is_24(weight.T.contiguous().numpy())}
    assert sparse == {"transformer.h.0.attn.c_attn.weight", *(
        f"transformer.h.1.{layer}.weight"
        for layer in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"))}


@pytest.mark.parametrize("options", [["--method", "s-ste"], ["--method", "sr-ste"],
                                     ["--method", "fst", "--mask-interval", 4],
                                     ["--method", "dense", "--watch-masks", "magnitude"],
                                     ["--method", "half", "--watch-masks", "transposable"]])
def test_flips_are_logged_of_each_layer_and_of_all(train, options):
    steps = steps_of(train("run", *options))
    for step in steps:
        rates = step["flip_rates"]
        assert sorted(rates) == [f"transformer.h.{i}.mlp.{layer}.weight" for i in (0, 1)
                                 for layer in ("c_fc", "c_proj")]
        assert step["flip_rate"] == pytest.approx(sum(rates.values()) / 4)  # of equal sizes
        assert (step["zeros"] is None) == (options[1] in ("dense", "half"))
    assert any(step["flip_rate"] > 0 for step in steps)


def test_a_dense_run_without_watched_masks_logs_no_flips(train):
    assert all(step["flip_rate"] is None and "flip_rates" not in step
               for step in steps_of(train("run", "--method", "dense")))


def test_watching_masks_changes_no_value(train):
    read = [(train(name, "--method", "dense", *more) / "model" / "model.safetensors").read_bytes()
            for name, more in [("a", []), ("b", ["--watch-masks", "transposable"])]]
    assert read[0] == read[1]


@pytest.mark.parametrize("method", ["sr-ste", "fst", "step", "s-ste"])
def test_a_loss_scale_in_float32_changes_no_bit(train, method):
    read = [(train(name, "--method", method, *more) / "model" / "model.safetensors").read_bytes()
            for name, more in [("a", []), ("b", ["--loss-scale", 1024, "--loss-scale-growth", 5])]]
    assert read[0] == read[1]


def test_float16_adapts_its_loss_scale_and_counts_what_it_skips(twofour, corpus, small, tmp_path):
    summary = json.loads(twofour("train", "--data", corpus / "data", "--out", tmp_path / "r", *small, *STEPS,
                                 "--method", "fst", "--dtype", "float16", "--loss-scale", 2.0**24,
                                 "--json").stdout)
    steps = steps_of(tmp_path / "r")
    skipped = [step for step in steps if step["grad_norm"] is None]
    assert 0 < summary["skipped"] == len(skipped) < 12
    assert steps[-1]["loss_scale"] == 2.0**(24 - len(skipped))
    assert steps[-1]["loss"] < steps[0]["loss"]


SENSELESS = [
    (["--method", "dense", "--decay", "1e-4"], "no weight is pruned that could decay"),
    (["--method", "half", "--dense-end", "0.2"], "every step is dense"),
    (["--method", "step", "--dense-start", "3"], "both set the end of the dense start"),
    (["--method", "fst", "--dense-start", "10"], "leave none of 12 steps sparse"),
    (["--method", "s-ste", "--mask-interval", "40"], "follows the weights in every step"),
    (["--method", "ste", "--second-moment", "freeze"], "would freeze it at zero"),
    (["--method", "ste", "--watch-masks", "magnitude"], "the masks in use are watched"),
    (["--method", "ste", "--switch-threshold", "1"], "makes no sense with --switch fixed"),
    (["--method", "ste", "--freeze", "all"], "no moment freezes"),
    (["--method", "ste", "--decay-on", "weight"], "nothing decays"),
    (["--method", "dense", "--sparse-layers", "mlp("], "where every layer is dense"),
    (["--method", "dense", "--sparse-layers", "mlp(", "--watch-masks", "magnitude"], "is not understood"),
    (["--method", "half", "--feed-forward", "256"], "contradicts --method half, whose feed-forward width is 64"),
    (["--loss-scale-growth", "5"], "makes no sense without a --loss-scale"),
    (["--beta2", "1"], "below 1"),
    (["--method", "s-ste", "--precision", "fp8", "--dtype", "float16"], "does not go with"),
    (["--method", "ste", "--sparse-layers", "mlp("], "is not understood"),
    (["--method", "ste", "--sparse-layers", "norm"], "matches no layer"),
    (["--method", "ste", "--feed-forward", "66"], "cannot be 2:4 sparse"),
    (["--forward-weight", "random"], "must be dense, magnitude, transposable, soft or fixed"),
    (["--decay", "-1"], "0 or more"),
    (["--mask-interval", "1.5"], "whole number"),
    (["--dtype", "float16", "--loss-scale", "0"], "would vanish"),
    (["--loss-scale", "1e60"], "0 to 1e+37"),
    (["--loss-scale", "2", "--loss-scale-growth", "0"], "1 to 1000000000"),
    (["--method", "sste"], 'did you mean "ste"?'),
    (["--recipe", "gpt2-124m-sste"], "unknown recipe"),
    (["--scale-to-budget", "lots"], "must be a number of tokens"),
]


@pytest.mark.parametrize("options, reason", SENSELESS, ids=[" ".join(o) for o, _ in SENSELESS])
def test_senseless_options_are_refused_with_the_reason(twofour, corpus, small, tmp_path, options, reason):
    steps = [] if "--scale-to-budget" in options else STEPS
    error = twofour("train", "--data", corpus / "data", "--out", tmp_path / "run", *small, *steps, *options,
                    fails=2).stderr
    assert reason in error
    assert not (tmp_path / "run").exists()


# The published GPT-2 runs (arXiv 2404.01847 and 2409.09099): λ of FST by size.
SIZES = {"gpt2-124m": 6e-5, "gpt2-350m": 2e-4, "gpt2-774m": 6e-5, "gpt2-1558m": 2e-4}
# What each method's paper says: how W̃ and dW are made, steps between searches, the dense end; λ of SR-STE (arXiv
# 2102.04010); the switch, the frozen moment and β2 of STEP (arXiv 2302.01172).
PUBLISHED = {
    "dense": ("dense", "exact", 1, 0, 0, "fixed", "adapt", 0.95),
    "half": ("dense", "exact", 1, 0, 0, "fixed", "adapt", 0.95),
    "ste": ("magnitude", "exact", 1, 0, 0, "fixed", "adapt", 0.95),
    "sr-ste": ("magnitude", "exact", 1, 0, 2e-4, "fixed", "adapt", 0.95),
    "step": ("magnitude", "exact", 1, 0, 0, "arithmetic", "freeze", 0.999),
    "fst": ("transposable", "mvue", 40, 1 / 6, None, "fixed", "adapt", 0.95),
    "s-ste": ("soft", "mvue", 1, 0, 0, "fixed", "adapt", 0.95),
}
AXES = ("forward-weight", "weight-gradient", "mask-interval", "dense-end", "decay", "switch", "second-moment", "beta2")


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_recipes_are_the_published_runs(config, model, method):
    run = config("--recipe", f"{model}-{method}")
    expected = {"model": model, "method": method, "dtype": "float16", "context": 1024, "steps": 300000,
                "warmup": 3000, "lr": 1.5e-4, "min-lr": 1e-5, "beta1": 0.9, "weight-decay": 0.1, "clip": 1}
    assert {key: run[key] for key in expected} == expected
    assert run["batch"] * run["accumulate"] == 512
    published = dict(zip(AXES, PUBLISHED[method], strict=True))
    if method == "fst":
        published["decay"] = SIZES[model]
    assert {key: run[key] for key in AXES} == published
    # Feed-forward layers alone, in the products' own precision, sparse from the first step, λ on the gradient.
    assert (run["sparse-layers"], run["precision"], run["dense-start"]) == ("[.](mlp|fc[12])[.]", "native", 0)
    assert (run["decay-on"], run["freeze"], run["watch-masks"]) == ("gradient", "masked", "none")
    assert "loss-scale" not in run  # 65536 with float16


def test_a_budget_shrinks_all_that_is_counted_in_steps(config):
    run = config("--recipe", "gpt2-124m-fst", "--scale-to-budget", "15.75B")  # a tenth of the tokens
    scaled = run["steps"]
    assert scaled == int(15.75e9 / (512 * 1024))
    assert run["warmup"] == round(3000 * scaled / 300000)
    assert run["mask-interval"] == 4
    assert run["dense-end"] == pytest.approx(1 / 6)  # a share stays
    small = config("--recipe", "gpt2-124m-fst", "--scale-to-budget", "1M", "--batch", 2, "--accumulate", 1,
                   "--context", 256, "--dense-end", 3000, "--warmup", 7)
    assert (small["steps"], small["warmup"], small["mask-interval"]) == (1953, 7, 1)
    assert small["dense-end"] == 3000  # given on the command line, like the warm-up


def test_a_method_on_the_command_line_beats_the_axes_of_a_config(twofour, config, tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(twofour("train", "--recipe", "gpt2-350m-fst", "--print-config").stdout)
    kept = config("--config", file)
    assert (kept["method"], kept["decay"], kept["mask-interval"]) == ("fst", 2e-4, 40)
    assert config("--config", file, "--method", "fst")["decay"] == 2e-4
    other = config("--config", file, "--method", "s-ste", "--weight-gradient", "exact")
    named = config("--method", "s-ste", "--weight-gradient", "exact")
    axes = [key for key in named if key not in ("model", "context", "dtype", "steps", "batch", "accumulate",
                                                "lr", "min-lr", "warmup", "weight-decay", "clip")]
    assert {key: other[key] for key in axes} == {key: named[key] for key in axes}
    assert other["lr"] == 1.5e-4 and other["model"] == "gpt2-350m"
    assert config("--config", file, "--decay", "1e-3")["decay"] == 1e-3


def test_beta2_is_the_methods_unless_something_stronger_says_it(twofour, config, tmp_path):
    file = tmp_path / "c.toml"

    def beta2(content, *options):
        file.write_text(content)
        return config("--config", file, *options)["beta2"]

    assert config("--method", "ste")["beta2"] == 0.95
    assert config("--method", "step")["beta2"] == 0.999
    assert config("--method", "step", "--beta2", 0.9)["beta2"] == 0.9
    assert config("--recipe", "gpt2-124m-step", "--beta2", 0.9)["beta2"] == 0.9
    assert beta2('method = "step"\n') == 0.999
    assert beta2('method = "step"\nbeta2 = 0.98\n') == 0.98
    assert beta2("beta2 = 0.98\n", "--method", "step") == 0.98
    assert beta2("beta2 = 0.98\n", "--recipe", "gpt2-124m-step") == 0.98
    assert beta2("beta2 = 0.98\n", "--method", "step", "--beta2", 0.9) == 0.9
    # With another method on the command line, the config's own choices stay.
    assert beta2('method = "ste"\nbeta2 = 0.98\n', "--method", "step") == 0.98
    printed = twofour("train", "--method", "ste", "--print-config").stdout
    assert beta2(printed, "--method", "step") == 0.999


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_run_that_becomes_nan_stops_and_says_what_to_try(twofour, corpus, small, tmp_path, dtype):
    run = tmp_path / "run"
    error = twofour("train", "--data", corpus / "data", "--out", run, *small, "--steps", 100, "--lr", 1e6,
                    "--clip", 0, "--checkpoint-every", 1, "--keep", 2, "--dtype", dtype, "--warmup", 0,
                    "--threads", 1, fails=1).stderr
    assert "the run diverges" in error and "try a lower --lr" in error
    kept = int(re.search(r"the checkpoint of step (\d+) is kept", error).group(1))
    assert all(tensor.isfinite().all() for tensor in
               load_file(run / "checkpoints" / f"step-{kept:07}" / "model.safetensors").values())


def test_what_was_not_measured_is_null(twofour, corpus, small, tmp_path):
    data = tmp_path / "data"
    twofour("data", corpus / "text.txt", "--tokenizer", corpus / "tokenizer", "--out", data, "--val-fraction", 0)
    run = ["train", "--data", data, "--out", tmp_path / "run", *small, "--steps", 2, "--json"]
    summary = json.loads(twofour(*run).stdout)
    unknown = ["validation_loss", "validation_perplexity", "flip_rate", "zeros"]
    assert all(summary[key] is None for key in unknown)
    assert all(isinstance(summary[key], float) for key in ("train_loss", "tokens_per_second", "seconds"))
    assert "validation" not in (tmp_path / "run" / "log.jsonl").read_text()
    again = json.loads(twofour(*run, "--resume").stdout)  # no step is left
    assert all(again[key] is None for key in [*unknown, "train_loss", "tokens_per_second"])
    report = json.loads(twofour("report", tmp_path / "run", "--json").stdout)["runs"][0]
    assert all(report[key] is None for key in unknown)
    # There is data, but no validation.
    run[2:5] = [corpus / "data", "--out", tmp_path / "other"]
    other = json.loads(twofour(*run, "--validation-windows", 0, "--method", "ste").stdout)
    assert [other[key] is None for key in unknown] == [True, True, False, False]


def test_a_budget_that_makes_no_run_is_refused(twofour):
    def refused(*options):
        return twofour("train", *options, fails=2).stderr

    for budget, message in [("1k", "less than one step"), ("1000B", "more than the run's 300000 steps")]:
        assert message in refused("--recipe", "gpt2-124m-fst", "--scale-to-budget", budget)
    assert "give one of them" in refused("--steps", 10, "--scale-to-budget", "1M")


@pytest.mark.parametrize("path", ["a # b", "a'#b", "plain"])
def test_a_config_keeps_what_is_quoted_and_drops_comments(twofour, tmp_path, path):
    printed = twofour("train", "--data", path, "--print-config").stdout
    file = tmp_path / "c.toml"
    file.write_text("# a comment with 'quotes\n" + "".join(line + "  # why\n" for line in printed.splitlines()))
    assert twofour("train", "--config", file, "--print-config").stdout == printed


def test_a_default_that_is_written_out_does_not_keep_a_run_from_resuming(twofour, corpus, small, tmp_path):
    run = ["--data", corpus / "data", "--out", tmp_path / "r", *small, "--dtype", "float16", "--steps", 4]
    twofour("train", *run, "--stop-after", 2)
    done = twofour("train", "--out", tmp_path / "r", "--resume", "--loss-scale", 65536, "--stop-after", 3)
    assert "from here on" not in done.stderr
    done = twofour("train", "--out", tmp_path / "r", "--resume", "--loss-scale", 1024)
    assert "from here on loss-scale is 1024.0 (was 65536.0)" in done.stderr


def test_a_checkpoint_that_is_due_in_a_suspicious_moment_waits(twofour, corpus, small, tmp_path):
    def saved(name, every, factor):
        twofour("train", "--data", corpus / "data", "--out", tmp_path / name, *small, "--steps", 60, "--batch", 1,
                "--lr", 1e-6, "--checkpoint-every", every, "--keep", 100, "--log-every", 1, "--divergence-factor",
                factor)
        return sorted(int(path.name[5:]) for path in (tmp_path / name / "checkpoints").iterdir())

    due = range(3, 61, 3)
    assert saved("never", 3, 0) == list(due)
    # Where a checkpoint is due in every step, the steps without one are the suspicious ones.
    calm = saved("every", 1, 1.05)
    suspicious = set(range(1, 61)) - set(calm)
    assert suspicious and min(suspicious) > 10, "the first ten norms are believed"
    norms = [step["grad_norm"] for step in steps_of(tmp_path / "every")]
    assert all(norms[step - 1] > 1.05 * min(norms[:step - 1]) for step in suspicious)
    waits = saved("waits", 3, 1.05)
    assert waits == sorted({min(step for step in calm if step >= one) for one in due})
    assert waits != list(due), "no step in which one was due was suspicious: the test shows nothing"
