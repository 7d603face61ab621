"""Lines out of bytes that were cut anywhere, and files in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from acagent_nb import pieces

quiet = settings(max_examples=200)

DATA = st.lists(st.sampled_from([b"\n", b"\r", b"", b"{}", "é".encode(), b"\0", b"\x85"]) | st.binary(max_size=6)).map(
    b"".join
)


@st.composite
def cut(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Some bytes, and the same in pieces; an empty piece may come, too."""
    data = draw(DATA)
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=10)))
    return data, [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


async def _alines(chunks: list[bytes]) -> list[bytes]:
    async def coming() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [line async for line in pieces.alines(coming())]


@quiet
@given(cut())
def test_lines_are_the_same_wherever_the_bytes_were_cut(some: tuple[bytes, list[bytes]]) -> None:
    data, chunks = some
    *whole, last = data.split(b"\n")
    expected = [*whole, last] if last else whole
    assert list(pieces.lines(chunks)) == expected
    assert asyncio.run(_alines(chunks)) == expected


@quiet
@given(st.lists(st.binary(min_size=1, max_size=5).filter(lambda line: b"\n" not in line), min_size=1))
def test_a_whole_line_is_not_held_back(told: list[bytes]) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for line in told:
            sent += 1
            yield line + b"\n"

    for number, line in enumerate(pieces.lines(chunks()), 1):
        assert line == told[number - 1]
        assert sent == number  # nothing more was asked for


def test_a_file_in_pieces_is_the_file(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    data = bytes(range(256)) * 3000
    for content in (b"", b"x", data):
        file.write_bytes(content)
        went, awent = [0], [0]
        assert b"".join(pieces.of(file, went.append)) == content

        async def whole(awent: list[int] = awent) -> bytes:
            return b"".join([piece async for piece in pieces.aof(file, awent.append)])

        assert asyncio.run(whole()) == content
        assert went == awent == sorted(went)
        assert went[-1] == len(content)
    assert max(len(piece) for piece in pieces.of(file, went.append)) < len(data)
