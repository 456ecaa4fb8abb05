"""Frames survive any way of being cut up, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.wire import frame
from outlast.wire.frame import Frame, Malformed, Splitter, decode, lengthened, parts, telling

FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=3000))


@given(FRAMES)
def test_a_message_is_read_back_as_it_was(one: Frame) -> None:
    assert decode(one.encode()) == one


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 500), max_size=40))
def test_a_stream_is_split_however_it_comes(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(map(lengthened, frames))
    assert stream == b"".join(part for one in frames for part in parts(one))
    splitter, found = Splitter(), []
    for cut in cuts:
        found += splitter.feed(stream[:cut])
        stream = stream[cut:]
    assert found + splitter.feed(stream) == frames


@pytest.mark.parametrize("size_bytes", [0, 8, frame.HEAD_BYTES + frame.MAX_PAYLOAD_BYTES + 1])
def test_a_length_that_no_frame_has_is_refused(size_bytes: int) -> None:
    with pytest.raises(Malformed):
        Splitter().feed(size_bytes.to_bytes(4, "big"))
    with pytest.raises(Malformed):
        decode(b"\0" * size_bytes)


def test_what_is_told_is_a_json_object() -> None:
    assert telling(frame.BYE, final=True).said() == {"final": True}
    with pytest.raises(ValueError, match="JSON object"):
        Frame(frame.BYE, 0, b"[]").said()
