"""Numbers, truths and times out of whatever type a log keeps them in; what can't be read is missing, never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detectors.conform.distinct import Distinct
from detectors.conform.slots import text

_NUMBER: Final = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
#: a Kusto timespan, as some exports write durations: [d.]hh:mm:ss[.fffffff]
_TIMESPAN: Final = re.compile(r"^(?:(\d{1,4})\.)?(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)$")
#: what Arrow parses by itself: a date, a time, at most nine digits, Z or an offset
_ZONED: Final = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[-+]\d{2}:?\d{2})$"
_MOMENT: Final = re.compile(
    r"^\s*(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?\s*(Z|z|UTC|[-+]\d{2}:?\d{2})?\s*$"
)
_SLASHED: Final = re.compile(r"^\s*(\d{1,2})/(\d{1,2})/(\d{4}),? (\d{1,2}):(\d{2}):(\d{2})(?:\.(\d+))?\s*(AM|PM)?\s*$")
_US: Final = 1_000_000
#: an epoch below these is in seconds, milliseconds, microseconds, else nanoseconds (each holds until the year 5138)
_EPOCH_UNITS: Final = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0))
_NOON_HOUR: Final = 12


def numbers(array: pa.Array) -> NDArray[np.float64]:
    """A column as float64, NaN where it is missing or not a number."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _of_values(array, numbers, np.nan)
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _to_numpy(pc.cast(array, pa.float64(), safe=False))
    if pa.types.is_boolean(kind):
        return _to_numpy(pc.cast(pc.cast(array, pa.int8()), pa.float64()))
    array = text(array)
    try:
        return _to_numpy(pc.cast(array, pa.float64()))
    except pa.ArrowInvalid:
        looks_right = pc.match_substring_regex(array, _NUMBER)
        kept = pc.utf8_trim_whitespace(pc.if_else(looks_right, array, pa.scalar(None, pa.string())))
        try:
            return _to_numpy(pc.cast(kept, pa.float64()))
        except pa.ArrowInvalid:
            return np.array([_float(value) for value in kept.to_pylist()], np.float64)


def milliseconds(array: pa.Array) -> NDArray[np.float64]:
    """A column of durations as float64 ms; plain numbers are ms already, timespans (hh:mm:ss.f) are converted."""
    if pa.types.is_dictionary(array.type):
        return _of_values(array, milliseconds, np.nan)
    if pa.types.is_duration(array.type):
        return _to_numpy(pc.cast(pc.cast(array, pa.duration("us"), safe=False), pa.int64())) / 1e3
    values = numbers(array)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        odd = np.flatnonzero(np.isnan(values) & array.is_valid().to_numpy(zero_copy_only=False))
        values = values.copy() if len(odd) else values
        for index in odd:
            values[index] = _timespan_ms(array[int(index)].as_py())
    return values


def truths(array: pa.Array) -> pa.BooleanArray:
    """A column as booleans: True, 'True', 'true', 1; anything else that is no truth value is null."""
    if pa.types.is_boolean(array.type):
        return array
    if pa.types.is_dictionary(array.type):
        return truths(array.dictionary).take(array.indices)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return pc.not_equal(array, 0)
    lower = pc.utf8_lower(text(array))
    yes = pc.is_in(lower, value_set=pa.array(["true", "1"]))
    no = pc.is_in(lower, value_set=pa.array(["false", "0"]))
    return pc.if_else(pc.or_(yes, no), yes, pa.scalar(None, pa.bool_()))


