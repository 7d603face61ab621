"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from acagent_nb import whole


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these permissions nor links for everybody")
def test_permissions_and_a_link_stay(tmp_path: Path) -> None:
    file, link = tmp_path / "a.json", tmp_path / "link.json"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(file)
    whole.write(link, b"new")
    assert file.read_bytes() == b"new"
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_new_file_is_as_others_are_or_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    whole.write(tmp_path / "new", b"new")
    whole.write(tmp_path / "mine", b"new", private=True)
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o600


def test_what_cant_be_replaced_stays_and_no_draft_is_left(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises((IsADirectoryError, PermissionError)):
        whole.write(tmp_path / "folder", b"new")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that is being read")
def test_a_reader_never_sees_a_half(tmp_path: Path) -> None:
    file, ended = tmp_path / "a.json", Event()
    whole.write(file, b"a" * 500_000)
    seen: set[bytes] = set()

    def read() -> None:
        while not ended.is_set():
            seen.add(file.read_bytes())

    reader = Thread(target=read)
    reader.start()
    for letter in b"bcd" * 10:
        whole.write(file, bytes([letter]) * 500_000)
    ended.set()
    reader.join()
    assert seen <= {bytes([letter]) * 500_000 for letter in b"abcd"}
    assert os.listdir(tmp_path) == ["a.json"]
