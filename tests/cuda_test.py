"""The CUDA kernels compile for compute capabilities 8.0 and 9.0, and the operators on CUDA tensors compile and find
every kernel that they call. Nothing runs, since that needs a GPU."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("TWOFOUR_OPS", ROOT / "build" / "libtwofour_ops.so")).parent
NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
KERNELS = sorted((ROOT / "src/twofour/kernels/cuda").glob("*.cu"))
OPERATORS = sorted((ROOT / "src/twofour/sparse").glob("operators_cuda*.cc"))
LAUNCH = ROOT / "src/twofour/kernels/cuda/cuda_launch.cc"

pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc was not found")


def compiled(command, source, folder):
    out = folder / f"{source.stem}.{source.suffix[1:]}.o"
    done = subprocess.run([*command, "-c", source, "-o", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr
    return out


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    command = [NVCC, "-std=c++20", "--expt-relaxed-constexpr", "--fmad=false", f"-I{ROOT / 'src'}",
               "-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=sm_90"]
    return {source.name: compiled(command, source, folder) for source in KERNELS}


def compiled_for_host(source, folder):
    include = pathlib.Path(torch.__file__).parent / "include"
    command = [shutil.which("c++"), "-std=c++20", "-DTWOFOUR_CUDA", "-DAT_PER_OPERATOR_HEADERS",
               "-DTORCH_ASSERT_ONLY_METHOD_OPERATORS", f"-I{ROOT / 'src'}", "-isystem",
               BUILD / "system_include", "-isystem", include, "-isystem",
               include / "torch/csrc/api/include"]
    return compiled(command, source, folder)


def symbols(objects, option):
    done = subprocess.run(["nm", "-C", "--format=posix", option, *objects], capture_output=True, text=True,
                          check=True)
    names = {re.sub(r" [A-Za-z] [0-9a-f ]*$", "", line) for line in done.stdout.splitlines()}
    return {name for name in names if "twofour::kernels::cuda::" in name}


def test_every_kernel_compiles(kernels):
    assert {"fp8.cu", "mask.cu", "mvue.cu", "packed24.cu", "soft_threshold.cu"} <= set(kernels)


def test_the_operators_find_every_kernel_that_they_call(kernels, tmp_path):
    operators = [compiled_for_host(source, tmp_path) for source in OPERATORS]
    used = symbols([*operators, *kernels.values()], "-u")
    defined = symbols([*kernels.values(), compiled_for_host(LAUNCH, tmp_path)], "--defined-only")
    assert len(used) > 20
    assert used - defined == set()
