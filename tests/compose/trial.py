"""docker-compose.yml run for real: `tests/compose/try`, on stand-ins of its images, or `--real` on those themselves.

    a clone of its own ─► up ─► both addresses, bash, logs, disk, a new container, JupyterLab ─► test ─► GPUs ─► down

Each step prints what it saw; the first that goes wrong ends it. Everything that it started is taken away
again. It needs docker and its compose, and as root can start the daemon itself; for the stand-ins debootstrap.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import standins, steps
from .stack import Stack

HOUSE = Path(__file__).parent.parent.parent
_OWNER = 12345  # nobody's number, when root runs this: then what root leaves behind shows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all steps; the exit status is 0 if they passed."""
    parser = argparse.ArgumentParser(prog="tests/compose/try", description=__doc__.splitlines()[0])
    parser.add_argument("--real", action="store_true", help="pull the real images instead of building stand-ins")
    parser.add_argument("--model", help="a small one (default: local_tiny; with --real what docker-compose.yml says)")
    parser.add_argument("--dockerd", action="store_true", help="start docker's daemon too, as root, until the end")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep what the stand-ins are made of")
    parser.add_argument("--only", metavar="STEP", action="append", help="only this step; may be repeated")
    given = parser.parse_args(arguments)
    chosen = [each for each in steps.STEPS if not given.only or each.__name__ in given.only]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acagent-nb-compose-")))
        if given.dockerd:
            stack.enter_context(_daemon(folder))
        tried = Stack(_cloned(folder / "clone"), given.model or (None if given.real else "local_tiny"))
        if not given.real:
            names = [tried.image(service) for service in ("jupyter", "test", "ollama")]
            print(f"building stand-ins for {', '.join(names)} ...", flush=True)
            stack.callback(standins.remove, names)
            standins.build(HOUSE, given.cache or folder / "cache", names)
        stack.callback(tried.down)
        for number, step in enumerate(chosen, 1):
            began = time.monotonic()
            print(f"\n{number}. {step.__doc__}", flush=True)
            try:
                step(tried)
            except BaseException:
                print(tried.words("logs", "--no-color", "--tail", "60", check=False), file=sys.stderr)
                raise
            print(f"   passed in {time.monotonic() - began:.0f} s", flush=True)
    print(f"\ncompose: all {len(chosen)} steps passed")
    return 0


def _cloned(folder: Path) -> Path:
    """What git knows or would take in, as another user's clone."""
    listed = subprocess.run(
        ["git", "-C", str(HOUSE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    for name in listed.stdout.strip("\0").split("\0"):
        if (HOUSE / name).is_file():  # and was not just removed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HOUSE / name, folder / name)
    if os.getuid() == 0:
        folder.parent.chmod(0o755)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, _OWNER, _OWNER)
    return folder


@contextmanager
def _daemon(folder: Path) -> Iterator[None]:
    """A docker daemon with images of its own, until the end of the block."""
    socket = folder / "docker.sock"
    places = {"--data-root": "data", "--exec-root": "run", "--pidfile": "pid"}
    told = [word for flag, name in places.items() for word in (flag, str(folder / name))]
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(["dockerd", "--host", f"unix://{socket}", *told], stdout=log, stderr=log)
    os.environ["DOCKER_HOST"] = f"unix://{socket}"
    try:
        while subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
            if process.poll() is not None:
                raise SystemExit((folder / "dockerd.log").read_text())
            time.sleep(0.2)
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    raise SystemExit(main())
