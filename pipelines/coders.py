"""How what travels between steps is written: Arrow IPC for rows, plain JSON for where rows lie. Nothing is pickled.

Beam asks how large some elements are, also of those that never leave a worker. Each coder says so without writing them,
and ``with_tag`` says of all outputs what they are: Beam pickles a batch that it does not know to count its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
import pyarrow as pa
from apache_beam import coders
from apache_beam.coders import typecoders

from models.errors import InputError
from pipelines.messages import Message
from pipelines.parcels import Inline, Parcel, Spooled

_INLINE: Final = b"A"
_SPOOLED: Final = b"R"
#: bytes of a claim check, about
_CLAIM_BYTES: Final = 256


def encode_batch(batch: pa.RecordBatch) -> bytes:
    """A record batch as an IPC stream; of a slice only the slice is written."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def decode_batch(encoded: bytes) -> pa.RecordBatch:
    """The inverse of ``encode_batch``."""
    with pa.ipc.open_stream(pa.py_buffer(encoded)) as reader:
        return reader.read_next_batch()


def encode_tables(tables: Mapping[str, pa.Table]) -> bytes:
    """Named tables as one byte string: a JSON list of names and lengths, a line feed, the IPC streams."""
    names, bodies = [], []
    for name, table in tables.items():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = sink.getvalue().to_pybytes()
        names.append([name, len(body)])
        bodies.append(body)
    return b"".join([orjson.dumps(names), b"\n", *bodies])


def decode_tables(encoded: bytes) -> dict[str, pa.Table]:
    """The inverse of ``encode_tables``."""
    head, _, _ = encoded.partition(b"\n")
    whole = pa.py_buffer(encoded)
    tables: dict[str, pa.Table] = {}
    start = len(head) + 1
    for name, length in orjson.loads(head):
        with pa.ipc.open_stream(whole.slice(start, length)) as reader:
            tables[name] = reader.read_all()
        start += length
    return tables


def encode_message(message: Message) -> bytes:
    """A message as one byte string: a JSON list of what it says and of lengths, a line feed, the IPC streams."""
    bodies = [encode_batch(batch) for batch in message.batches]
    lengths = [len(body) for body in bodies]
    head = orjson.dumps([message.origin, message.number, message.watermark_us, message.version, lengths])
    # so that columns lie aligned in memory: kernels are compiled for that
    return b"".join([head, b" " * (-(len(head) + 1) % 8), b"\n", *bodies])


def decode_message(encoded: bytes) -> Message:
    """The inverse of ``encode_message``."""
    head, _, _ = encoded.partition(b"\n")
    origin, number, watermark_us, version, lengths = orjson.loads(head)
    whole, start, batches = pa.py_buffer(encoded), len(head) + 1, []
    for length in lengths:
        with pa.ipc.open_stream(whole.slice(start, length)) as reader:
            batches.append(reader.read_next_batch())
        start += length
    return Message(origin, number, watermark_us, tuple(batches), version)


class RecordBatchCoder(coders.Coder):  # type: ignore[misc]
    """``pyarrow.RecordBatch`` as an Arrow IPC stream."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Write one batch."""
        return encode_batch(value)

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Read one batch."""
        return decode_batch(encoded)

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Bytes, about."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """Equal batches may differ in their buffers, so this is no coder for keys."""
        return False

    def to_type_hint(self) -> Any:
        """What it is for."""
        return pa.RecordBatch


class ParcelCoder(coders.Coder):  # type: ignore[misc]
    """Rows, or the place where they lie, told apart by the first byte."""

    def encode(self, value: Parcel) -> bytes:
        """Write one parcel."""
        if isinstance(value, Inline):
            return _INLINE + encode_batch(value.batch)
        return _SPOOLED + orjson.dumps(value)

    def decode(self, encoded: bytes) -> Parcel:
        """Read one parcel."""
        kind, body = encoded[:1], encoded[1:]
        if kind == _INLINE:
            return Inline.of(decode_batch(body))
        if kind == _SPOOLED:
            return Spooled(**orjson.loads(body))
        raise InputError("Not a parcel.", expected="a first byte of A or R", received=repr(kind))

    def estimate_size(self, value: Parcel) -> int:
        """Bytes, about."""
        return value.nbytes if isinstance(value, Inline) else _CLAIM_BYTES

    def is_deterministic(self) -> bool:
        """As RecordBatchCoder."""
        return False

    def to_type_hint(self) -> Any:
        """What it is for."""
        return Parcel


class MessageCoder(coders.Coder):  # type: ignore[misc]
    """One step of an origin, with its rows."""

    def encode(self, value: Message) -> bytes:
        """Write one message."""
        return encode_message(value)

    def decode(self, encoded: bytes) -> Message:
        """Read one message."""
        return decode_message(encoded)

    def estimate_size(self, value: Message) -> int:
        """Bytes, about."""
        return sum(int(batch.nbytes) for batch in value.batches)

    def is_deterministic(self) -> bool:
        """As RecordBatchCoder."""
        return False

    def to_type_hint(self) -> Any:
        """What it is for."""
        return Message


def with_tag(step: Any, kind: type, tag: str, main: str) -> Any:
    """A step with two outputs, ``main`` and ``tag``, both of elements of one kind."""
    return step.with_output_types(kind, **{tag: kind}).with_outputs(tag, main=main)


def register() -> None:
    """Tell Beam; calling it again changes nothing."""
    typecoders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)
    typecoders.registry.register_coder(Parcel, ParcelCoder)
    typecoders.registry.register_coder(Message, MessageCoder)
