"""Both clients under fire: cut streams, broken lines, refusals, time-outs, and leaving at any moment."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Thread, Timer
from typing import Any

import pytest

from acagent_nb import AsyncClient, Client, delivery
from acagent_nb.errors import (
    Busy,
    ContextTooLong,
    DiskFull,
    Incapable,
    Incomplete,
    LLMError,
    ModelMissing,
    OutOfMemory,
    Refused,
    ServerDown,
    ServerError,
    TimedOut,
)
from acagent_nb.messages import Done, Text
from acagent_nb.wire import Flow, Wait

from .clients import Do, run_by
from .replay import SERVERS, Answer, Replay, recorded, recordings, replaying, said

CREATE = "create"
METHODS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {  # by path: what to call
    "/api/chat": ("stream", ("local_m", "hi"), {"pull": False}),
    "/api/generate": ("generate", ("local_m", "hi"), {"pull": False}),
    "/api/embed": ("embed", ("local_m", ["a"]), {"pull": False}),
    "/api/show": ("show", ("local_m",), {}),
    "/api/tags": ("models", (), {}),
    "/api/ps": ("running", (), {}),
    "/api/version": ("version", (), {}),
    "/api/pull": ("pull", ("local_m",), {}),
    "/api/create": (CREATE, (), {}),
    "/api/copy": ("copy", ("local_m", "local_n"), {}),
    "/api/delete": ("delete", ("local_m",), {}),
}


def outcome(do: Do, url: str, path: str) -> Any:
    """What comes of a call, so that it can be compared."""
    method, arguments, how = METHODS[path]
    try:
        if method == CREATE:
            return run_by(do, url, delivery.create("m", from_model="x"))
        result = do(url, method, *arguments, **how)
        return result.tolist() if method == "embed" else result
    except LLMError as error:
        return type(error), error.message, error.hint


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("path", METHODS)
def test_every_recording_reads_the_same_wherever_it_is_cut(do: Do, server: str, path: str) -> None:
    cases = [name for name, case in recordings(server).items() if case["request"]["path"] == path]
    assert cases
    ways = [{}, {"cuts": 1}, {"cuts": 2}]
    answers = [recorded(name, server, **way) for name in cases for way in ways]
    with replaying(**{path.rsplit("/", 1)[-1]: answers}) as replay:
        for name in cases:
            whole, *cut = [outcome(do, replay.url, path) for _ in ways]
            assert cut == [whole, whole], name
            assert kind(whole) == expected(recordings(server)[name]), name
        assert len(replay.requests) == len(answers)


def kind(whole: Any) -> str:
    """ "answer", "broken" or "error"."""
    if not isinstance(whole, tuple):
        return "answer"
    return "broken" if whole[0] is Incomplete else "error"


def expected(case: dict[str, Any]) -> str:
    """What a recording should give: an end without `done` or "success" is none."""
    last = case["lines"][-1][1] if case["lines"] else ""
    if case["status"] != 200 or last.startswith('{"error"'):
        return "error"
    path = case["request"]["path"]
    if path in ("/api/chat", "/api/generate"):
        return "answer" if '"done":true' in last else "broken"
    if path == "/api/embed":  # those for several texts, when one was asked
        return "answer" if last.count("],[") == 0 else "error"
    return "answer" if "success" in last or path not in ("/api/pull", CREATE) else "broken"


def test_a_stream_is_cut_at_every_byte(do: Do) -> None:
    line = said("grün 🙂", done=False).lines[0]
    whole = (line + '{"done":true,"error":null,"message":{"content":null}}\r\n').encode()
    for at in range(1, len(whole), 3 if do.__name__ == "blocking" else 7):
        with heard(lambda wire, _, at=at: [wire(HEAD), wire(whole[:at]), time.sleep(0.002), wire(whole[at:])]) as url:
            assert do(url, "chat", "local_m", "hi").text == "grün 🙂"


def test_an_error_may_come_at_any_place(do: Do) -> None:
    lines = recorded("chat_stream").lines
    error = '{"error":"an error was encountered while running the model: CUDA"}\n'
    for at in (0, 1, 20, len(lines) - 1):
        with (
            replaying(chat=Answer((*lines[:at], error, *lines[at:]))) as replay,
            pytest.raises(ServerError, match="CUDA"),
        ):
            do(replay.url, "chat", "local_m", "hi")
        assert len(replay.requests) == 1, "never asked again after it has begun"


def json_error(words: str, status: int, **how: Any) -> Answer:
    return Answer((f'{{"error":"{words}"}}',), status, "application/json", **how)


ENGINE = r"{\"error\":{\"code\":400,\"message\":\"request (614 tokens) exceeds the available context size (256 tokens)\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":614,\"n_ctx\":256}}"  # noqa: E501  # as it was recorded
PAGE = Answer(("<!doctype html>\n<h1>Bad Gateway</h1>\n<p>nginx",), 502, "text/html")


@pytest.mark.parametrize(
    ("answer", "error", "message", "hint"),
    [
        (json_error("model 'm' not found", 404), ModelMissing, "does not have the model m", "pulled first"),
        (Answer(("404 page not found",), 404, "text/plain"), ServerError, "404: 404 page not found", "OLLAMA_HOST"),
        (PAGE, ServerError, "502: no reason given", "proxy"),
        (Answer((), 403, None), Refused, "403: no reason given", "OLLAMA_ORIGINS"),
        (json_error("unauthorized", 401), Refused, "unauthorized", "Sign in"),
        (json_error("slow down", 429, headers=(("Retry-After", "3600"),)), Busy, "slow down", "3,600 seconds"),
        (json_error(ENGINE, 400), ContextTooLong, "614 tokens.*256", "num_ctx=1024"),
        (Answer(('{"error":{"message":"too hot","code":500}}',), 500, None), ServerError, "too hot", ""),
        (Answer(('{"error":null}',), 500, None), ServerError, "500", ""),
        (json_error("cudaMalloc failed: out of memory", 500), OutOfMemory, "out of memory", "smaller"),
        (json_error("model requires more system memory (9 GiB)", 500), OutOfMemory, "more system", "smaller"),
        (json_error('\\"m\\" does not support thinking', 400), Incapable, "thinking", "without think"),
        (json_error("x does not support tools", 400), Incapable, "tools", "without tools"),
        (json_error("llama-server process has terminated", 500), ServerError, "terminated", "log"),
        (json_error("timed out waiting for llama-server", 500), ServerError, "timed out", "try again"),
        (Answer(('{"message":7}\n',)), ServerError, "not Ollama's protocol", "Ollama server"),
        (Answer(("<html>",)), ServerError, "not Ollama's protocol", "Ollama server"),
    ],
)
def test_each_refusal_has_its_class_and_its_one_thing_to_do(
    do: Do, answer: Answer, error: type[LLMError], message: str, hint: str
) -> None:
    with replaying(chat=answer) as replay, pytest.raises(error, match=message) as caught:
        do(replay.url, "chat", "local_m", "hi", pull=False)
    assert type(caught.value) is error
    assert hint in caught.value.hint
    assert len(caught.value.message.splitlines()) == 1
    assert len(replay.requests) == 1


def test_a_full_disk_ends_a_pull(do: Do) -> None:
    lines = recorded("pull_slow_with_progress").lines[:9]
    full = '{"error":"write /models/blobs/sha256-1-partial: no space left on device"}\n'
    with replaying(pull=Answer((*lines, full))) as replay, pytest.raises(DiskFull, match="no space left") as caught:
        do(replay.url, "pull", "local_m")
    assert "what has come is kept" in caught.value.hint


BUSY = json_error("server busy, please try again", 503, headers=(("Retry-After", "0"),))


def test_a_busy_server_is_asked_again(do: Do) -> None:
    with replaying(chat=[BUSY, BUSY, said("there")]) as replay:
        assert do(replay.url, "chat", "local_m", "hi").text == "there"
        assert len(replay.requests) == 3
    with replaying(embed=[BUSY, recorded("embed_one")]) as replay:
        assert do(replay.url, "embed", "local_m", "hi").shape[0] == 1


def test_what_comes_after_the_last_word_does_not_count(do: Do) -> None:
    with replaying(chat=said("all", breaks=True)) as replay:
        assert do(replay.url, "chat", "local_m", "hi").text == "all"
    with replaying(chat=said("all", stall=20)) as replay:
        assert do(replay.url, "chat", "local_m", "hi", timeout=0.5).text == "all"


def test_but_not_for_ever(do: Do) -> None:
    with replaying(chat=BUSY) as replay, pytest.raises(Busy, match="server busy"):
        do(replay.url, "chat", "local_m", "hi")
    assert len(replay.requests) == 5


def test_it_waits_as_long_as_it_is_told(do: Do) -> None:
    wants = json_error("slow down", 429, headers=(("Retry-After", "1"),))
    with replaying(chat=[wants, said("there")]) as replay:
        began = time.monotonic()
        assert do(replay.url, "chat", "local_m", "hi").text == "there"
        assert time.monotonic() - began >= 1


def test_a_name_that_nobody_knows(do: Do) -> None:
    with pytest.raises(ServerDown, match=r"No server answers at http://nobody\.invalid:11434") as caught:
        do("nobody.invalid", "chat", "local_m", "hi")
    assert "check the address" in caught.value.hint
    assert do("nobody.invalid", "ping") is False


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
Wire = Callable[[bytes], None]


@contextmanager
def heard(talk: Callable[[Wire, Callable[[], bytes]], Any]) -> Iterator[str]:
    """A server of raw bytes: `talk` gets what sends on, and what receives from, one connection after its request."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):  # it was closed
            while True:
                connection, _ = listening.accept()
                with connection, suppress(ConnectionError):
                    connection.settimeout(20)
                    _whole(connection)
                    talk(connection.sendall, lambda connection=connection: connection.recv(65536))

    thread = Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def _whole(connection: socket.socket) -> None:
    """Read a request to its end, for a close with something unread would reset the connection."""
    head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)


