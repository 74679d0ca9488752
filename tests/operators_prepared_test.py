"""Weights prepared once for torch.ops.twofour; products of several threads and in forked children."""

import copy
import io
import threading

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import grad

from torch_operators import DTYPES, close, error, fails, gradients, ops, run_program, sparse_weight

Weight24 = torch.classes.twofour.Weight24


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(11)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (80,)])
def test_a_prepared_weight_is_the_weight_at_that_time(dtype, shape):
    x, weight, bias = torch.randn(*shape, 64).to(dtype), sparse_weight(40, 64, dtype), torch.randn(40).to(dtype)
    prepared, before = Weight24(weight.t().contiguous().t()), weight.clone()
    weight.mul_(2)
    for _ in range(2):
        close(ops.linear24_prepared(x, prepared, bias), F.linear(x, before, bias), dtype)
    assert prepared.dense().equal(before)
    prepared.dense().zero_()
    prepared.update(weight)
    close(ops.linear24_prepared(x, prepared), F.linear(x, weight), dtype)
    stored = io.BytesIO()
    torch.save(prepared, stored)
    stored.seek(0)
    for again in (copy.deepcopy(prepared), torch.load(stored, weights_only=False)):
        prepared.update(before)
        close(ops.linear24_prepared(x, again), F.linear(x, weight), dtype)
        prepared.update(weight)


def test_a_prepared_weight_has_gradients_of_x_and_the_bias():
    x, weight, bias = torch.randn(2, 5, 16), sparse_weight(8, 16), torch.randn(8)
    prepared = Weight24(weight)
    ours = gradients(lambda x, bias: ops.linear24_prepared(x, prepared, bias), x, bias)
    for one, two in zip(ours, gradients(lambda x, bias: F.linear(x, weight, bias), x, bias)):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
    x.requires_grad_()
    out = ops.linear24_prepared(x, prepared)
    prepared.update(2 * weight)
    torch.testing.assert_close(grad(out.sum(), x)[0], torch.ones(2, 5, 8) @ weight)


def test_a_prepared_weight_refuses_what_does_not_fit():
    weight = sparse_weight(8, 16)
    prepared, full = Weight24(weight), weight.clone()
    full[3, 8:12] = 1
    fails("row 3 keeps more than two of the four entries from column 8", Weight24, full)
    fails("row 3 keeps more than two", prepared.update, full)
    assert prepared.dense().equal(weight)
    fails("15 columns are not a multiple of 4", Weight24, torch.zeros(8, 15))
    fails("must be a matrix", Weight24, torch.zeros(8))
    fails("float32, bfloat16 or float16 is needed, not Double", Weight24, weight.double())
    fails("lies on the CPU, not on meta", Weight24, weight.to("meta"))
    fails("x's width is 12, but 16 is needed", ops.linear24_prepared, torch.zeros(2, 12), prepared)
    fails("x is BFloat16, but the prepared weight Float", ops.linear24_prepared, weight.bfloat16(), prepared)
    fails("the bias' length is 5, but 8", ops.linear24_prepared, weight, prepared, torch.zeros(5))


def test_a_compiled_function_calls_a_prepared_weight_outside_its_graph():
    weight, x = sparse_weight(8, 16), torch.randn(3, 16)
    prepared = Weight24(weight)
    compiled = torch.compile(lambda x: ops.linear24_prepared(x + 1, prepared).relu(), backend="aot_eager")
    torch.testing.assert_close(compiled(x), F.linear(x + 1, weight).relu())


# Threads and processes

def test_threads_do_not_disturb_each_other():
    weights, x = [sparse_weight(256, 256) for _ in range(4)], torch.randn(80, 256)
    shared = torch.nn.Parameter(sparse_weight(256, 256))
    expected, prepared = [F.linear(x, weight) for weight in weights], [Weight24(weight) for weight in weights]
    ones, wrong = torch.ones(80, 256), []

    def work(thread):
        for call in range(60):
            i = (thread + call) % 4
            results = [(ops.linear24(x, weights[i]), expected[i]),
                       (ops.linear24_prepared(x, prepared[i]), expected[i])]
            inputs = torch.randn(80, 256, requires_grad=True)
            out = ops.linear24(inputs, shared, mvue=True, seed=thread, step=call)
            dx, dw = grad(out.sum(), [inputs, shared])
            results += [(dx, ones @ shared.detach()), (dw, ops.mvue24(ones, thread, call).t() @ inputs)]
            wrong.extend((thread, call) for one, two in results if error(one.detach(), two) > 1e-4)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


FORKS = """
import os, signal, sys, threading, torch
torch.ops.load_library(sys.argv[1])
ops, weight, x = torch.ops.twofour, torch.randn(1024, 1024), torch.randn(512, 1024)
weight *= ops.magnitude_mask(weight, 2, 4)
prepared = torch.classes.twofour.Weight24(weight)

def product(tokens):
    return ops.linear24(x[:tokens], weight)

def prepared_product(tokens):
    return ops.linear24_prepared(x[:tokens], prepared)

def measured_product(tokens):  # TWOFOUR_TUNE=refresh: a shape that is new in every call
    shapes[0] += 4
    return ops.linear24(x[:tokens, :shapes[0]], weight[:, :shapes[0]])

def work(call):
    while not stopped.is_set():
        began.set()
        call(512)

def child(call):
    signal.alarm(20)  # ends a child that waits for ever
    torch.set_num_threads(1)
    os._exit(0 if call(8).shape == (8, 1024) else 3)

for call in (product, prepared_product, measured_product):
    shapes, began, stopped = [512], threading.Event(), threading.Event()
    call(8)
    thread = threading.Thread(target=work, args=(call,))
    thread.start()
    began.wait()
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            child(call)
        print(call.__name__, os.waitpid(pid, 0)[1])
    stopped.set()
    thread.join()
"""


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(tmp_path):
    run = run_program(FORKS, XDG_CACHE_HOME=str(tmp_path), TWOFOUR_TUNE="refresh")
    statuses = [line.split() for line in run.stdout.splitlines()]
    assert len(statuses) == 12 and all(status == "0" for _, status in statuses), statuses
