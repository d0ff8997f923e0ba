"""A run borrows the settings of memory, and gives them back."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.memory import reused


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
