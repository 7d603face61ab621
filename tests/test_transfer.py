"""Servers that send what they like: a blob comes whole all the same, or not at all."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from acagent_nb.server.store import Store

from .pulling import QUICK, pulled, refused, stored
from .registries import Answer, Fake, Made, Turn, fake, honest, made

MB = 1 << 20


def name(registry: Fake) -> str:
    return f"{registry.host}/library/m"


# Each of these still ends with the model


def resets(turn: Turn) -> None:
    turn.honest_head()
    turn.send(turn.data[turn.start : turn.start + (turn.end - turn.start) // 2 + 1])
    time.sleep(0.02)
    if turn.number < 9:
        turn.reset()
    else:
        turn.send(turn.data[turn.start + (turn.end - turn.start) // 2 + 1 : turn.end])


def closes_early(turn: Turn) -> None:
    turn.honest_head()
    turn.send(turn.data[turn.start : (turn.start + turn.end + 1) // 2])
    turn.handler.close_connection = True


def stalls(turn: Turn) -> None:
    turn.honest_head()
    if turn.number == 0:
        turn.send(turn.data[turn.start : turn.start + 1000])
        time.sleep(1)
        turn.reset()
    else:
        turn.send(turn.data[turn.start : turn.end])


def fails_first(turn: Turn) -> None:
    if turn.number < 5:
        turn.head(500, Content_Length=0)
    else:
        honest(turn)


def ignores_ranges(turn: Turn) -> None:
    turn.head(200, Content_Length=len(turn.data))
    turn.send(turn.data)


def changes_its_mind(turn: Turn) -> None:
    if turn.number < 3:
        resets(turn)
    else:
        ignores_ranges(turn)


def sends_another_range(turn: Turn) -> None:
    if turn.number < 4 and turn.ranged:
        length = turn.end - turn.start
        turn.head(206, Content_Length=length, Content_Range=f"bytes 7-{6 + length}/{len(turn.data)}")
        turn.send(turn.data[7 : 7 + length])
    else:
        honest(turn)


def sends_less_than_asked(turn: Turn) -> None:
    end = min(turn.end, turn.start + 400_000)
    turn.head(206, Content_Length=end - turn.start, Content_Range=f"bytes {turn.start}-{end - 1}/*")
    turn.send(turn.data[turn.start : end])


def sends_more_than_asked(turn: Turn) -> None:
    said = f"bytes {turn.start}-{turn.end - 1}/{len(turn.data)}"
    turn.head(206, Content_Range=said, Connection="close")
    turn.handler.close_connection = True
    turn.send(turn.data[turn.start : turn.end] + b"and this too")


def has_no_length(turn: Turn) -> None:
    turn.head(200, Connection="close")
    turn.handler.close_connection = True
    turn.send(turn.data[: len(turn.data) // 3] if turn.number < 4 else turn.data)


@pytest.mark.parametrize(
    "answer",
    [
        resets,
        closes_early,
        stalls,
        fails_first,
        ignores_ranges,
        changes_its_mind,
        sends_another_range,
        sends_less_than_asked,
        sends_more_than_asked,
        has_no_length,
    ],
    ids=lambda answer: answer.__name__,
)
@pytest.mark.parametrize("size", [MB // 2, 3 * MB + 5])
def test_a_server_that_misbehaves(answer: Answer, size: int, tmp_path: Path) -> None:
    with fake(answer) as registry:
        model = registry.add(made(size))
        told = pulled(tmp_path, name(registry))
    assert stored(tmp_path, model)
    assert all(line.get("completed", 0) <= line.get("total", 0) for line in told)


# And each of these ends with an error


def always_500(turn: Turn) -> None:
    turn.head(500, Content_Length=4)
    turn.send(b"oops")


def wrong_total(turn: Turn) -> None:
    turn.head(206, Content_Length=9, Content_Range=f"bytes {turn.start}-{turn.start + 8}/9")


def nothing_in_it(turn: Turn) -> None:
    turn.head(206, Content_Range=f"bytes {turn.start}-{turn.end - 1}/{len(turn.data)}", Transfer_Encoding="chunked")
    turn.send(b"0\r\n\r\n")


def never_all(turn: Turn) -> None:
    turn.head(200, Content_Length=len(turn.data))
    turn.send(turn.data[: MB // 3])
    turn.handler.close_connection = True


def shorter(turn: Turn) -> None:
    turn.head(200, Content_Length=5)
    turn.send(b"short")


def only_resets(turn: Turn) -> None:
    turn.honest_head()
    turn.reset()


def silent(turn: Turn) -> None:
    time.sleep(0.5)
    turn.reset()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (always_500, "max retries exceeded: 500: oops"),
        (wrong_total, r"max retries exceeded: asked for bytes 0-\d+/\d+, got bytes 0-8/9"),
        (nothing_in_it, "max retries exceeded: unexpected EOF"),
        (never_all, "max retries exceeded: unexpected EOF"),
        (only_resets, "max retries exceeded: read: connection reset by peer"),
        (shorter, r"max retries exceeded: the registry sends 5 bytes of \d+"),
        (silent, 'max retries exceeded: Get "http.*/blobs/sha256:.*": part stalled'),
        (lambda turn: turn.head(404, Content_Length=0), "file does not exist"),
        (lambda turn: turn.head(451, Content_Length=0), "451: "),
        (lambda turn: turn.head(307, Content_Length=0), 'Get ".*": 307 response missing Location header'),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_server_that_never_gives_it(answer: Answer, said: str, tmp_path: Path) -> None:
    with fake(answer) as registry:
        model = registry.add(made(MB))
        assert re.fullmatch(said, refused(tmp_path, name(registry)))
        assert len(registry.ranges(model.digests[0])) <= 8  # six, and two that found that ranges are ignored
    assert not Store(tmp_path).models()


def test_progress_gives_all_tries_back(tmp_path: Path) -> None:
    def drops(turn: Turn) -> None:
        turn.honest_head()
        turn.send(turn.data[turn.start : turn.start + 80_000])
        turn.handler.close_connection = True

    with fake(drops) as registry:
        model = registry.add(made(MB))
        pulled(tmp_path, name(registry))
        assert len(registry.ranges(model.digests[0])) == 14
    assert stored(tmp_path, model)


def test_a_corrupt_blob_is_refused_and_removed(tmp_path: Path) -> None:
    def corrupts(turn: Turn) -> None:
        turn.honest_head()
        turn.send(bytes(turn.end - turn.start))

    with fake(corrupts) as registry:
        model = registry.add(made(2 * MB))
        store = Store(tmp_path)
        said = refused(store, name(registry))
        assert re.fullmatch(
            f"digest mismatch, file must be downloaded again: want {model.digests[0]}, got sha256:.{{64}}", said
        )
        assert not list(tmp_path.glob(f"blobs/*{model.digests[0][7:]}*"))
        assert not store.models()
        registry.answer = honest
        pulled(store, name(registry))
    assert stored(tmp_path, model)


def test_an_empty_blob(tmp_path: Path) -> None:
    with fake() as registry:
        model = registry.add(Made((b"", b"x", b"{}")))
        pulled(tmp_path, name(registry), how=QUICK)
    assert stored(tmp_path, model)
