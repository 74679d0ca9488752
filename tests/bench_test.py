"""Every `twofour bench` command on tiny sizes: the content of its report, and errors for wrong options."""

import json
import os
import re
import subprocess
import sys

import pytest

from conftest import PROGRAM, ROOT

TINY = ["--rounds", 1, "--threads", 1]
HEAD = {"cpu", "threads", "instruction_set", "dtype", "rounds"}


def report(twofour, *arguments, **options):
    done = twofour("bench", *arguments, *TINY, "--json", **options)
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert HEAD <= set(result) and result["threads"] == 1
    return result


def quotient(above, below):
    """A ratio of two times of the same report."""
    assert above > 0 and below > 0
    return pytest.approx(above / below, rel=1e-12)


def check_product(product):
    assert product["dense"].keys() >= {"aten"}
    assert not set(product["dense"]) & set(product["left_out"])
    assert product["dense_ms"] == min(product["dense"].values()) == product["dense"][product["fastest_dense"]]
    assert product["chosen_ratio"] == quotient(product["dense_ms"], product["chosen_ms"])
    if product["ratio"] is None:
        assert product["sparse"] == {} and product["choice"]["source"] == "only dense"
    else:
        assert product["sparse_ms"] == min(product["sparse"].values()) == product["sparse"][product["fastest_sparse"]]
        assert product["ratio"] == quotient(product["dense_ms"], product["sparse_ms"])


def check_packing(packing, products):
    for panel, product, ratio in [("panel_ms", "forward", "forward_ratio"),
                                  ("transposed_panel_ms", "input_gradient_both_sides", "input_gradient_ratio")]:
        times = products[product]
        assert packing[panel] > 0
        assert packing[ratio] == quotient(times["dense_ms"], times["sparse_ms"] + packing[panel])
    assert packing["packed_ms"] > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("tokens", [1, 72])
def test_linear_reports_every_product(twofour, dtype, tokens):
    result = report(twofour, "linear", "--tokens", tokens, "--in", 32, "--out", 24, "--dtype", dtype)
    assert (result["tokens"], result["in"], result["out"], result["dtype"]) == (tokens, 32, 24, dtype)
    products = result["products"]
    assert set(products) == {"forward", "input_gradient_rows", "input_gradient_both_sides",
                             "weight_gradient"}
    for product in products.values():
        check_product(product)
    assert set(products["forward"]["sparse"]) == ({"panel", "few"} if tokens == 1 else {"panel"})
    assert products["weight_gradient"]["mvue_ms"] > 0
    assert result["dense_gflops"] == quotient(2 * tokens * 32 * 24 / 1e6, products["forward"]["dense_ms"])
    check_packing(result["packing"], products)


def test_linear_leaves_out_the_input_gradient_where_no_group_fits(twofour):
    products = report(twofour, "linear", "--tokens", 3, "--in", 8, "--out", 5)["products"]
    assert set(products) == {"forward", "weight_gradient"}


def test_linear_takes_the_layers_of_a_model(twofour):
    result = report(twofour, "linear", "--model", "gpt2-124m", "--layer", "down", "--tokens", 1)
    assert (result["in"], result["out"]) == (3072, 768)


def as_if_undisturbed(file):
    """Measurements beside other work would be repeated."""
    file.write_text(re.sub(r'"disturbed": \d+,', "", file.read_text()))


def test_explain_says_whether_a_choice_is_new_or_known(twofour, tmp_path):
    def choices(tune):
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "TWOFOUR_TUNE": tune}
        result = report(twofour, "linear", "--tokens", 8, "--in", 16, "--out", 16, "--explain",
                        env=environment)
        if tune != "off":
            as_if_undisturbed(tmp_path / "twofour/products.json")
        return {(name, key): product[key] for name, product in result["products"].items()
                for key in ("choice", "choice_in_training")
                if product["ratio"] is not None}

    for tune, source in (("on", "measured"), ("on", "file"), ("refresh", "measured"), ("off", "off")):
        found = choices(tune)
        assert {choice["source"] for choice in found.values()} == {source}
        for choice in found.values():
            assert choice["tune"] == tune
            assert choice["file"] == str(tmp_path / "twofour" / "products.json")
            assert all(source == "off" or choice[key] > 0 for key in ("dense_ms", "sparse_ms"))
    assert {choice["run"] for choice in found.values()} == {"panel"}