def test_a_kept_connection_that_the_server_just_closed_is_replaced(do: Do) -> None:
    body = b'{"version":"1.2.3"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    asked: list[bytes] = []

    def talk(wire: Wire, more: Callable[[], bytes]) -> None:
        asked.append(b"first")
        wire(answer)
        asked.append(more())  # the next one on this connection is never answered

    with heard(talk) as url:
        versions = run_by(do, url, twice())
    assert [version.version for version in versions] == ["1.2.3", "1.2.3"]
    assert len([each for each in asked if each]) == 3, "the second question came twice, on two connections"


def twice() -> Flow[Any]:
    from acagent_nb import library

    yield from library.version()
    yield from library.version()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_new_connection_that_breaks_is_not_asked_again(do: Do, reset: bool) -> None:
    came = []

    def talk(wire: Wire, more: Any) -> None:
        came.append(1)
        if reset:
            connection = wire.__self__  # type: ignore[attr-defined]  # the socket whose method it is
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with heard(talk) as url, pytest.raises(ServerDown, match="broke"):
        do(url, "chat", "local_m", "hi")
    assert came == [1]


def test_a_reset_in_the_middle(do: Do) -> None:
    came = []

    def talk(wire: Wire, more: Any) -> None:
        came.append(1)
        wire(HEAD + said("a", done=False).lines[0].encode())
        connection = wire.__self__  # type: ignore[attr-defined]  # the socket whose method it is
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with heard(talk) as url, pytest.raises((ServerDown, Incomplete)):
        do(url, "chat", "local_m", "hi")
    assert came == [1]


