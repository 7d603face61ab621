"""Pictures of every kind a notebook has them in, and what is no picture."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from acagent_nb.errors import BadPrompt
from acagent_nb.images import encoded

SECRET = "the-secret-diary"


def drawn(kind: str = "PNG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (8, 6), 0 if mode == "L" else (200, 30, 40)).save(buffer, format=kind)
    return buffer.getvalue()


def seen(text: str) -> Image.Image:
    """What a server sees of it."""
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_bytes_of_every_kind_go_as_they_are(kind: str) -> None:
    data = drawn(kind)
    for image in (data, bytearray(data), memoryview(data)):
        assert base64.b64decode(encoded(image)) == data
    assert seen(encoded(data)).format == kind


def test_a_file_by_its_path_or_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Qk").mkdir()
    file = tmp_path / "Qk" / "cat"  # a name that is base64, too
    file.write_bytes(drawn())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    wanted = base64.b64encode(drawn()).decode()
    for path in (file, str(file), "Qk/cat", Path("Qk/cat"), "~/Qk/cat", Path("~/Qk/cat")):
        assert encoded(path) == wanted


def test_base64_loses_its_line_breaks_and_a_data_uri_its_beginning() -> None:
    wanted = base64.b64encode(drawn()).decode()
    assert encoded(wanted) == wanted
    assert encoded(base64.encodebytes(drawn()).decode()) == wanted
    assert encoded(f"data:image/png;base64,{wanted}") == wanted
    assert encoded(f"DATA:image/png;charset=x;BASE64,{wanted}") == wanted


def test_a_picture_of_many_megabytes_is_taken() -> None:
    data = drawn() + bytes(20_000_000)
    text = base64.b64encode(data).decode()
    assert encoded(data) == encoded(text) == text


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I", "F", "CMYK", "YCbCr", "HSV"])
def test_a_pil_image_of_any_mode(mode: str) -> None:
    there = seen(encoded(Image.new(mode, (8, 6))))
    assert (there.size, there.format) == ((8, 6), "PNG")


def test_a_photograph_stays_a_jpeg_of_the_same_quality() -> None:
    noise = Image.effect_noise((64, 64), 80)
    buffer = io.BytesIO()
    noise.save(buffer, format="JPEG", quality=60)
    again = seen(encoded(Image.open(io.BytesIO(buffer.getvalue()))))
    assert again.format == "JPEG"
    assert again.quantization == Image.open(io.BytesIO(buffer.getvalue())).quantization  # type: ignore[attr-defined]  # JPEGs have it


def test_a_matplotlib_figure_is_drawn() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    figure.add_subplot().plot([1, 2, 3])
    assert seen(encoded(figure)).format == "PNG"


@pytest.mark.parametrize("address", ["https://example.org/cat.png", "HTTP://example.org/cat.png"])
def test_an_address_is_refused_and_says_what_to_do(address: str) -> None:
    with pytest.raises(BadPrompt, match="not fetched") as raised:
        encoded(address)
    assert "Download it" in raised.value.hint


@pytest.mark.parametrize(
    "image",
    [
        SECRET,
        SECRET.encode(),
        base64.b64encode(SECRET.encode()).decode(),
        f"data:image/png;base64,{base64.b64encode(SECRET.encode()).decode()}",
        f"data:text/plain,{SECRET}",
        "iVBORw0KGgo",  # cut off in the middle of a byte
        "",
        b"",
        b"BM is how this note begins",
        b"RIFF\0\0\0\0WAVE a sound",
        "a\0b",
        "é" * 5000,
    ],
)
def test_what_is_no_picture_is_refused_and_not_shown(image: str | bytes) -> None:
    with pytest.raises(BadPrompt) as raised:
        encoded(image)
    shown = str(raised.value)
    assert raised.value.hint
    assert SECRET not in shown
    assert base64.b64encode(SECRET.encode()).decode() not in shown
    assert len(shown) < 300


def test_a_file_that_is_not_there_or_no_picture(tmp_path: Path) -> None:
    with pytest.raises(BadPrompt, match=r"no file 'kat\.png'"):
        encoded("kat.png")
    with pytest.raises(BadPrompt, match=r"kat\.png.*No such file"):
        encoded(tmp_path / "kat.png")
    with pytest.raises(BadPrompt, match="can't be read"):
        encoded(tmp_path)
    (tmp_path / "note.png").write_text(SECRET)
    with pytest.raises(BadPrompt, match="no picture") as raised:
        encoded(tmp_path / "note.png")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("thing", [None, 5, ["cat.png"], object()])
def test_a_value_of_another_type_is_named_by_its_type(thing: object) -> None:
    with pytest.raises(BadPrompt, match=f"type {type(thing).__name__}"):
        encoded(thing)
