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


NO_FUNCTION = ("template", "struct", "class", "using", "enum", "namespace", "constexpr", "//", "}", "#")


def functions_at_the_margin(text):
    """Names of the functions that are defined without indentation."""
    names, signature = [], ""
    for line in text.splitlines():
        if signature or (line and not line[0].isspace() and not line.startswith(NO_FUNCTION)):
            signature += line
        if signature.endswith("{") and (name := re.match(r"[^(={]*?[ &*>](\w+)\(", signature)):
            names.append(name[1])
        if signature.endswith(("{", ";", "}")):
            signature = ""
    return names


def shared_names(root):
    """Functions of anonymous namespaces that two sources of a module call the same: compiled together, overload resolution
    could silently take the other's."""
    found = []
    for module in sorted(path for path in root.glob("src/twofour/*") if path.is_dir() and path.name != "kernels"):
        where = {}
        for path in sorted(module.rglob("*.cc")):
            if path.name.endswith("_test.cc"):
                continue
            for block in re.finditer(r"^namespace \{\n(.*?)^\}  // namespace\n", path.read_text(), re.S | re.M):
                for name in functions_at_the_margin(block[1]):
                    where.setdefault(name, set()).add(path.name)
        found += [f"{module.name}/: {name} in {', '.join(sorted(files))}" for name, files in where.items() if len(files) > 1]
    return found


def test_sources_that_are_compiled_together_share_no_names():
    assert shared_names(ROOT) == []


def test_a_shared_name_is_found(tmp_path):
    folder = tmp_path / "src/twofour/text"
    folder.mkdir(parents=True)
    for file, argument in (("a.cc", "int x"), ("b.cc", "double x")):
        (folder / file).write_text(f"namespace {{\n\nstd::string shape_text({argument}) {{\n  return {{}};\n}}\n\n}}  // namespace\n")
    assert shared_names(tmp_path) == ["text/: shape_text in a.cc, b.cc"]
