"""OLLAMA_LOAD_TIMEOUT counts the time in which a load stands still, not the time that it takes."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .serving import serving, soon

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="only POSIX stops a process without ending it")


def test_a_load_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_LOAD_TIMEOUT", "300ms")
    with serving() as own, ThreadPoolExecutor(1) as pool:
        for _ in range(20):  # a child that has loaded its model before it is stopped does not count
            asked = pool.submit(own.client.post, "/api/chat", json={"model": "tiny"})
            soon(lambda: any("acagent_nb.server.child" in child.cmdline() for child in own.children))
            own.children[0].send_signal(signal.SIGSTOP)
            answer = asked.result()
            if answer.status_code == 500:
                break
            own.chat(messages=[], keep_alive=0)
            soon(lambda: own.children == [])
        assert answer.json()["error"].startswith("timed out waiting for llama-server to start - ")
        assert own.children == []


def test_a_load_that_is_slow_but_goes_on_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_LOAD_TIMEOUT", "2s")
    with serving() as own, ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        asked = pool.submit(own.client.post, "/api/chat", json={"model": "tiny"})
        soon(lambda: any("acagent_nb.server.child" in child.cmdline() for child in own.children))
        (child,) = own.children
        for _ in range(5):
            worked = sum(child.cpu_times()[:2])
            soon(lambda: sum(child.cpu_times()[:2]) > worked)  # noqa: B023  # it is done before `worked` changes
            child.suspend()
            time.sleep(0.6)
            assert not asked.done()
            child.resume()
        answer = asked.result()
        assert answer.status_code == 200, answer.text
        assert answer.json()["done_reason"] == "load"
        assert time.monotonic() - began > 3
        assert own.children == [child]
