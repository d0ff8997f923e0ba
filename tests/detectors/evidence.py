"""Evidence of any make, for laws that hold for all of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from detectors.evidence import Evidence, Silence
from detectors.features import FEATURE_NAMES
from detectors.schema import CALLER_CONFIDENCE, TRIGGERS
from detectors.signatures import SIGNATURES

_COUNT = st.integers(0, 10_000_000)
_TEXT = st.text(max_size=60)
_NUMBER = st.floats(0.0, 1e15) | st.sampled_from([float("nan"), float("inf"), -1.0])
_US = st.integers(-(10**17), 4 * 10**17)
_SOURCE = st.sampled_from(sorted(CALLER_CONFIDENCE))


def _by_feature(values: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, float]]:
    return st.dictionaries(st.sampled_from((*FEATURE_NAMES, "not_a_feature")), values, max_size=8)


@st.composite
def any_evidence(draw: Any) -> Evidence:
    names = st.tuples(_TEXT, _TEXT, _COUNT)
    callers = st.tuples(_TEXT | st.builds("{}:{}".format, _SOURCE, _TEXT), _SOURCE, _COUNT)
    return draw(
        st.builds(
            Evidence,
            lead=st.sampled_from(["caller", "function"]),
            first_us=_US,
            last_us=_US,
            opened_us=_US,
            invocations=_COUNT,
            failed=_COUNT,
            refused=_COUNT,
            slow=_COUNT,
            apps=st.lists(_TEXT, max_size=3).map(tuple),
            functions=st.lists(names, max_size=6).map(tuple),
            callers=st.lists(callers, max_size=3).map(tuple),
            distinct_callers=_COUNT,
            new_callers=_COUNT,
            countries=st.lists(st.tuples(_TEXT, _COUNT), max_size=5).map(tuple),
            triggers=st.lists(st.sampled_from(TRIGGERS), unique=True, max_size=3).map(tuple),
            sources=st.lists(_TEXT, max_size=5).map(tuple),
            score=_NUMBER,
            p_value=st.floats(0.0, 1.0),
            surprise=_by_feature(_NUMBER),
            share=_by_feature(st.floats(0.0, 1.0) | st.just(float("nan"))),
            value=_by_feature(_NUMBER),
            typical=_by_feature(_NUMBER),
            duration_ms=st.tuples(_NUMBER, _NUMBER),
            usual_ms=_NUMBER,
            run_seconds=st.floats(0.0, 1e9),
            deployed_ago_s=st.none() | _NUMBER,
            silence=st.none() | st.builds(Silence, expected_per_hour=_NUMBER, since_us=_US, until_us=st.just(-1) | _US),
            statuses=st.dictionaries(st.integers(0, 999), _COUNT, max_size=5),
            exception_types=st.lists(_TEXT, max_size=5).map(tuple),
            signatures=st.lists(st.sampled_from(SIGNATURES), max_size=3).map(tuple),
            paths=st.lists(_TEXT, max_size=5).map(tuple),
            sampled=st.booleans(),
            caller_confidence=st.floats(0.0, 1.0),
            caller_age_s=st.none() | _NUMBER,
        )
    )
