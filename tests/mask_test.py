"""mask show, apply, diff and extract, against numpy and transformers, for folders, safetensors, .npz and .t24."""

import itertools
import json
import shutil
import struct

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models_test import random_model, write_ids

LINEARS = {"gpt2": ("c_attn", "c_proj", "c_fc"), "llama2": ("_proj",),
           "pythia": ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")}


def linear_names(family, tensors):
    return [name for name in tensors if name.endswith(tuple(f"{linear}.weight" for linear in LINEARS[family]))]


def is_transposed(family):
    return family == "gpt2"


def random_masks(family, tensors, seed, kept=2, group=4):
    """Random N:M masks over [out, in] of all linear layers."""
    random = numpy.random.default_rng(seed)
    masks = {}
    for name in linear_names(family, tensors):
        shape = tensors[name].T.shape if is_transposed(family) else tensors[name].shape
        keys = random.random((tensors[name].numel() // group, group))
        masks[name] = (keys.argsort(1) < kept).reshape(*shape).astype(numpy.uint8)
    return masks


def write_masks(path, masks):
    arrays = {f"{name}.mask": numpy.packbits(mask) for name, mask in masks.items()}
    if path.suffix == ".npz":
        numpy.savez(path, **arrays)
    else:
        save_file({name: torch.from_numpy(array) for name, array in arrays.items()}, path,
                  {f"{name}.mask": str(list(mask.shape)) for name, mask in masks.items()})
    return path


def read_t24(path):
    """As docs/model-format.md describes the format."""
    content = path.read_bytes()
    magic, version, count, digits, size = struct.unpack_from("<8sIIQQ", content)
    assert (magic, version, size) == (b"T24MASKS", 1, len(content))
    masks, place = {}, 32
    for _ in range(count):
        rows, columns, kept, group, length = struct.unpack_from("<QQHHI", content, place)
        name = content[place + 24:place + 24 + length].decode()
        place += (24 + length + 7) // 8 * 8
        candidates = [[i in positions for i in range(group)] for positions in itertools.combinations(range(group), kept)]
        fitting = 0
        while len(candidates)**(fitting + 1) <= 2**128:
            fitting += 1
        indices = []
        for _ in range(-(-rows * columns // group // fitting)):
            integer = int.from_bytes(content[digits:digits + 16], "little")
            digits += 16
            for _ in range(fitting):
                indices.append(integer % len(candidates))
                integer //= len(candidates)
        digits += 16
        mask = numpy.array(candidates, dtype=numpy.uint8)[indices]
        masks[name] = mask.reshape(-1)[:rows * columns].reshape(rows, columns)
    assert digits == len(content)
    return masks


def read_masks(path, shapes):
    """Those of the file, with the shapes of the given ones."""
    if path.suffix == ".t24":
        return read_t24(path)
    arrays = dict(numpy.load(path)) if path.suffix == ".npz" else {k: v.numpy() for k, v in load_file(path).items()}
    assert arrays.keys() == {f"{name}.mask" for name in shapes}
    bits = {name: numpy.unpackbits(arrays[f"{name}.mask"]) for name in shapes}
    return {name: bits[name][:mask.size].reshape(mask.shape) for name, mask in shapes.items()}


def same_masks(left, right):
    return left.keys() == right.keys() and all((left[name] == right[name]).all() for name in left)


@pytest.fixture(params=["gpt2", "llama2", "pythia"])
def family(request):
    return request.param


@pytest.fixture
def dense(family, tmp_path):
    random_model(family).save_pretrained(tmp_path / "dense")
    return tmp_path / "dense"


@pytest.fixture
def masks(family, dense):
    return random_masks(family, load_file(dense / "model.safetensors"), seed=3)


def bits(tensor):
    return tensor.contiguous().view(torch.uint8).numpy()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["masks.npz", "masks.safetensors"])
def test_apply_zeroes_what_numpy_zeroes_and_extract_gives_the_masks_back(twofour, tmp_path, family, masks, dtype, kind):
    random_model(family).to(getattr(torch, dtype)).save_pretrained(tmp_path / "dense")
    dense = load_file(tmp_path / "dense" / "model.safetensors")
    file = write_masks(tmp_path / kind, masks)
    done = twofour("mask", "apply", "--model", tmp_path / "dense", "--masks", file, "--out", tmp_path / "sparse",
                   "--json")
    summary = json.loads(done.stdout)
    assert summary["masked_layers"] == len(masks) and summary["other_linear_layers"] == []
    assert summary["removed"] == sum(int((mask == 0).sum()) for mask in masks.values())
    sparse = load_file(tmp_path / "sparse" / "model.safetensors")
    assert sparse.keys() == dense.keys()
    for name, values in dense.items():
        kept = torch.ones_like(values)
        if name in masks:
            kept = torch.from_numpy(masks[name])
            kept = kept.T if is_transposed(family) else kept
        expected = torch.where(kept.bool(), values, torch.zeros((), dtype=values.dtype))
        assert (bits(sparse[name]) == bits(expected)).all(), name
    assert same_masks(read_masks(tmp_path / "sparse" / "masks.safetensors", masks), masks)
    assert (tmp_path / "sparse" / "generation_config.json").read_bytes() == (
        tmp_path / "dense" / "generation_config.json").read_bytes()
    AutoModelForCausalLM.from_pretrained(tmp_path / "sparse")
    for out in ("a.npz", "a.safetensors", "a.t24"):
        done = twofour("mask", "extract", "--dense", tmp_path / "dense", "--sparse", tmp_path / "sparse",
                       "--out", tmp_path / out)
        assert "all else is equal" in done.stdout
        assert same_masks(read_masks(tmp_path / out, masks), masks)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_masks_put_on_a_dense_folder_run_as_the_folder_that_apply_writes(twofour, tmp_path, family, dtype):
    random_model(family).to(getattr(torch, dtype)).save_pretrained(tmp_path / "dense")
    masks = random_masks(family, load_file(tmp_path / "dense" / "model.safetensors"), seed=3)
    random = numpy.random.default_rng(1)
    ids, prompt = write_ids(tmp_path / "ids.bin", random.integers(0, 97, 300)), write_ids(tmp_path / "p.bin", [5, 9, 2])
    npz = write_masks(tmp_path / "m.npz", masks)
    twofour("mask", "apply", "--model", tmp_path / "dense", "--masks", npz, "--out", tmp_path / "sparse")
    twofour("mask", "extract", "--dense", tmp_path / "dense", "--sparse", tmp_path / "sparse", "--out", tmp_path / "m.t24")

    def perplexity(*arguments):
        return json.loads(twofour("eval", "perplexity", *arguments, "--data", ids, "--context", 32, "--dtype", dtype,
                                  "--json").stdout)

    def run(*arguments):
        results = [perplexity(*arguments, *more) for more in ([], ["--stream"], ["--weights", "dense"])]
        for more in ([], ["--weights", "packed"]):
            results.append(json.loads(twofour("generate", *arguments, "--prompt-ids", prompt, "--max-tokens", 20,
                                              "--dtype", dtype, *more, "--json").stdout))
        return [{name: value for name, value in result.items() if "second" not in name} for result in results]

    expected = run("--model", tmp_path / "sparse")
    assert expected[-1]["packed_layers"] == len(masks)
    for file in (tmp_path / "m.t24", npz, tmp_path / "sparse"):
        assert run("--model", tmp_path / "dense", "--masks", file) == expected
    assert perplexity("--model", tmp_path / "dense")["nll"] != expected[0]["nll"]


def test_masks_to_run_with_are_checked_like_those_to_apply(twofour, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "dense")
    random_model("gpt2").save_pretrained(tmp_path / "gpt2")
    masks = random_masks("llama2", load_file(tmp_path / "dense" / "model.safetensors"), 1)
    name = "model.layers.0.self_attn.q_proj.weight"
    file = write_masks(tmp_path / "m.safetensors", masks)
    twofour("convert", file, tmp_path / "m.t24", "--to", "t24", "--model", tmp_path / "dense")
    ids = write_ids(tmp_path / "ids.bin", range(90))

    def error(masks, model="dense"):
        arguments = ["--model", tmp_path / model, "--masks", masks]
        first = twofour("eval", "perplexity", *arguments, "--data", ids, fails=1).stderr
        assert twofour("generate", *arguments, "--prompt-ids", ids, fails=1).stderr == first
        return first

    for good in (file, tmp_path / "m.t24"):
        assert "no such weight" in error(good, "gpt2")
    wrong = write_masks(tmp_path / "wrong.safetensors", {name: masks[name].reshape(128, -1)})
    assert f'"{name}" is for [128, 32], but the weight is [64, 64]' in error(wrong)
    embedding = write_masks(tmp_path / "e.npz", {"model.embed_tokens.weight": numpy.ones((97, 64), dtype=numpy.uint8)})
    assert "not the weight of a linear layer" in error(embedding)
    assert "holds no masks" in error(tmp_path / "dense")
    assert "No such file" in error(tmp_path / "absent.t24")
    (tmp_path / "cut.t24").write_bytes((tmp_path / "m.t24").read_bytes()[:-1])
    assert "its header asks for" in error(tmp_path / "cut.t24")
    some = write_masks(tmp_path / "some.npz", {name: masks[name]})
    done = twofour("eval", "perplexity", "--model", tmp_path / "dense", "--masks", some, "--data", ids)
    assert f"{len(masks) - 1} linear layers have no mask" in done.stderr


def test_t24_takes_the_masks_of_every_command_and_refuses_what_is_not_grouped(twofour, tmp_path, family, dense, masks):
    npz = write_masks(tmp_path / "a.npz", masks)
    twofour("convert", npz, tmp_path / "a.t24", "--to", "t24", "--model", dense)
    assert same_masks(read_t24(tmp_path / "a.t24"), masks)
    entries = sum(mask.size for mask in masks.values())
    # Each of these small layers has a header and an integer that is not full.
    assert 8 * (tmp_path / "a.t24").stat().st_size < 0.654 * entries + 8 * 150 * len(masks)
    twofour("convert", tmp_path / "a.t24", tmp_path / "b.npz", "--to", "npz", "--model", dense)
    assert same_masks(read_masks(tmp_path / "b.npz", masks), masks)
    twofour("mask", "apply", "--model", dense, "--masks", tmp_path / "a.t24", "--out", tmp_path / "sparse")
    twofour("convert", tmp_path / "sparse", tmp_path / "c.t24", "--to", "t24")
    assert (tmp_path / "c.t24").read_bytes() == (tmp_path / "a.t24").read_bytes()
    # It holds the shapes.
    shown = json.loads(twofour("mask", "show", tmp_path / "a.t24", "--json").stdout)
    assert {layer["name"]: (layer["shape"], layer["pattern"]) for layer in shown["layers"]} == {
        name: (list(mask.shape), "2:4") for name, mask in masks.items()}
    assert json.loads(twofour("mask", "diff", tmp_path / "a.t24", npz, "--json").stdout)["total"]["flips"] == 0
    name = list(masks)[1]
    masks[name][3, 4:8] = [1, 1, 1, 0]
    bad = write_masks(tmp_path / "bad.npz", masks)
    error = twofour("convert", bad, tmp_path / "bad.t24", "--to", "t24", "--model", dense, fails=1).stderr
    assert f'the mask of "{name}" is not N:M: in row 3, columns 4 to 7 keep 3 of 4, the groups before 2' in error
    assert not (tmp_path / "bad.t24").exists()


def test_a_folder_with_zeros_is_as_good_as_its_masks(twofour, tmp_path, family, dense, masks):
    file = write_masks(tmp_path / "m.npz", masks)
    twofour("mask", "apply", "--model", dense, "--masks", file, "--out", tmp_path / "a")
    (tmp_path / "a" / "masks.safetensors").unlink()
    twofour("mask", "apply", "--model", dense, "--masks", tmp_path / "a", "--out", tmp_path / "b")
    assert same_masks(read_masks(tmp_path / "b" / "masks.safetensors", masks), masks)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kept, group", [(2, 4), (1, 4), (4, 8), (2, 8), (1, 2)])
def test_show_counts_as_numpy_does(twofour, tmp_path, family, dense, kept, group):
    tensors = load_file(dense / "model.safetensors")
    masks = random_masks(family, tensors, 5, kept, group)
    masks = {name: mask for name, mask in masks.items() if mask.shape[1] % group == 0}
    names = list(masks)
    masks[names[1]] = numpy.random.default_rng(1).integers(0, 2, masks[names[1]].shape).astype(numpy.uint8)
    file = write_masks(tmp_path / "masks.safetensors", masks)
    shown = json.loads(twofour("mask", "show", file, "--json").stdout)
    assert {layer["name"] for layer in shown["layers"]} == set(masks)
    for layer in shown["layers"]:
        mask = masks[layer["name"]]
        assert layer["shape"] == list(mask.shape) and layer["entries"] == mask.size
        assert layer["zeros"] == (mask == 0).sum()
        expected = "unstructured" if layer["name"] == names[1] else f"{kept}:{group}"
        # One of every two is two of every four.
        assert layer["pattern"] == ("2:4" if (kept, group) == (1, 2) and expected == "1:2" else expected)
    assert shown["zeros"] == sum((mask == 0).sum() for mask in masks.values())
    # The model's other layers are shown as dense; an .npz needs the model for shapes.
    write_masks(tmp_path / "masks.npz", {names[0]: masks[names[0]]})
    shown = json.loads(twofour("mask", "show", tmp_path / "masks.npz", "--model", dense, "--json").stdout)
    assert {layer["name"] for layer in shown["layers"]} == set(linear_names(family, tensors))
    assert sum(layer["pattern"] == "dense" for layer in shown["layers"]) == len(shown["layers"]) - 1
    bare = json.loads(twofour("mask", "show", tmp_path / "masks.npz", "--json").stdout)
    assert bare["layers"] == [{"name": names[0], "shape": None, "entries": (masks[names[0]].size + 7) // 8 * 8,
                               "zeros": bare["zeros"], "pattern": None}]


def test_show_draws_the_density(twofour, tmp_path):
    mask = numpy.zeros((4, 48), dtype=numpy.uint8)
    mask[:, 24:] = 1
    mask[0, :24] = 1
    mask[3, 47] = 0
    file = write_masks(tmp_path / "masks.safetensors", {"a.weight": mask, "b.weight": 1 - mask})
    table = twofour("mask", "show", file).stdout
    assert "▂" * 12 + "█" * 11 + "▇" in table and "▆" * 12 + " " * 11 + "▁" in table
    assert len(table.splitlines()) == 4
    picture = twofour("mask", "show", file, "--layer", "^a").stdout.splitlines()
    assert "b.weight" not in "".join(picture)
    drawn = [line for line in picture if line.startswith("|")]
    half = "|" + " " * 24 + "█" * 24 + "|"
    assert drawn == ["|" + "█" * 48 + "|", half, half, "|" + " " * 24 + "█" * 23 + " |"]


def test_show_of_a_folder_takes_its_zeros_or_its_compressed_masks(twofour, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "dense")
    dense = load_file(tmp_path / "dense" / "model.safetensors")
    masks = random_masks("llama2", dense, 7)
    masks = {name: mask for name, mask in masks.items() if "mlp" in name}
    twofour("mask", "apply", "--model", tmp_path / "dense", "--masks", write_masks(tmp_path / "m.npz", masks),
            "--out", tmp_path / "sparse")
    twofour("convert", tmp_path / "sparse", tmp_path / "compressed", "--to", "compressed-tensors")
    shutil.copytree(tmp_path / "sparse", tmp_path / "zeros")
    (tmp_path / "zeros" / "masks.safetensors").unlink()
    expected = {name: "2:4" if name in masks else "dense" for name in linear_names("llama2", dense)}
    for folder in ("sparse", "zeros", "compressed"):
        shown = json.loads(twofour("mask", "show", tmp_path / folder, "--json").stdout)
        assert {layer["name"]: layer["pattern"] for layer in shown["layers"]} == expected, folder
    shown = json.loads(twofour("mask", "show", tmp_path / "dense", "--json").stdout)
    assert shown["zeros"] == 0 and {layer["pattern"] for layer in shown["layers"]} == {"dense"}


def test_diff_counts_as_numpy_does(twofour, tmp_path, family, dense, masks):
    other = random_masks(family, load_file(dense / "model.safetensors"), seed=4)
    names = list(masks)
    del other[names[0]]
    del masks[names[1]]
    left = write_masks(tmp_path / "a.safetensors", masks)
    for right in (write_masks(tmp_path / "b.safetensors", other), write_masks(tmp_path / "b.npz", other)):
        found = json.loads(twofour("mask", "diff", left, right, "--json").stdout)
        assert found["only_in_a"] == [names[0]] and found["only_in_b"] == [names[1]]
        assert {layer["name"] for layer in found["layers"]} == set(names[2:])
        flips = 0
        for layer in found["layers"]:
            a, b = masks[layer["name"]], other[layer["name"]]
            assert layer["entries"] == a.size
            assert layer["kept_in_both"] == (a & b).sum() and layer["kept_in_either"] == (a | b).sum()
            assert layer["flips"] == (a != b).sum()
            assert layer["jaccard"] == pytest.approx((a & b).sum() / (a | b).sum())
            assert layer["equal"] == pytest.approx((a == b).mean())
            flips += layer["flips"]
        assert found["total"]["flips"] == flips
    text = twofour("mask", "diff", left, right).stdout
    assert f"only in {left}: {names[0]}" in text and f"only in {right}: {names[1]}" in text
    same = json.loads(twofour("mask", "diff", left, left, "--model", dense, "--json").stdout)
    assert same["total"]["jaccard"] == 1 and same["total"]["flips"] == 0


def test_extract_refuses_updated_weights_unless_allowed(twofour, tmp_path, family, dense, masks):
    file = write_masks(tmp_path / "m.npz", masks)
    twofour("mask", "apply", "--model", dense, "--masks", file, "--out", tmp_path / "sparse")
    tensors = load_file(tmp_path / "sparse" / "model.safetensors")
    name = list(masks)[2]
    kept = tensors[name].nonzero()[:5]
    for row, column in kept:
        tensors[name][row, column] *= 1.5
    save_file(tensors, tmp_path / "sparse" / "model.safetensors", {"format": "pt"})
    arguments = ["mask", "extract", "--dense", dense, "--sparse", tmp_path / "sparse",
                 "--out", tmp_path / "out.safetensors"]
    error = twofour(*arguments, fails=1).stderr
    assert f'5 values of tensor "{name}"' in error and "--allow-updated" in error
    assert not (tmp_path / "out.safetensors").exists()
    done = json.loads(twofour(*arguments, "--allow-updated", "--json").stdout)
    assert done["updated"] == [{"name": name, "values": 5}]
    assert same_masks(read_masks(tmp_path / "out.safetensors", masks), masks)
    # A tensor that is no linear layer may not differ either, nor lose values.
    tensors = load_file(dense / "model.safetensors")
    norm = next(name for name in tensors if "norm.weight" in name or "ln_1.weight" in name)
    tensors[norm][3] = 0
    save_file(tensors, tmp_path / "sparse" / "model.safetensors", {"format": "pt"})
    assert f'1 values of tensor "{norm}"' in twofour(*arguments, "--force", fails=1).stderr


def test_bad_calls_are_refused_with_one_line(twofour, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "dense")
    random_model("gpt2").save_pretrained(tmp_path / "gpt2")
    dense = tmp_path / "dense"
    masks = random_masks("llama2", load_file(dense / "model.safetensors"), 1)
    name = "model.layers.0.self_attn.q_proj.weight"
    file = write_masks(tmp_path / "masks.safetensors", masks)

    def fails(*arguments, status=1):
        return twofour("mask", *arguments, fails=status).stderr

    def apply(masks, model=dense, out=tmp_path / "out"):
        return "apply", "--model", model, "--masks", masks, "--out", out

    assert "no such weight" in fails(*apply(file, model=tmp_path / "gpt2"))
    assert "no such weight" in fails("show", file, "--model", tmp_path / "gpt2")
    wrong = write_masks(tmp_path / "wrong.safetensors", {name: masks[name].reshape(masks[name].shape[0] * 2, -1)})
    assert f'"{name}" is for [128, 32], but the weight is [64, 64]' in fails(*apply(wrong))
    assert "differ in size" in fails("diff", file, wrong)
    short = write_masks(tmp_path / "short.npz", {name: masks[name][:8]})
    assert "need 512 bytes" in fails(*apply(short))
    assert "neither" in fails(*apply(dense)) or "no masks" in fails(*apply(dense))
    assert "no masks" in fails("diff", file, dense)
    other = write_masks(tmp_path / "other.npz", {"other.weight": masks[name]})
    assert "no common layer" in fails("diff", file, other)
    assert not (tmp_path / "out").exists()
    assert "matches none" in fails("show", file, "--layer", "q_prj", status=2)
    assert "--layer" in fails("show", file, "--layer", "(", status=2)
    assert "absent" in fails("show", tmp_path / "absent")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-9])
    assert "cut.safetensors" in fails("show", tmp_path / "cut.safetensors")
    save_file({f"{name}.mask": torch.zeros(512, dtype=torch.uint8)}, tmp_path / "shape.safetensors",
              {f"{name}.mask": "[-1, [2]]"})
    assert "metadata" in fails("show", tmp_path / "shape.safetensors")
    save_file({f"{name}.mask": torch.zeros(0, dtype=torch.uint8)}, tmp_path / "shape.safetensors",
              {f"{name}.mask": "[0, 8]"})
    assert "metadata" in fails("show", tmp_path / "shape.safetensors")
    # Without a model only these sizes are known to be wrong: a byte for each entry, and nothing at all.
    for array in (masks[name], masks[name][:0].reshape(-1)):
        numpy.savez(tmp_path / "bytes.npz", **{f"{name}.mask": array})
        assert f"{list(array.shape)}, expected bits packed" in fails("show", tmp_path / "bytes.npz")
    save_file({"x": torch.zeros(3)}, tmp_path / "none.safetensors")
    assert "no mask" in fails("show", tmp_path / "none.safetensors")

    assert "exists" in fails(*apply(file, out=dense), status=2)
    assert f'--out "{dense}/out" lies inside the model\'s own folder "{dense}"' in fails(
        *apply(file, out=dense / "out"), status=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "letter.txt" in fails(*apply(file, out=tmp_path / "mine"), "--force", status=2)
    twofour("mask", *apply(file))
    twofour("mask", *apply(file), "--force")

    extract = ["extract", "--dense", dense, "--sparse"]
    assert "has zeros in place" in fails(*extract, dense, "--out", tmp_path / "e.npz")
    shutil.copytree(dense, tmp_path / "masked")  # as prune --mask-only writes it
    shutil.copy(file, tmp_path / "masked")
    assert f'its masks are in "{tmp_path}/masked/masks.safetensors"' in fails(
        *extract, tmp_path / "masked", "--out", tmp_path / "e.npz")
    assert "different sizes" in fails(*extract, tmp_path / "gpt2", "--out", tmp_path / "e.npz")
    assert "must end in" in fails(*extract, tmp_path / "out", "--out", tmp_path / "e.bin", status=2)
    assert "exists" in fails(*extract, tmp_path / "out", "--out", file, status=2)
    random_model("llama2").bfloat16().save_pretrained(tmp_path / "half")
    assert "BFloat16" in fails(*extract, tmp_path / "half", "--out", tmp_path / "e.npz")
    assert not (tmp_path / "e.npz").exists()


def test_masks_of_some_layers_leave_the_others_and_keep_earlier_masks(twofour, tmp_path):
    random_model("llama2").save_pretrained(tmp_path / "dense")
    dense = load_file(tmp_path / "dense" / "model.safetensors")
    masks = random_masks("llama2", dense, 1)
    first, second = list(masks)[:2]
    file = write_masks(tmp_path / "a.npz", {first: masks[first]})
    done = twofour("mask", "apply", "--model", tmp_path / "dense", "--masks", file, "--out", tmp_path / "a")
    assert f"{len(masks) - 1} linear layers have no mask" in done.stderr
    file = write_masks(tmp_path / "b.npz", {second: masks[second]})
    twofour("mask", "apply", "--model", tmp_path / "a", "--masks", file, "--out", tmp_path / "b")
    both = {first: masks[first], second: masks[second]}
    assert same_masks(read_masks(tmp_path / "b" / "masks.safetensors", both), both)