SLOW = json_error("server busy", 503, headers=(("Retry-After", "20"),))
LAYER = '{"status":"pulling aa","digest":"sha256:aa","total":9,"completed":1}\n'


@pytest.mark.parametrize(
    ("answers", "method", "arguments"),
    [
        ({"chat": Answer(late=20)}, "chat", ("local_m", "hi")),
        ({"chat": said("a", stall=20, done=False)}, "chat", ("local_m", "hi")),
        ({"chat": said(*"many words" * 20, pause=0.1)}, "chat", ("local_m", "hi")),
        ({"chat": SLOW}, "chat", ("local_m", "hi")),
        ({"generate": Answer(late=20)}, "generate", ("local_m", "hi")),
        ({"embed": Answer(late=20)}, "embed", ("local_m", "hi")),
        ({"chat": json_error("model not found", 404), "pull": Answer((LAYER,), stall=20)}, "chat", ("local_m", "hi")),
        ({"tags": Answer(late=20)}, "models", ()),
    ],
    ids=["first byte", "stall", "trickle", "pause", "generate", "embed", "auto-pull", "list"],
)
def test_a_timeout_bounds_the_whole_call(do: Do, answers: Any, method: str, arguments: Any) -> None:
    with replaying(**answers) as replay:
        began = time.monotonic()
        with pytest.raises(TimedOut, match=r"timeout of 0\.4 seconds"):
            do(replay.url, method, *arguments, client={"timeout": 0.4})
        assert time.monotonic() - began < 5
        if answers.get("chat") is not SLOW:
            assert replay.gone.wait(5), "the connection is closed"


