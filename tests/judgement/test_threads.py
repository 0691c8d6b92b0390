import subprocess
import sys

import flint
import mpmath
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import Paper, equal
from lora_proofs.judgement.threads import Limit, one_thread
from lora_proofs.verify import verify


def threads():
    return [library["num_threads"] for library in threadpool_info()]


def test_every_library_is_on_one_thread_within_the_block():
    np.linalg.svd(np.eye(3))
    before = threads()
    with one_thread() as outer:
        assert set(threads()) == {1}
        with one_thread() as inner:
            assert inner is outer
        assert set(threads()) == {1}
    assert threads() == before


def test_the_precision_is_given_back():
    before = mpmath.mp.prec, flint.ctx.prec
    with one_thread() as limit:
        for digits in (16, 64, 6):
            limit.set_digits(digits)
            assert (mpmath.mp.dps, flint.ctx.dps) == (digits, digits)
    assert (mpmath.mp.prec, flint.ctx.prec) == before


def test_renewing_finds_nothing_new_twice():
    limit = Limit()
    try:
        assert limit.renew()
        assert not limit.renew()
    finally:
        limit.lift()


@pytest.mark.needs("torch")
def test_a_library_that_appears_within_the_block_is_limited():
    code = """
from lora_proofs.judgement.threads import one_thread
from threadpoolctl import threadpool_info
import os
with one_thread() as limit:
    few = len(threadpool_info())
    import torch
    assert limit.renew() and not limit.renew()
    assert len(threadpool_info()) > few
    print({library["num_threads"] for library in threadpool_info()})
"""
    env = {"OMP_NUM_THREADS": "2", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout == "{1}\n", done.stderr


@pytest.mark.parametrize("appears", [False, True])
def test_a_check_that_loads_a_library_is_looked_at_again(monkeypatch, appears):
    drawn = []

    def check(case):
        """Statement."""
        drawn.append(case.rng.random())
        return equal(drawn[-1] + len(drawn), drawn[0] + 1 + appears)

    paper = Paper(key="paper", title="", authors=(), year=2024, arxiv="")
    claim = paper.lemma("1")(check)
    with one_thread() as limit:
        news = iter([appears])
        monkeypatch.setattr(limit, "renew", lambda: next(news, False))
        verdict = verify(claim, Case())
    assert len(drawn) == 1 + appears
    assert len(set(drawn)) == 1  # the same instance
    assert verdict.outcome == "holds"
