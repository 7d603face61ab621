"""What a registry is asked, what its answers mean, and which lines a pull tells of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from acagent_nb.errors import BadName
from acagent_nb.server.store import Store

from .pulling import pulled, refused, stored
from .registries import Turn, docker_registry, fake, honest, made, push, say, slow
from .replay import SERVERS, recordings

MISSING = "127.0.0.1:9/library/x"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def test_a_real_registry_gives_a_model_that_is_listed(host: str, tmp_path: Path) -> None:
    model = made()
    push(host, model, "library/small")
    lines = pulled(tmp_path, f"http://{host}/library/small")
    assert [line["status"] for line in lines if "digest" not in line] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    ends = [line for line in lines if line.get("completed") == line.get("total", -1)]
    assert [line["digest"] for line in ends] == model.digests  # the manifest's order, the config last
    assert stored(tmp_path, model)
    found = Store(tmp_path).models()
    assert [each.name.full for each in found] == [f"{host}/library/small:latest"]
    assert found[0].size == sum(map(len, model.blobs))
    manifest = tmp_path / "manifests" / host / "library" / "small" / "latest"
    assert manifest.read_bytes() == model.manifest


def test_many_parts_from_a_real_registry_make_one_blob(host: str, tmp_path: Path) -> None:
    model = made(24 << 20)
    push(host, model, "library/big", "v2")
    lines = pulled(tmp_path, f"{host}/library/big:v2")
    assert stored(tmp_path, model)
    assert not list(tmp_path.glob("blobs/*partial*"))
    assert all(0 < line.get("completed", 1) <= line.get("total", 1) for line in lines)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("case", ["pull_new", "pull_again", "pull_slow_with_progress", "pull_missing"])
def test_lines_have_the_shapes_of_the_recorded_ones(case: str, server: str, tmp_path: Path) -> None:
    def shapes(lines: list[dict[str, object]]) -> set[tuple[tuple[str, str], ...]]:
        # a line about a layer that nothing has come of yet may be missing in either
        told = [line for line in lines if "digest" not in line or "completed" in line]
        return {tuple((key, type(value).__name__) for key, value in line.items()) for line in told}

    def kinds(lines: list[dict[str, object]]) -> list[str]:
        """What happened, each thing once."""
        said = ["pulling" if "digest" in line else str(line.get("status", line.get("error"))) for line in lines]
        return [word for n, word in enumerate(said) if [word] != said[max(n - 1, 0) : n]]

    expected = [json.loads(text) for _, text in recordings(server)[case]["lines"]]
    with fake(slow if "slow" in case else honest) as registry:
        name = f"{registry.host}/library/m"
        if case == "pull_missing":
            assert refused(tmp_path, name) == expected[-1]["error"]
            return
        registry.add(made(2 << 20))
        lines = pulled(tmp_path, name)
        if case == "pull_again":
            lines = pulled(tmp_path, name)
            assert sum("blobs" in each.path for each in registry.asked) == 5  # two parts and three small ones, once
    assert shapes(lines) == shapes(expected)
    assert kinds(lines) == kinds(expected)
    word = next(line for line in lines if "digest" in line)
    assert word["status"] == f"pulling {word['digest'][7:19]}"


@pytest.mark.parametrize("server", SERVERS)
def test_a_refusing_registry_is_told_of_in_the_recorded_words(server: str, tmp_path: Path) -> None:
    case = recordings(server)["pull_registry_down"]
    assert refused(tmp_path, MISSING) == json.loads(case["lines"][-1][1])["error"]


@pytest.mark.parametrize("insecure", [True, False])
def test_https_unless_insecure_whatever_the_scheme_says(insecure: bool, tmp_path: Path) -> None:
    for scheme in ("", "http://", "https://"):
        said = refused(tmp_path, scheme + MISSING, insecure)
        assert said.startswith(f'pull model manifest: Get "http{"" if insecure else "s"}://127.0.0.1:9/v2/library/x/')


def test_https_to_a_registry_that_speaks_http(tmp_path: Path) -> None:
    with fake() as registry:
        said = refused(tmp_path, f"{registry.host}/library/m", insecure=False)
    assert said.endswith(": http: server gave HTTP response to HTTPS client")


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="only root can cut a network off")
def test_no_such_host(tmp_path: Path) -> None:
    command = [
        "unshare",
        "--net",
        sys.executable,
        "-m",
        "tests.pulling",
        tmp_path,
        "nowhere.invalid/library/m:v1",
        "quick",
    ]
    said = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False).stderr
    url = "http://nowhere.invalid/v2/library/m/manifests/v1"
    assert f'pull model manifest: Get "{url}": dial tcp: lookup nowhere.invalid: no such host' in said


def test_a_port_that_is_none(tmp_path: Path) -> None:
    assert refused(tmp_path, "lab:99999/library/m").startswith('pull model manifest: Get "http://lab:99999/v2/')


def test_a_bad_name(tmp_path: Path) -> None:
    with pytest.raises(BadName):
        pulled(tmp_path, "a b//c")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (412, b'{"errors":[{"code":"UPGRADE"}]}', '412: {"errors":[{"code":"UPGRADE"}]}'),
        (404, b"", "file does not exist"),
        (500, b"oops", "500: oops"),
        (307, b"", 'Get "http://{host}/v2/library/m/manifests/latest": 307 response missing Location header'),
        (401, b"", 'realm host "" does not match original host "{host}"'),
        (200, b"<html>", "the registry's answer is not the manifest of a model"),
        (200, b'{"layers":[]}', "the registry's answer is not the manifest of a model"),
    ],
)
def test_a_manifest_that_is_refused(status: int, body: bytes, said: str, tmp_path: Path) -> None:
    with fake() as registry:
        registry.manifests["library/m"] = lambda handler: say(handler, status, body)
        assert refused(tmp_path, f"{registry.host}/library/m") == "pull model manifest: " + said.replace(
            "{host}", registry.host
        )
    assert not Store(tmp_path).models()


@pytest.mark.parametrize("digest", ["sha256:../../../../tmp/x", "sha256:" + "A" * 64, "md5:1", 5, None])
@pytest.mark.parametrize("size", [10, -1, "10", None])
def test_a_manifest_that_lies_reaches_no_file(digest: object, size: object, tmp_path: Path) -> None:
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": size}
    with fake() as registry:
        registry.manifests["library/m"] = json.dumps({"config": layer, "layers": [layer]}).encode()
        assert refused(tmp_path, f"{registry.host}/library/m").endswith("is not the manifest of a model")
    assert not list(tmp_path.iterdir())


def test_a_token_is_fetched_where_the_registry_says(tmp_path: Path) -> None:
    with fake(token="t0ken") as registry:
        model = registry.add(made())
        pulled(tmp_path, f"{registry.host}/library/m")
    assert stored(tmp_path, model)
    asked = [each for each in registry.asked if each.path.startswith("/token")]
    assert all("service=test&scope=repository%3Ax%3Apull" in each.path for each in asked)
    assert all(each.token is None for each in asked)


def test_but_only_at_the_registry_s_own_host(tmp_path: Path) -> None:
    with fake() as elsewhere, fake() as registry:
        challenge = f'Bearer realm="http://{elsewhere.host}/token",service="x"'
        registry.manifests["library/m"] = lambda handler: say(handler, 401, b"", WWW_Authenticate=challenge)
        said = refused(tmp_path, f"{registry.host}/library/m")
    assert said.endswith(f'realm host "{elsewhere.host}" does not match original host "{registry.host}"')
    assert not elsewhere.asked


def test_a_private_model_stays_private(tmp_path: Path) -> None:
    with fake(token="t0ken") as registry:

        def never(handler: BaseHTTPRequestHandler) -> None:
            say(handler, 401, b"", WWW_Authenticate=f'Bearer realm="http://{registry.host}/token"')

        registry.manifests["library/m"] = never
        assert refused(tmp_path, f"{registry.host}/library/m") == "pull model manifest: unauthorized: access denied"


def test_a_token_is_not_shown_to_who_holds_the_blobs(tmp_path: Path) -> None:
    with fake() as blobs:

        def redirect(turn: Turn) -> None:
            turn.head(307, Location=f"http://{blobs.host}{turn.handler.path}", Content_Length=0)

        with fake(redirect, token="t0ken") as registry:
            model = registry.add(made(2 << 20))
            blobs.blobs = registry.blobs
            pulled(tmp_path, f"{registry.host}/library/m")
    assert stored(tmp_path, model)
    assert {each.token for each in registry.asked if "blobs" in each.path} == {"Bearer t0ken"}
    assert [each.token for each in blobs.asked] == [None, None]
    assert {each.ranged for each in blobs.asked} == {"bytes=0-1048575", "bytes=1048576-2097151"}


def test_redirects_in_a_circle(tmp_path: Path) -> None:
    with fake(lambda turn: turn.head(302, Location=turn.handler.path, Content_Length=0)) as registry:
        registry.add(made())
        assert refused(tmp_path, f"{registry.host}/library/m").endswith("stopped after 10 redirects")


def test_no_proxy_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with fake() as registry:
        registry.add(made())
        for host in (registry.host, registry.host.replace("127.0.0.1", "localhost")):
            pulled(tmp_path, f"{host}/library/m")
    assert refused(tmp_path, "nowhere.invalid/library/m").endswith("dial tcp 127.0.0.1:9: connect: connection refused")


def test_an_update_removes_what_it_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = made(), made(), made()
    with fake() as registry:
        name = f"{registry.host}/library/M"
        registry.add(first, "library/M")
        pulled(tmp_path, name)
        registry.add(second, "library/M")
        registry.add(second, "library/m")
        again = name.replace("/M", "/m")  # the spelling that is there wins, as in Ollama
        assert [line["status"] for line in pulled(tmp_path, again)][-3:] == [
            "writing manifest",
            "removing unused layers",
            "success",
        ]
        assert [model.name.model for model in Store(tmp_path).models()] == ["M"]
        assert stored(tmp_path, second)
        assert not (tmp_path / "blobs" / first.digests[0].replace(":", "-")).exists()
        monkeypatch.setenv("OLLAMA_NOPRUNE", "1")
        registry.add(third, "library/M")
        assert "removing unused layers" not in [line["status"] for line in pulled(tmp_path, name)]
        assert stored(tmp_path, second)


def test_a_layer_that_is_deleted_meanwhile_is_fetched_again(tmp_path: Path) -> None:
    store, gone = Store(tmp_path), threading.Event()
    shared = made()
    other = type(shared)((shared.blobs[1], *made(1 << 20).blobs[:1], b'{"other":1}'))  # small layer first
    with fake() as registry:
        registry.add(shared)
        pulled(store, f"{registry.host}/library/m")

        def deleting(turn: Turn) -> None:
            model = store.find(f"{registry.host}/library/m")
            if model:
                store.delete(model)
                gone.set()
            slow(turn)

        registry.answer = deleting
        registry.add(other, "library/other")
        lines = pulled(store, f"{registry.host}/library/other")
    assert gone.is_set()
    assert lines[-1] == {"status": "success"}
    assert stored(tmp_path, other)