def test_a_calls_own_timeout_counts_more(do: Do) -> None:
    with replaying(chat=Answer(late=20)) as replay, pytest.raises(TimedOut, match=r"timeout of 0\.2 seconds"):
        do(replay.url, "chat", "local_m", "hi", timeout=0.2, client={"timeout": 60})


def test_a_download_is_bounded_by_its_own_timeout_only(do: Do) -> None:
    with replaying(pull=Answer((LAYER,), stall=20)) as replay:
        with pytest.raises(TimedOut, match=r"timeout of 0\.4 seconds"):
            do(replay.url, "pull", "local_m", timeout=0.4)
        assert replay.gone.wait(5), "the connection is closed"
    with replaying(pull=Answer((LAYER, '{"status":"success"}\n'), pause=0.2)) as replay:
        do(replay.url, "pull", "local_m", client={"timeout": 0.1})


def test_a_call_that_is_quick_enough_is_left_alone(do: Do) -> None:
    with replaying(chat=said("a", "b", pause=0.05)) as replay:
        assert do(replay.url, "chat", "local_m", "hi", timeout=30).text == "ab"


@contextmanager
def deaf() -> Iterator[str]:
    """A port that takes no more connections, and says nothing of it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for caller in callers:
                caller.close()


def test_connecting_is_bounded_too(do: Do) -> None:
    with deaf() as url:
        began = time.monotonic()
        with pytest.raises(TimedOut, match=r"timeout of 0\.3 seconds"):
            do(url, "chat", "local_m", "hi", timeout=0.3)
        assert time.monotonic() - began < 3


def test_connecting_takes_five_seconds_at_most_where_nobody_says_anything() -> None:
    from .clients import asynchronous, blocking

    with deaf() as url, ThreadPoolExecutor() as threads:
        began = time.monotonic()
        for tried in [threads.submit(do, url, "chat", "local_m", "hi") for do in (blocking, asynchronous)]:
            with pytest.raises(ServerDown, match="within 5 seconds"):
                tried.result()
        assert 4.5 < time.monotonic() - began < 9


def test_what_is_only_nice_to_know_is_not_waited_for(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acagent_nb.facts._ASIDE_SECONDS", 0.2)
    with replaying(chat=said("a"), ps=Answer(late=30), version=Answer(late=30)) as replay:
        reply = do(replay.url, "chat", "local_m", "hi")
    assert (reply.text, reply.digest, reply.truncated) == ("a", "", None)


ENDLESS = said("a", stall=20, done=False)
LEFT_WITHIN = 0.05


def soon(leave: Callable[[], float]) -> None:
    """Leaving takes less than 50 ms; a busy machine gets a second and a third chance."""
    took = [leave()]
    while took[-1] >= LEFT_WITHIN and len(took) < 3:
        took.append(leave())
    assert min(took) < LEFT_WITHIN, took


def gone_after(replay: Replay, at: float) -> float:
    """Seconds until the server saw that the client had left."""
    assert replay.gone.wait(5)
    return replay.left[0] - at


@pytest.mark.parametrize("way", ["break", "close", "exception"])
def test_leaving_closes_the_connection_at_once(way: str) -> None:
    def left(client: Client) -> float:
        events = client.stream("local_m", "hi")
        if way == "close":
            assert next(events) == Text("a")
            now = time.monotonic()
            events.close()
            return now
        del events
        with suppress(KeyError):
            for _ in client.stream("local_m", "hi"):
                if way == "exception":
                    raise KeyError
                break
        return time.monotonic()

    def leave() -> float:
        with replaying(chat=[ENDLESS, said("b")]) as replay, Client(replay.url) as client:
            took = gone_after(replay, left(client))
            assert client.chat("local_m", "hi").text == "b", "the client is still good"
            return took

    soon(leave)


@pytest.mark.parametrize("way", ["break", "close", "exception", "cancel"])
def test_so_it_is_for_asynchronous_code_also_without_aclosing(way: str) -> None:
    async def left(client: AsyncClient) -> float:
        if way == "cancel":
            task = asyncio.create_task(client.chat("local_m", "hi"))
            await asyncio.sleep(0.3)
            now = time.monotonic()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            return now
        if way == "close":
            events = client.stream("local_m", "hi")
            assert await anext(events) == Text("a")
            now = time.monotonic()
            await events.aclose()
            return now
        with suppress(KeyError):
            async for _ in client.stream("local_m", "hi"):
                if way == "exception":
                    raise KeyError
                break
        return time.monotonic()

    async def main(replay: Replay) -> float:
        async with AsyncClient(replay.url) as client:
            at = await left(client)
            took = await asyncio.to_thread(gone_after, replay, at)
            assert (await client.chat("local_m", "hi")).text == "b", "the client is still good"
            return took

    def leave() -> float:
        with replaying(chat=[ENDLESS, said("b")]) as replay:
            return asyncio.run(main(replay))

    soon(leave)


@pytest.mark.parametrize("answer", [Answer(late=20), ENDLESS, SLOW], ids=["waiting", "reading", "pausing"])
def test_ctrl_c(answer: Answer) -> None:
    def leave() -> float:
        pressed: list[float] = []

        def press() -> None:
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        with replaying(chat=[answer, said("b")]) as replay, Client(replay.url) as client:
            timer = Timer(0.4, press)
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                client.chat("local_m", "hi")
            took = time.monotonic() - pressed[0] if answer is SLOW else gone_after(replay, pressed[0])
            timer.join()
            assert client.chat("local_m", "hi").text == "b"
            return took

    soon(leave)


def test_what_goes_wrong_is_thrown_into_the_flow_at_its_step(do: Do) -> None:
    from acagent_nb import library

    def flow() -> Flow[Any]:
        for _ in range(2):
            try:
                yield from library.tags()
            except ServerError as error:
                yield error.status
        yield Wait(0.01)
        yield "went on"

    with replaying(tags=PAGE) as replay:
        assert run_by(do, replay.url, flow()) == [502, 502, "went on"]


def test_a_client_keeps_its_connection() -> None:
    async def asynchronous(url: str) -> None:
        async with AsyncClient(url) as client:
            for _ in range(3):
                await client.chat("local_m", "hi")

    with replaying(chat=said("a", "b")) as replay, Client(replay.url) as client:
        for _ in range(3):
            client.chat("local_m", "hi")
        assert len(replay.peers) == 1
    with replaying(chat=said("a", "b")) as replay:
        asyncio.run(asynchronous(replay.url))
        assert len(replay.peers) == 1


def test_threads_share_a_client() -> None:
    with replaying(chat=said("a", "b", pause=0.01)) as replay, Client(replay.url) as client:
        with ThreadPoolExecutor(16) as threads:
            replies = list(threads.map(lambda _: client.chat("local_m", "hi").text, range(48)))
        assert replies == ["ab"] * 48
        assert len(replay.peers) <= 16


def test_one_threads_broken_line_does_not_break_anothers() -> None:
    lines = (*said("a", done=False).lines, *said("b").lines)
    answers = [Answer(lines, pause=0.3), said("x", done=False, breaks=True), said("c")]
    with replaying(chat=answers) as replay, Client(replay.url) as client, ThreadPoolExecutor() as threads:
        slow = threads.submit(client.chat, "local_m", "hi")
        time.sleep(0.1)
        with pytest.raises(ServerDown):
            client.chat("local_m", "hi")
        assert client.chat("local_m", "hi").text == "c"
        assert slow.result().text == "ab"


def test_many_tasks_share_a_client() -> None:
    async def main(url: str) -> list[Any]:
        async with AsyncClient(url) as client:
            return await asyncio.gather(*(client.chat("local_m", "hi") for _ in range(64)))

    with replaying(chat=said("a", "b", pause=0.02)) as replay:
        assert [reply.text for reply in asyncio.run(main(replay.url))] == ["ab"] * 64
        assert len(replay.peers) <= 64


def test_an_async_client_works_in_one_event_loop_after_another() -> None:
    async def main(client: AsyncClient) -> str:
        text = (await client.chat("local_m", "hi")).text
        await client.close()
        return text

    with replaying(chat=said("a")) as replay:
        client = AsyncClient(replay.url)
        assert [asyncio.run(main(client)) for _ in range(3)] == ["a"] * 3


def test_a_closed_client_opens_again(do: Do) -> None:
    with replaying(chat=said("a")) as replay:
        client = Client(replay.url)
        for _ in range(2):
            assert isinstance(list(client.stream("local_m", "hi"))[-1], Done)
            client.close()