def moments(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """A column of times as int64 microseconds UTC, and where they could be read.

    Takes timestamps of any unit and zone (none means UTC), ISO 8601 text with up to nine digits of a second,
    with Z, an offset or nothing, and epochs in s, ms, us or ns as numbers or text.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        return moments(text(array))
    if pa.types.is_timestamp(kind):
        micros = pc.cast(pc.cast(array, pa.timestamp("us", kind.tz), safe=False), pa.int64())
        return micros.fill_null(0).to_numpy(), micros.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_date(kind):
        return moments(pc.cast(array, pa.timestamp("us")))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _epochs(numbers(array))
    array = text(array)
    try:
        return _nanos_to_micros(pc.cast(array, pa.timestamp("ns", "UTC")))
    except pa.ArrowInvalid:
        return _mixed_moments(array)


def _of_values(
    array: pa.DictionaryArray, read: Callable[[pa.Array], NDArray[np.float64]], missing: float
) -> NDArray[np.float64]:
    """What ``read`` makes of each distinct value, for each row."""
    found = Distinct.of(array)
    return found.spread(read(found.values), missing)


def _mixed_moments(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    bare = pc.match_substring_regex(array, r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?$")
    zoned = pc.if_else(bare, pc.binary_join_element_wise(array, "Z", ""), array)
    regular = pc.match_substring_regex(zoned, _ZONED)
    try:
        result, valid = _nanos_to_micros(
            pc.cast(pc.if_else(regular, zoned, pa.scalar(None, pa.string())), pa.timestamp("ns", "UTC"))
        )
    except pa.ArrowInvalid:
        result, valid = np.zeros(len(array), np.int64), np.zeros(len(array), np.bool_)
    result, valid = result.copy(), valid.copy()
    for index in np.flatnonzero(~valid & array.is_valid().to_numpy(zero_copy_only=False)):
        moment = parse_moment(array[int(index)].as_py())
        if moment is not None:
            result[index], valid[index] = moment, True
    return result, valid


def parse_moment(value: str) -> int | None:
    """One time as microseconds UTC, or None."""
    match = _MOMENT.match(value)
    try:
        if match:
            year, month, day, hour, minute = (int(part) for part in match.groups()[:5])
            whole = datetime(year, month, day, hour, minute, int(match[6] or 0), tzinfo=timezone.utc)
            return round(whole.timestamp()) * _US + _fraction(match[7]) - _offset_us(match[8])
        match = _SLASHED.match(value)
        if match:
            month, day, year, hour, minute, second = (int(part) for part in match.groups()[:6])
            if match[8]:
                hour = hour % _NOON_HOUR + (_NOON_HOUR if match[8] == "PM" else 0)
            whole = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
            return round(whole.timestamp()) * _US + _fraction(match[7])
        result, valid = _epochs(np.array([float(value)]))
        return int(result[0]) if valid[0] else None
    except (ValueError, OverflowError):
        return None


def _nanos_to_micros(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    return pc.cast(array, pa.int64()).fill_null(0).to_numpy() // 1_000, valid


def _epochs(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    valid = np.isfinite(values) & (np.abs(values) < 1e20)
    safe = np.where(valid, values, 0.0)
    scale = np.full(len(safe), 1e-3)
    for limit, factor in reversed(_EPOCH_UNITS):
        scale[np.abs(safe) < limit] = factor
    return np.rint(safe * scale).astype(np.int64), valid


def _offset_us(zone: str | None) -> int:
    if zone is None or zone in ("Z", "z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "")
    offset = (int(digits[:2]) * 3_600 + int(digits[2:]) * 60) * _US
    return -offset if zone[0] == "-" else offset


def _fraction(digits: str | None) -> int:
    return int(f"{digits or '0':0<6}"[:6])


def _timespan_ms(value: str) -> float:
    match = _TIMESPAN.match(value.strip())
    if not match:
        return float("nan")
    days, hours, minutes, seconds = match.groups()
    return (int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + float(seconds)) * 1e3


def _float(value: str | None) -> float:
    return float("nan") if value is None else float(value)


def _to_numpy(array: pa.Array) -> NDArray[np.float64]:
    values: NDArray[np.float64] = array.to_numpy(zero_copy_only=False)
    return values.astype(np.float64, copy=False)
