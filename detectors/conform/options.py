"""How records are read: who counts as the caller, whether identities are hidden, and how long a text may be."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import pyarrow as pa

from detectors.conform.slots import wanted
from detectors.schema import INVOCATION
from detectors.texts import CODED

#: characters kept of a path or message; INVOCATION promises it
MAX_TEXT: Final = 2_048
#: bytes of one JSON line or array element; Azure cuts a record at 1 MB, so more is not a record
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
#: characters of a dead letter's beginning; DEAD_LETTER promises it
MAX_RAW: Final = 4_096
#: no identity; its pseudonym stands for the key
_NOBODY: Final = "lonetree: which pseudonyms are these?"
#: hex digits of a pseudonym: 64 bits, no clash expected below a billion identities
PSEUDONYM_DIGITS: Final = 16
#: columns of INVOCATION of which a log has few distinct values, or as many as somebody deploys
NAMES: Final = frozenset(
    (
        *("record", "app", "function", "trigger", "trigger_source", "caller_source", "country", "city"),
        *("exception_type", "host_instance", "sdk_version", "app_version", "unscheduled_reason"),
    )
)


@dataclass(frozen=True)
class ConformOptions:
    """Options of every reader; the same options and bytes always give the same rows."""

    #: key in Properties in which the app's owner logs who called (say a hash of the key's id); matched without case
    caller_property: str | None = None
    #: secret, or what fetches it where it is used; with it, callers, addresses, networks and users become HMAC-SHA256
    #: pseudonyms
    pseudonym_key: bytes | Callable[[], bytes] | None = field(default=None, repr=False)
    #: the clock, microseconds UTC; a record more than a day ahead of it is a dead letter; None does not check
    now_us: int | None = None
    #: characters kept of any text
    max_string: int = MAX_TEXT
    #: of INVOCATION, that are made; None makes all
    columns: frozenset[str] | None = None
    #: whether names that come again and again are given as codes (``detectors.texts``), where nothing else is asked for
    coded: bool = False

    def pseudonym(self, identity: str) -> str:
        """The pseudonym of one identity, or the identity itself where no key is set."""
        if self.pseudonym_key is None:
            return identity
        key = self.pseudonym_key() if callable(self.pseudonym_key) else self.pseudonym_key
        return hmac.new(key, identity.encode(), hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]

    def pseudonyms(self) -> str | None:
        """What tells pseudonyms by one key from those by another, and gives no key away; None where there are none."""
        return None if self.pseudonym_key is None else self.pseudonym(_NOBODY)


def slots_of(options: ConformOptions) -> tuple[str, ...]:
    """The slots that readers look for."""
    return wanted(options.caller_property, options.columns)


def schema_of(options: ConformOptions) -> pa.Schema:
    """INVOCATION, or those of its columns that are made, names as codes where these are asked for."""
    if options.columns is None and not options.coded:
        return INVOCATION
    fields = [field for field in INVOCATION if options.columns is None or field.name in options.columns]
    if options.coded:
        fields = [field.with_type(CODED) if field.name in NAMES else field for field in fields]
    return pa.schema(fields, metadata=INVOCATION.metadata)


class Conformed(NamedTuple):
    """What came of a batch of records: every one is a row, a dead letter or ignored."""

    #: INVOCATION, or those of its columns that the options ask for: invocations, and the details that join them (see
    #: its column ``record``)
    rows: pa.RecordBatch
    #: DEAD_LETTER
    dead: pa.RecordBatch
    #: records understood, but about no invocation: host log lines, rows of other tables
    ignored: int
