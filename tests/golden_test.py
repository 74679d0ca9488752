"""tests/golden: small, and what ../shared/golden holds."""

import pathlib

import pytest
from safetensors.numpy import load_file

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"


def test_the_files_stay_small():
    assert sum(path.stat().st_size for path in GOLDEN.iterdir()) < 200_000


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.safetensors")), ids=lambda path: path.stem)
def test_every_tensor_is_that_of_the_shared_file(shared, file):
    here, there = load_file(file), load_file(shared / "golden" / file.name)
    assert here
    for name, tensor in here.items():
        assert tensor.dtype == there[name].dtype and tensor.shape == there[name].shape
        assert tensor.tobytes() == there[name].tobytes(), name
