"""A run borrows the settings of memory, and gives them back; a job gives back what a backlog took."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import memory
from pipelines.memory import _glibc, given_back, held_bytes, kept_small, one_heap, reused


def judge(rows: int) -> pa.Array:
    assert pa.default_memory_pool().backend_name == "system"
    if not rows:
        raise ValueError("no rows")
    return pa.array(range(rows))


def test_arrows_pool_is_as_before_after_a_run_even_where_it_failed():
    before = pa.default_memory_pool().backend_name
    with reused():
        kept = judge(1000)
    assert pa.default_memory_pool().backend_name == before
    assert kept[-1].as_py() == 999
    with pytest.raises(ValueError, match="no rows"), reused():
        judge(0)
    assert pa.default_memory_pool().backend_name == before


@pytest.mark.skipif(_glibc() is None, reason="needs glibc")
def test_a_job_borrows_one_heap_for_arrow_too():
    before = pa.default_memory_pool().backend_name
    with one_heap():
        assert pa.default_memory_pool().backend_name == "system"
        kept = pa.array(range(1000))
    assert pa.default_memory_pool().backend_name == before
    assert kept[-1].as_py() == 999


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(_glibc() is None or not Path("/proc/self/statm").exists(), reason="needs Linux with glibc")
def test_what_small_pieces_keep_from_the_system_is_given_back():
    taken = [np.ones(250) for _ in range(100_000)]
    full = resident()
    # what stays lies between what goes, so that no heap ends earlier
    kept = taken[::50]
    del taken
    given_back()
    assert full - resident() > 100e6
    assert all((piece == 1.0).all() for piece in kept)


@pytest.mark.skipif(_glibc() is None or held_bytes() is None, reason="needs Linux with glibc")
def test_gaps_between_batches_are_given_back_as_soon_as_they_have_grown_too_large(monkeypatch):
    with reused():
        taken = [np.ones(250) for _ in range(100_000)]
        kept = taken[::50]
        del taken
        full = resident()
        kept_small()
        assert full - resident() < 20e6
        monkeypatch.setattr(memory, "_MOST_MORE", 64 << 20)
        kept_small()
        less = resident()
        assert full - less > 100e6
        # what was given back once is not asked for again and again
        monkeypatch.setattr(memory, "given_back", lambda: pytest.fail("nothing has grown since"))
        kept_small()
        assert all((piece == 1.0).all() for piece in kept)


def test_where_nobody_says_what_a_process_holds_nothing_is_given_back(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path / "no-such-file")
    monkeypatch.setattr(memory, "given_back", lambda: pytest.fail("nothing is known"))
    assert held_bytes() is None
    kept_small()
