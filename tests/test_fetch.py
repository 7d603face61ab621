"""Downloads that are interrupted, taken over, shared, and too large."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest

from acagent_nb.server.store import Store

from .pulling import left_at, lines, pulled, puller, refused, stored
from .registries import Fake, Made, Turn, fake, honest, made, slow, until

MB = 1 << 20


def name(registry: Fake) -> str:
    return f"{registry.host}/library/m"


def partial(folder: Path, model: Made) -> Path:
    return folder / "blobs" / f"sha256-{model.digests[0][7:]}-partial"


def noted(path: Path) -> dict[int, dict[str, int]]:
    """What the notes beside a partial file say, by part."""
    return {note["N"]: note for note in (json.loads(each.read_text()) for each in path.parent.glob(f"{path.name}-*"))}


def starts(ranges: list[str | None]) -> list[int]:
    return [int(each.split("=")[1].split("-")[0]) for each in ranges if each]


def test_an_interrupted_pull_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with fake(slow) as registry:
        model = registry.add(made(3 * MB))
        asyncio.run(left_at(Store(tmp_path), name(registry), MB))
        path = partial(tmp_path, model)
        notes = noted(path)
        assert path.stat().st_size == 3 * MB  # sparse: as long as the blob from the start
        assert [note["Offset"] for _, note in sorted(notes.items())] == [0, MB, 2 * MB]
        assert all(0 <= note["Completed"] < note["Size"] == MB for note in notes.values())
        registry.asked.clear()
        told = pulled(tmp_path, name(registry))
    assert stored(tmp_path, model)
    there = sum(note["Completed"] for note in notes.values())
    assert there > MB // 2
    assert next(line["completed"] for line in told if "completed" in line) >= there
    assert sorted(starts(registry.ranges(model.digests[0]))) == sorted(
        note["Offset"] + note["Completed"] for note in notes.values()
    )
    assert not list(tmp_path.glob("blobs/*partial*"))


def test_notes_of_ollama_are_understood(tmp_path: Path) -> None:
    with fake() as registry:
        model = registry.add(made(2 * MB))
        path = partial(tmp_path, model)
        path.parent.mkdir(parents=True)
        path.write_bytes(model.blobs[0][:MB] + bytes(MB))
        Path(f"{path}-0").write_text(f'{{"N":0,"Offset":0,"Size":{2 * MB},"Completed":{MB}}}')
        pulled(tmp_path, name(registry))
        assert registry.ranges(model.digests[0]) == [f"bytes={MB}-{2 * MB - 1}"]
    assert stored(tmp_path, model)


@pytest.mark.parametrize(
    "note",
    ["", "{", "[]", '{"N":0,"Offset":0,"Size":5,"Completed":5}', '{"N":0,"Offset":0,"Size":2097152,"Completed":-1}'],
)
def test_notes_that_can_t_be_true_are_not_believed(note: str, tmp_path: Path) -> None:
    with fake() as registry:
        model = registry.add(made(2 * MB))
        path = partial(tmp_path, model)
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(2 * MB))
        Path(f"{path}-0").write_text(note)
        pulled(tmp_path, name(registry))
    assert stored(tmp_path, model)


def test_a_killed_server_s_successor_goes_on(tmp_path: Path) -> None:
    with fake(until(go := Event())) as registry:
        model = registry.add(made(4 * MB))
        path = partial(tmp_path, model)
        with puller(tmp_path, name(registry)) as process:
            while sum(note["Completed"] for note in noted(path).values()) < MB:
                time.sleep(0.01)
            process.kill()  # SIGKILL: nothing is tidied up
        assert not Store(tmp_path).models()
        notes = noted(path)
        go.set()
        registry.asked.clear()
        pulled(tmp_path, name(registry))
        asked = starts(registry.ranges(model.digests[0]))
    assert stored(tmp_path, model)
    assert sorted(asked) == sorted(note["Offset"] + note["Completed"] for note in notes.values())


def comes_far(process: subprocess.Popen[str]) -> None:
    """Wait until it tells of a megabyte."""
    assert process.stdout is not None
    while json.loads(process.stdout.readline()).get("completed", 0) < MB:
        pass


def test_two_servers_on_one_folder(tmp_path: Path) -> None:
    with fake(until(go := Event())) as registry:
        model = registry.add(made(3 * MB))
        with puller(tmp_path, name(registry)) as first, puller(tmp_path, name(registry)) as second:
            for process in (first, second):  # the one downloads, the other one waits and tells what it sees
                comes_far(process)
            go.set()
            said = [process.communicate()[0].splitlines() for process in (first, second)]
    assert stored(tmp_path, model)
    assert len(registry.ranges(model.digests[0])) == 3
    assert [json.loads(each[-1]) for each in said] == [{"status": "success"}] * 2


def test_the_second_server_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    with fake(until(go := Event())) as registry:
        model = registry.add(made(4 * MB))
        with puller(tmp_path, name(registry)) as first:
            comes_far(first)
            with puller(tmp_path, name(registry)) as second:
                comes_far(second)
                assert len(registry.ranges(model.digests[0])) == 4
                first.kill()
                go.set()
                rest = second.communicate()[0].splitlines()
    assert json.loads(rest[-1]) == {"status": "success"}
    assert stored(tmp_path, model)
    assert len([start for start in starts(registry.ranges(model.digests[0])) if start % MB]) == 4  # each went on


def test_three_askers_share_one_download(tmp_path: Path) -> None:
    async def all_three() -> list[list[dict[str, object]]]:
        store, began = Store(tmp_path), [asyncio.Event() for _ in range(3)]
        names = [name(registry), name(registry), f"{registry.host}/other/name:v2"]
        asking = []
        for each, event in zip(names, began, strict=True):
            asking.append(asyncio.create_task(lines(store, each, began=event)))
            await event.wait()
        go.set()
        return await asyncio.gather(*asking)

    with fake(until(go := Event())) as registry:
        model = registry.add(made(3 * MB))
        registry.add(model, "other/name")
        told = asyncio.run(all_three())
    assert len(registry.ranges(model.digests[0])) == 3
    assert stored(tmp_path, model)
    assert len(Store(tmp_path).models()) == 2
    for each in told:
        assert each[-1] == {"status": "success"}
        assert any(0 < line.get("completed", 0) < 3 * MB for line in each)  # each was told how far it is


def test_one_leaves_and_the_others_do_not_notice(tmp_path: Path) -> None:
    async def two() -> list[dict[str, object]]:
        store, begun, joined = Store(tmp_path), asyncio.Event(), asyncio.Event()
        leaving = asyncio.create_task(lines(store, name(registry), began=begun))  # the one who began
        await begun.wait()
        staying = asyncio.create_task(lines(store, name(registry), began=joined))
        await joined.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        go.set()
        return await staying

    with fake(until(go := Event())) as registry:
        model = registry.add(made(3 * MB))
        assert asyncio.run(two())[-1] == {"status": "success"}
    assert len(registry.ranges(model.digests[0])) == 3
    assert stored(tmp_path, model)


def test_the_last_asker_leaves_and_it_stops(tmp_path: Path) -> None:
    sent: list[float] = []

    def watched(turn: Turn) -> None:
        turn.honest_head()
        for start in range(turn.start, turn.end, 4096):
            turn.send(turn.data[start : min(start + 4096, turn.end)], 0.005)
            sent.append(time.monotonic())

    async def leave() -> float:
        await left_at(Store(tmp_path), name(registry), MB // 4)
        left = time.monotonic()
        await asyncio.sleep(1.2)  # the loop goes on, as a server's does
        return left

    with fake(watched) as registry:
        model = registry.add(made(8 * MB))
        left = asyncio.run(leave())
        count = len(sent)
        time.sleep(0.3)
        assert len(sent) == count
    assert sent[-1] - left < 1
    assert sum(note["Completed"] for note in noted(partial(tmp_path, model)).values()) > 0


def test_who_comes_back_at_once_goes_on(tmp_path: Path) -> None:
    async def back() -> None:
        store = Store(tmp_path)
        for part in range(1, 5):
            await left_at(store, name(registry), part * MB // 2)
        await lines(store, name(registry))

    with fake(slow) as registry:
        model = registry.add(made(3 * MB))
        asyncio.run(back())
        asked = starts(registry.ranges(model.digests[0]))
    assert stored(tmp_path, model)
    assert len([start for start in asked if start % MB == 0]) <= 6  # not fifteen: three parts, asked for five times


def test_another_asker_s_registry_may_fail(tmp_path: Path) -> None:
    asked = Event()

    def stuck(turn: Turn) -> None:
        asked.set()
        time.sleep(0.25)
        turn.head(403, Content_Length=0)

    async def both() -> list[object]:
        store = Store(tmp_path)
        first = asyncio.create_task(lines(store, name(bad)))
        await asyncio.to_thread(asked.wait)
        return list(await asyncio.gather(first, lines(store, name(good)), return_exceptions=True))

    with fake(stuck) as bad, fake() as good:
        model = good.add(bad.add(made()))
        first, second = asyncio.run(both())
    assert str(first) == "403: "
    assert isinstance(second, list)
    assert second[-1] == {"status": "success"}
    assert stored(tmp_path, model)


def test_a_blob_that_was_cut_off_is_fetched_again(tmp_path: Path) -> None:
    with fake() as registry:
        model = registry.add(made())
        pulled(tmp_path, name(registry))
        os.truncate(partial(tmp_path, model).with_name(f"sha256-{model.digests[0][7:]}"), 100)
        pulled(tmp_path, name(registry))
    assert stored(tmp_path, model)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk to fill: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_what_does_not_fit_is_not_begun(small_disk: Path) -> None:
    with fake() as registry:
        registry.add(made(4 * MB))
        said = refused(small_disk, name(registry))
        assert not [each for each in registry.asked if "blobs" in each.path]
    assert re.fullmatch(r"write .*: no space left on device: 4\.2 MB are needed and 3\.1 MB are free", said)


def test_a_disk_that_fills_up_meanwhile(small_disk: Path) -> None:
    with fake() as registry:

        def filling(turn: Turn) -> None:
            with contextlib.suppress(OSError):
                (small_disk / "filler").write_bytes(bytes(2 * MB))
            slow(turn)

        registry.answer = filling
        model = registry.add(made(2 * MB))
        said = refused(small_disk, name(registry))
        path = partial(small_disk, model)
        assert said == f"write {path}: no space left on device"
        assert path.stat().st_size == 2 * MB  # what has come stays
        (small_disk / "filler").unlink()
        registry.answer = honest
        pulled(small_disk, name(registry))
        assert stored(small_disk, model)


@pytest.mark.skipif("ACAGENT_NB_TEST_BIG" not in os.environ, reason="writes 4 GB to the disk: set ACAGENT_NB_TEST_BIG")
def test_4_gb_with_flat_memory(tmp_path: Path) -> None:
    size, zeros, digest = 4 << 30, bytes(MB), hashlib.sha256()
    source = tmp_path / "zeros"
    source.touch()
    os.truncate(source, size)  # takes no room
    for _ in range(size // MB):
        digest.update(zeros)

    def sends_zeros(turn: Turn) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", turn.handler.headers["Range"])
        assert asked is not None
        start, length = int(asked[1]), int(asked[2]) + 1 - int(asked[1])
        turn.head(206, Content_Length=length, Content_Range=f"bytes {asked[1]}-{asked[2]}/{size}")
        with source.open("rb") as file:
            turn.handler.connection.sendfile(file, start, length)

    model = made()
    manifest = json.loads(model.manifest)
    manifest["layers"][0] |= {"digest": f"sha256:{digest.hexdigest()}", "size": size}
    used, line = [], ""
    with fake(sends_zeros) as registry:
        registry.add(model)
        registry.manifests["library/m"] = json.dumps(manifest).encode()
        registry.blobs[manifest["layers"][0]["digest"]] = zeros
        began = time.monotonic()
        with puller(tmp_path, name(registry), "as ever") as process:
            assert process.stdout is not None
            for line in process.stdout:  # noqa: B007 - the last one is looked at below
                used.append(psutil.Process(process.pid).memory_info().rss)
        took = time.monotonic() - began
    assert json.loads(line) == {"status": "success"}
    print(f"{took:.1f} s, {used[0] / MB:.0f} MB at the start, {max(used) / MB:.0f} MB at most, {len(used)} lines")
    assert max(used) - used[0] < 64 * MB
