"""Texts as codes answer every question as the texts themselves do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st

from detectors.conform import ConformOptions, conform_table
from detectors.conform.options import NAMES
from detectors.order import content_hash, with_at
from detectors.texts import CODED, constant, is_text, plain, told

texts = st.lists(st.sampled_from(["http", "timer", "", "ünicode", None]), max_size=30)


@given(texts)
def test_codes_answer_as_their_texts_do(values: list[str | None]) -> None:
    whole = pa.array(values, pa.string())
    coded = whole.dictionary_encode()

    assert is_text(coded, "http").tolist() == [value == "http" for value in values]
    assert is_text(coded, "http", "timer").tolist() == is_text(whole, "http", "timer").tolist()
    begins = told(coded, lambda column: pc.starts_with(column, "t"))
    assert begins.tolist() == [value is not None and value.startswith("t") for value in values]
    assert plain(coded).equals(whole)


@given(texts, st.integers(0, 10), st.integers(0, 10))
def test_a_slice_answers_for_its_own_rows(values: list[str | None], begin: int, rows: int) -> None:
    coded = pa.array(values, pa.string()).dictionary_encode().slice(begin, rows)

    assert is_text(coded, "timer").tolist() == [value == "timer" for value in values[begin : begin + rows]]


def test_a_constant_is_of_the_type_that_is_asked_for() -> None:
    for kind in (pa.string(), CODED):
        column = constant("invocation", 3, kind)
        assert column.type == kind
        assert column.to_pylist() == ["invocation"] * 3


def test_names_as_codes_say_the_same_rows_with_the_same_order() -> None:
    rows = [
        {
            "TimeGenerated": f"2026-08-01T12:00:0{n}Z", "AppRoleName": f"app {n % 2}", "OperationName": "Pay",
            "DurationMs": 5.0, "Success": n > 2, "ResultCode": "200", "Type": "AppRequests",
            "Properties": f'{{"InvocationId":"id-{n}","HostInstanceId":"host-{n % 3}"}}',
        }
        for n in range(6)
    ]  # fmt: skip
    traces = [
        {
            "TimeGenerated": "2026-08-01T12:00:07Z", "AppRoleName": "app 0", "OperationName": "Pay",
            "Message": "hello", "Type": "AppTraces", "Properties": '{"InvocationId":"id-1"}',
        }
    ]  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows + traces, schema=_schema(rows + traces))
    whole = conform_table(batch, "here", 0, ConformOptions()).rows
    coded = conform_table(batch, "here", 0, ConformOptions(coded=True)).rows

    assert whole.num_rows == 7
    assert {field.name for field in coded.schema if field.type == CODED} == NAMES
    assert [plain(column).to_pylist() for column in coded.columns] == [column.to_pylist() for column in whole.columns]
    placed, plainly = with_at(coded), with_at(whole)
    assert placed["at"].to_pylist() == plainly["at"].to_pylist()
    # ties are broken by content, so that the order is the same
    np.testing.assert_array_equal(content_hash(placed), content_hash(plainly))


def _schema(rows: list[dict[str, object]]) -> pa.Schema:
    kinds = {float: pa.float64(), bool: pa.bool_()}
    found = {name: kinds.get(type(value), pa.string()) for row in rows for name, value in row.items()}
    return pa.schema(list(found.items()))