def test_explain_in_words_names_the_file(twofour, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "TWOFOUR_TUNE": "on"}
    options = ["bench", "linear", "--tokens", 8, "--in", 16, "--out", 16, "--explain", *TINY]
    assert "measured now and kept in" in twofour(*options, env=environment).stdout
    as_if_undisturbed(tmp_path / "twofour/products.json")
    known = twofour(*options, env=environment).stdout
    assert f'known from "{tmp_path}' in known and "ratio" in known
    file = tmp_path / "twofour/products.json"
    as_if_undisturbed(file)
    file.write_text(re.sub(r'"run": "\w+"', '"run": "onednn"', file.read_text()))
    assert "forward product: dense, by oneDNN: dense " in twofour(*options, env=environment).stdout


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("activation, layers", [("gelu", 2), ("swiglu", 3)])
def test_block_counts_every_part(twofour, dtype, activation, layers):
    methods = report(twofour, "block", "--tokens", 12, "--width", 16, "--feed-forward", 32, "--dtype", dtype,
                     "--activation", activation)["methods"]
    assert list(methods) == ["dense", "s-ste", "fst"]
    parts = {"weights", "packing", "forward", "activation", "input_gradient", "weight_gradient",
             "bias_gradient", "rest"}
    for name, method in methods.items():
        assert method["ratio"] == quotient(methods["dense"]["ms"], method["ms"])
        times = dict(method["parts_ms"])
        mvue = times.pop("mvue_of_weight_gradient", None)  # a part of weight_gradient
        assert (mvue is not None) == (name != "dense")
        assert set(times) == parts | ({"decay", "search"} if name == "fst" else set())
        assert sum(times.values()) == pytest.approx(method["ms"], rel=1e-9)
        assert all(ms > 0 for part, ms in times.items() if part not in ("rest", "packing", "bias_gradient"))
        for kernels in method["chosen"].values():
            assert len(kernels) == layers
    assert methods["fst"]["chosen"]["input gradient"] == ["panel"] * layers  # TWOFOUR_TUNE=off


def test_block_runs_one_method_beside_dense(twofour):
    sizes = ["--tokens", 4, "--width", 8, "--feed-forward", 8]
    assert list(report(twofour, "block", *sizes, "--method", "fst")["methods"]) == ["dense", "fst"]
    assert list(report(twofour, "block", *sizes, "--method", "dense")["methods"]) == ["dense"]


