"""A folder includes only folders above it. libtorch stays where it is allowed, and cheap."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORDER = ["base", "kernels", "text", "tensor", "sparse", "model", "checkpoint", "report", "train", "prune",
         "learn", "eval", "dist", "cli"]
WITHOUT_TORCH = ["base", "kernels", "text"]


def problems_in(root):
    found = []
    top = root / "src/twofour"
    for path in sorted(top.rglob("*")):
        if path.suffix not in (".cc", ".h", ".cu", ".cuh"):
            continue
        folder = path.relative_to(top).parts[0]
        text = path.read_text()
        name = path.relative_to(root)
        if path.suffix in (".h", ".cuh") and "#pragma once" not in text:
            found.append(f"{name} lacks #pragma once")
        for include in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text, re.M):
            if include == "torch/torch.h" or include in ("torch/all.h", "ATen/ATen.h"):
                found.append(f"{name} includes {include}, which takes many seconds a file")
            if include.startswith(("ATen/", "torch/", "c10/")) and folder in WITHOUT_TORCH:
                found.append(f"{name} includes {include}: {folder}/ does without libtorch")
            if include.startswith("twofour/"):
                other = include.split("/")[1]
                if other not in ORDER or ORDER.index(other) > ORDER.index(folder):
                    found.append(f"{name} includes {include}: {other}/ is not above {folder}/")
    return found


def test_every_include_points_upwards():
    assert problems_in(ROOT) == []


def test_a_wrong_include_is_found(tmp_path):
    def header(folder, text):
        path = tmp_path / "src" / "twofour" / folder / "x.h"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    header("base", '#pragma once\n#include "twofour/text/y.h"\n')
    header("text", "#pragma once\n#include <ATen/core/Tensor.h>\n")
    header("train", "#include <torch/torch.h>\n")
    header("kernels/masks/deep", '#pragma once\n#include "twofour/text/y.h"\n#include <c10/core/Device.h>\n')
    assert len(problems_in(tmp_path)) == 6
