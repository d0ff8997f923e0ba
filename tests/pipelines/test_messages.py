"""Messages come in any order, and are read in one."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.timeline import END, START
from models.errors import InputError
from pipelines.coders import MessageCoder
from pipelines.messages import Inbox, Message

spoken = st.lists(st.integers(0, 12), min_size=1, max_size=3)


@given(lengths=spoken, data=st.data())
def test_whatever_the_order_and_the_copies_each_origin_is_heard_once_in_its_order(lengths, data):
    said = [Message(str(o), n, 10 * n) for o, length in enumerate(lengths) for n in range(length)]
    copies = data.draw(st.lists(st.sampled_from(said), max_size=5)) if said else []
    arriving = data.draw(st.permutations(said + copies))
    inbox = Inbox(str(o) for o in range(len(lengths)))
    heard = []
    for message in arriving:
        heard += inbox.take(message)
        if data.draw(st.booleans()):
            table, early = inbox.to_table(), inbox.early()
            inbox = Inbox(str(o) for o in range(len(lengths)))
            inbox.restore(table, early)
    for o, length in enumerate(lengths):
        assert [m.number for m in heard if m.origin == str(o)] == list(range(length))
    assert inbox.early() == []
    assert inbox.watermark_us == min(10 * (length - 1) if length else START for length in lengths)


def test_the_end_is_when_all_have_said_so():
    inbox = Inbox(["a", "b"])
    assert len(list(inbox.take(Message("a", 0, END)))) == 1
    assert not inbox.ended
    assert len(list(inbox.take(Message("b", 0, END)))) == 1
    assert inbox.ended


def test_a_stranger_is_refused():
    with pytest.raises(InputError, match="stranger"):
        Inbox(["a"]).take(Message("b", 0, 1))


def test_a_message_survives_its_coder_and_its_columns_lie_aligned():
    batches = (pa.record_batch({"at": [1, 2, 3]}), pa.record_batch({"name": ["x"], "at": [4]}).slice(0, 1))
    for origin in ("a", "ab", "a-longer-name"):
        message = Message(origin, 7, END, batches)
        decoded = MessageCoder().decode(MessageCoder().encode(message))
        assert decoded == message
        assert decoded.rows == 4
        assert decoded.batches[0].column("at").buffers()[1].address % 8 == 0
    empty = Message("a", 0, START)
    assert MessageCoder().decode(MessageCoder().encode(empty)) == empty