def check_bandwidth(result, names):
    assert names == set(result["kernels"])
    for row in result["kernels"].values():
        assert row["share"] == quotient(row["gb_per_s"], result["copy_gb_per_s"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_mask_covers_every_kernel(twofour, dtype):
    operators = {"magnitude 2:4", "magnitude 1:4", "magnitude 4:8", "transposable 2:4", "apply", "flips", "pack bits",
                 "packing"}
    training = {"soft threshold", "beta", "magnitude weight", "masked weight", "masked decay", "transposable search",
                "FP8 E4M3 rounding", "FP8 E5M2 rounding"}
    result = report(twofour, "mask", "--megabytes", 1, "--in", 64, "--dtype", dtype)
    check_bandwidth(result, operators | training)
    size, entries = 4 if dtype == "float32" else 2, result["rows"] * result["columns"]
    # Two masks of bytes; a float32 master alone; a master, bits and the forward weight.
    for name, bytes_an_entry in [("flips", 2), ("beta", 4), ("masked weight", 4 + 1 / 8 + size)]:
        row = result["kernels"][name]
        assert row["gb_per_s"] == quotient(entries * bytes_an_entry / 1e6, row["ms"])
    search = result["transposable_search"]
    assert search["ratio"] == quotient(search["convolution_ms"], search["kernel_ms"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_mvue_covers_every_estimate(twofour, dtype):
    result = report(twofour, "mvue", "--megabytes", 1, "--features", 60, "--dtype", dtype)
    check_bandwidth(result, {"approximate", "exact", "approximate into the panel"})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_decode_compares_with_dense_and_row_wise(twofour, dtype):
    result = report(twofour, "decode", "--in", 136, "--out", 20, "--megabytes", 1, "--tokens", 3, "--dtype",
                    dtype)
    assert result["weights"] > 1
    assert result["ratio"] == quotient(result["dense_ms"], result["sparse_ms"])
    assert result["ratio_to_rowwise"] == quotient(result["rowwise_ms"], result["sparse_ms"])
    assert result["share_of_read"] == quotient(result["sparse_gb_per_s"], result["read_gb_per_s"])
    packed = 20 * (136 // 2 * (4 if dtype == "float32" else 2) + 136 // 8)  # values, and half a byte a group
    assert result["sparse_gb_per_s"] == quotient(packed / 1e6, result["sparse_ms"])
    assert result["dense_ms"] == min(result["dense"].values()) == result["dense"][result["fastest_dense"]]
    assert result["rowwise_agrees"] is True


@pytest.mark.parametrize("arguments, message", [
    (["lineer"], 'did you mean "linear"?'),
    (["linear", "--in", 6], "--in 6 is not a multiple of 4"),
    (["linear", "--dtype", "int8"], "must be float32, bfloat16 or float16"),
    (["linear", "--model", "gpt5"], "llama-1b or llama2-7b"),
    (["linear", "--model", "gpt2-124m", "--in", 8], "--in"),
    (["linear", "--model", "gpt2-124m", "--layer", "middle"], "--layer"),
    (["linear", "--tokens", 0], "--tokens"),
    (["block", "--width", 6], "--width 6 is not a multiple of 4"),
    (["block", "--method", "sr-ste"], "must be s-ste, fst, dense or all"),
    (["block", "--activation", "relu"], "must be gelu or swiglu"),
    (["block", "--model", "bert"], "must be gpt2-124m"),
    (["mask", "--in", 12], "--in 12 is not a multiple of 8"),
    (["mask", "--dtype", "float64"], "must be float32, bfloat16 or float16"),
    (["mvue", "--megabytes", 0], "--megabytes"),
    (["decode", "--in", 2], "--in 2 is not a multiple of 4"),
    (["decode", "--tokens", 65], "--tokens"),
])
def test_wrong_options_get_one_line(twofour, arguments, message):
    done = twofour("bench", *arguments, fails=2)
    assert message in done.stderr and done.stdout == ""


def sweep(out, *options, program=PROGRAM):
    return subprocess.run([sys.executable, ROOT / "bench/kernels.py", "--quick", "--threads", "1", "--out", out, *options],
                          env={**os.environ, "TWOFOUR": program}, capture_output=True, text=True, timeout=300)


def test_what_was_measured_before_a_failure_is_in_the_file(tmp_path):
    program = tmp_path / "twofour"
    program.write_text(f'#!/bin/sh\n[ "$2" = mask ] && exit 1\nexec "{PROGRAM}" "$@"\n')
    program.chmod(0o755)
    out = tmp_path / "kernels.json"
    done = sweep(out, "--parts", "decode", "mask", "mvue", program=str(program))
    assert done.returncode != 0 and "twofour bench mask" in done.stderr
    results = json.loads(out.read_text())
    assert len(results["decode"]) == 1 and results["mask"] == [] and "mvue" not in results


def test_the_sweep_runs_and_writes_its_results(tmp_path):
    out = tmp_path / "kernels.json"
    done = sweep(out)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert set(results) == {"machine", "models", "blocks", "decode", "mask", "mvue", "sweep", "least"}
    least = results["least"]
    rows = results["models"] + results["sweep"]
    assert least["weight gradient"]["least"] == min(
        row["products"]["weight_gradient"]["chosen_ratio"] for row in rows)
    assert min(part["least"] for name, part in least.items() if name != "forward over ATen") == min(
        product["chosen_ratio"] for row in rows for product in row["products"].values())
    products = sum(part["products"] for name, part in least.items() if name.startswith("where"))
    assert products == 6 and least["weight gradient"]["products"] == 2  # two shapes
    assert results["machine"]["cpu"] in done.stdout and "weight gradient: 2 products" in done.stdout
