"""Stand-ins for the images of docker-compose.yml, under their names, where no image can be pulled.

    debootstrap ─► debian ─┬─► python:…         the slim one less libgomp, which the real one lacks too
    pip download ─► wheels ┘─► ollama/ollama:…  `acagent-nb serve`, and `ollama` by our own commands

Both come from wherever this machine's apt and pip are configured to look; the wheels go along in the images,
so that a container needs no network. The real images have another Python, and the real server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
LABEL = "acagent-nb.stand-in"
BASE = "acagent-nb/debian"
_PACKAGES = "ca-certificates,libgomp1,python3,python3-venv"
_BASE = f"""
FROM {BASE}:bare
COPY wheels /wheels
LABEL {LABEL}=yes
RUN ln -s python3 /usr/bin/python && printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' > /etc/pip.conf
"""
_SLIM = f"""
FROM {BASE}
RUN dpkg --purge --force-depends libgomp1
"""
_OLLAMA = f"""
FROM {BASE}
RUN python -m venv /opt/acagent_nb && /opt/acagent_nb/bin/pip install acagent-nb[embedded]
COPY ollama /bin/ollama
ENV OLLAMA_HOST=0.0.0.0:11434
EXPOSE 11434
ENTRYPOINT ["/bin/ollama"]
CMD ["serve"]
"""


def build(clone: Path, cache: Path, names: Iterable[str]) -> None:
    """Build the images.

    Parameters
    ----------
    clone
        The repository, whose package is put in.
    cache
        A folder that keeps the Debian and the wheels from one run to the next.
    names
        Those that the images get; they tell what each is.

    Raises
    ------
    SystemExit
        There is a real image of such a name, which is left alone.
    """
    for name in names:
        if is_real(name):
            raise SystemExit(f"{name} is here already, and is no stand-in: run with --real")
    root = _debian(cache)
    found = sorted((root / "usr/bin").glob("python3.*"))
    version = next(path.name.removeprefix("python") for path in found if path.name[8:].isdigit())
    _wheels(clone, cache / "wheels", version)
    _imported(root)
    _built(BASE, _BASE, cache, ["wheels"])
    for name in names:
        if "python" in name:
            _built(name, _SLIM if "slim" in name else f"FROM {BASE}", cache, [])
        else:
            _built(name, _OLLAMA, cache, ["ollama"])


def remove(names: Iterable[str]) -> None:
    """Remove those of these images that are stand-ins."""
    for name in (*names, BASE, f"{BASE}:bare"):
        if name.startswith(BASE) or not is_real(name):
            subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=False)
    ours = f"label={LABEL}"  # what lost its name to a newer one
    subprocess.run(["docker", "image", "prune", "--force", "--filter", ours], capture_output=True, check=False)


def is_real(name: str) -> bool:
    """Whether an image of this name is here that was not made by `build`."""
    asked = ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", name]
    ran = subprocess.run(asked, capture_output=True, text=True, check=False)
    return ran.returncode == 0 and LABEL not in (json.loads(ran.stdout) or {})


def _debian(cache: Path) -> Path:
    """A small Debian; made once, as it takes a minute."""
    root, done = cache / "root", cache / "root.done"
    if not done.exists():
        shutil.rmtree(root, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        _run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root))
        done.touch()
    return root


def _wheels(clone: Path, wheels: Path, python: str) -> None:
    """All that the containers install, for their Python; the package itself anew each time."""
    for old in wheels.glob("acagent_nb-*"):
        old.unlink()
    pip = (sys.executable, "-m", "pip")
    told = ("--only-binary=:all:", "--python-version", python, "--find-links", str(wheels))
    _run(*pip, "download", "--dest", str(wheels), *told, f"{clone}[dev]", "hatchling", "editables")
    _run(*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(clone))


def _imported(root: Path) -> None:
    """The folder as an image, without what apt has left."""
    tar = ["tar", "-C", str(root), "--exclude=./var/cache/apt/archives/*", "--exclude=./var/lib/apt/lists/*", "-c", "."]
    with subprocess.Popen(tar, stdout=subprocess.PIPE) as packing:
        subprocess.run(["docker", "import", "-", f"{BASE}:bare"], stdin=packing.stdout, check=True, capture_output=True)


def _built(name: str, words: str, cache: Path, files: Sequence[str]) -> None:
    """One image, from a folder that holds nothing else."""
    context = cache / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    (context / "Dockerfile").write_text(words)
    for file in files:
        if file == "wheels":
            shutil.copytree(cache / file, context / file, copy_function=os.link)
        else:
            shutil.copy(HERE / file, context / file)
    _run("docker", "build", "--quiet", "--tag", name, str(context))


def _run(*command: str) -> None:
    """Run a program quietly; all that it said, if it fails."""
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}\n{ran.stdout}\nfailed with {ran.returncode}")
