"""How the program's threads wait for work, as reported by libgomp (OMP_DISPLAY_ENV)."""

import os
import re
import subprocess

import pytest

from conftest import PROGRAM


def waiting(**environment):
    """The wait policy and the number of spins of a program that starts with `environment`."""
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=100, check=True,
                          env={**clean, "OMP_DISPLAY_ENV": "verbose", **environment})
    assert done.stdout.startswith("twofour ")
    return tuple(re.search(rf"{name} = '(\w+)'", done.stderr)[1] for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"))


def test_threads_sleep_after_a_short_spin():
    assert int(waiting()[1]) <= 10_000


@pytest.mark.parametrize("environment, expected", [
    ({"GOMP_SPINCOUNT": "77"}, ("PASSIVE", "77")),
    ({"OMP_WAIT_POLICY": "passive"}, ("PASSIVE", "0")),
    ({"OMP_WAIT_POLICY": "active"}, ("ACTIVE", "30000000000")),
])
def test_what_the_user_says_stands(environment, expected):
    assert waiting(**environment) == expected


def test_arguments_and_the_name_of_the_process_stay(corpus):
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    with subprocess.Popen([PROGRAM, "tokenizer", "encode", "--tokenizer", corpus / "tokenizer"],
                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=clean) as process:
        path = f"/proc/{process.pid}"
        while not re.search(rb"\0GOMP_SPINCOUNT=", open(f"{path}/environ", "rb").read()):
            assert process.poll() is None
        assert open(f"{path}/comm").read() == os.path.basename(PROGRAM) + "\n"
        assert open(f"{path}/cmdline", "rb").read().split(b"\0")[1:3] == [b"tokenizer", b"encode"]
        process.kill()
