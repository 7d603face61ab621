"""Modelfiles: Ollama's own cases, what a real server shows, every mistake with its line, and the way back to text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acagent_nb.errors import BadParams
from acagent_nb.messages import Message
from acagent_nb.modelfile import Modelfile, read
from acagent_nb.options import TABLE, Row

from .replay import SERVERS, recorded

CASES = [  # what Ollama's own parser makes of these, see its `parser/parser_test.go`
    ('FROM "FOO  BAR  "', {"from_": ("FOO  BAR  ",)}),
    ("FROM     FOOO BAR    ", {"from_": ("FOOO BAR",)}),
    ("FROM llama3:7b-instruct-q4_K_M", {"from_": ("llama3:7b-instruct-q4_K_M",)}),
    ("PARAMETER num_ctx 64 \nFROM lemons make lemonade ", {"from_": ("lemons make lemonade",)}),
    ("FROM foo\nPARAMETER stop ### User: ", {"parameters": {"stop": ["### User:"]}}),
    ('FROM foo\nPARAMETER stop "### User: "', {"parameters": {"stop": ["### User: "]}}),
    ('FROM foo\nPARAMETER stop """### User:\n"""', {"parameters": {"stop": ["### User:\n"]}}),
    ("FROM foo\nPARAMETER stop a\nPARAMETER stop b", {"parameters": {"stop": ["a", "b"]}}),
    ("FROM foo\nPARAMETER seed 1\nPARAMETER seed 2", {"parameters": {"seed": 2}}),
    ("FROM foo\nPARAMETER min_p 0.05\nPARAMETER use_mmap F", {"parameters": {"min_p": 0.05, "use_mmap": False}}),
    ("FROM foo\nPARAMETER top_p 1e-1\nPARAMETER num_gpu -1", {"parameters": {"top_p": 0.1, "num_gpu": -1}}),
    ('FROM foo\nSYSTEM """\nThis is a\nmultiline system.\n"""\n\t\t', {"system": "\nThis is a\nmultiline system.\n"}),
    ('FROM foo\nSYSTEM """This is a\nmultiline system."""', {"system": "This is a\nmultiline system."}),
    ('FROM foo\nSYSTEM """"""', {"system": ""}),
    ('FROM foo\nSYSTEM ""', {"system": ""}),
    ('FROM foo\nSYSTEM "\'"', {"system": "'"}),
    ("FROM foo\nSYSTEM 'single'", {"system": "'single'"}),  # they are no quotes
    ('FROM foo\nSYSTEM """\'\'"\'""\'""\'"\'\'\'\'\'""\'""\'"""', {"system": "''\"'\"\"'\"\"'\"'''''\"\"'\"\"'"}),
    ('FROM foo\nSYSTEM "one\ntwo # no comment\nthree"\n', {"system": "one\ntwo # no comment\nthree"}),
    ("FROM foo\nSYSTEM one \\\n# comment\n", {"system": "one \\"}),  # nothing continues a line
    ("FROM foo\nSYSTEM first\nSYSTEM second", {"system": "second"}),
    ("  # comment\r\n\tfrom foo\r\nsystem Be brief.\r\n#", {"from_": ("foo",), "system": "Be brief."}),
    ('FROM foo\nTEMPLATE """\n{{ .Prompt }}\n"""', {"template": "\n{{ .Prompt }}\n"}),
    ("FROM foo\nLICENSE MIT\nLICENSE and more", {"license": ("MIT", "and more")}),
    ("FROM foo\nREQUIRES v0.14.0", {"requires": "0.14.0"}),
    ("FROM foo\nRENDERER one\nPARSER two", {"renderer": "one", "parser": "two"}),
    (
        "FROM foo\nMESSAGE user a: b\nMESSAGE assistant c",
        {"messages": (Message("user", "a: b"), Message("assistant", "c"))},
    ),
    ('FROM foo\nMESSAGE system """\nTwo\nlines."""', {"messages": (Message("system", "\nTwo\nlines."),)}),
]


@pytest.mark.parametrize(("text", "fields"), CASES)
def test_it_is_read_as_ollama_reads_it(text: str, fields: dict[str, Any]) -> None:
    told = read(text)
    assert {name: getattr(told, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("", None, "no FROM line", "Start it with FROM"),
        ("SYSTEM alone", None, "no FROM line", "Start it with FROM"),
        ("FROM foo\n\nSYTEM x", 3, "no instruction 'SYTEM'", "SYSTEM"),
        ("FROM foo\n{}", 2, "no instruction '{}'", "FROM, PARAMETER"),
        ("FROM foo\nSYSTEM", 2, "SYSTEM has no value", "same line"),
        ("FROM   \n", 1, "FROM has no value", "path of a GGUF"),
        ("FROM foo\nADAPTER \n", 2, "ADAPTER has no value", "GGUF"),
        ("FROM foo\nADAPTER a\nADAPTER b", 3, "second ADAPTER", "leave one out"),
        ("FROM foo\nPARAMETER num_ctx\n", 2, "PARAMETER needs two", "PARAMETER temperature 0.2"),
        ("FROM foo\nMESSAGE user\n", 2, "MESSAGE needs two", "MESSAGE user Hello!"),
        ("FROM foo\nMESSAGE badguy hi", 2, "no role 'badguy'", "assistant"),
        ("FROM foo\nPARAMETER temprature 1", 2, "no model option 'temprature'", "temperature"),
        ("FROM foo\nPARAMETER tfs_z 1", 2, "no model option 'tfs_z'", "The options are"),
        ("FROM foo\nPARAMETER num_ctx many", 2, "num_ctx takes a whole number, not 'many'", ""),
        ("FROM foo\nPARAMETER top_k 1.5", 2, "top_k takes a whole number", ""),
        ("FROM foo\nPARAMETER top_p 7", 2, "from 0 to 1", "likeliest"),
        ("FROM foo\nPARAMETER temperature nan", 2, "takes a number", ""),
        ("FROM foo\nPARAMETER use_mmap yes", 2, "takes true or false, not 'yes'", ""),
        ("FROM foo\nREQUIRES newest", 2, "'newest' is no version", "0.14.0"),
        ('FROM foo\nSYSTEM """multi\nline""\n', 2, "never closed", "end of a line"),
        ('FROM foo\nSYSTEM "\n', 2, "never closed", "end of a line"),
        ('FROM foo\nSYSTEM "a" b\n', 2, "never closed", "end of a line"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_do(text: str, line: int | None, words: str, hint: str) -> None:
    with pytest.raises(BadParams, match=re.escape(words)) as caught:
        read(text)
    assert caught.value.message.startswith(f"Line {line} of the Modelfile: " if line else "The Modelfile has ")
    assert hint in caught.value.hint


def test_parameters_that_are_dead_are_kept_and_named() -> None:
    told = read("FROM foo\nPARAMETER mirostat 2\nPARAMETER seed 1\nPARAMETER f16_kv true\nPARAMETER penalize_newline 0")
    assert told.parameters == {"mirostat": 2, "seed": 1, "f16_kv": True, "penalize_newline": False}
    assert told.notes == (
        "The parameter mirostat has no effect since Ollama 0.7.0.",
        "The parameter f16_kv has no effect since Ollama 0.7.0.",
        "The parameter penalize_newline has no effect since Ollama 0.5.5.",
    )


def test_paths_start_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").touch()
    file = tmp_path / "Modelfile"
    file.write_text("FROM ./a.gguf\nFROM weights\nFROM b.GGUF\nFROM /c.gguf\nFROM tiny\nADAPTER sub/lora\nDRAFT ../d\n")
    told = read(file)
    sources = [str(tmp_path / name) for name in ("a.gguf", "weights", "b.GGUF", "/c.gguf")]
    assert told.from_ == (*sources, "tiny")
    assert told.adapter == str(tmp_path / "sub" / "lora")
    assert told.draft == str(tmp_path / ".." / "d")
    monkeypatch.chdir(tmp_path)
    assert read("Modelfile") == read(file.read_text()) == told
    assert read("FROM ~/a.gguf").from_ == (str(Path.home() / "a.gguf"),)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_it_may_come_from_windows(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "Modelfile"
    file.write_bytes("FROM tiny\r\nSYSTEM Grüß Gott 👩‍🚀\r\n".encode(encoding))
    assert read(file).system == "Grüß Gott 👩‍🚀"


def test_what_is_no_modelfile_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF\xff\xff")
    for path, words in (("a.gguf", "is no text"), ("nothing", "can't be read: No such file"), (".", "can't be read")):
        with pytest.raises(BadParams, match=words):
            read(tmp_path / path)


@pytest.mark.parametrize("path", ["Modlefile", "models/Modelfile", "C:\\Modelfile"])
def test_a_path_without_a_file_is_told_as_such(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadParams, match="There is no file"):
        read(path)


def test_what_is_no_text_is_no_modelfile() -> None:
    with pytest.raises(BadParams, match="not int"):
        read(5)  # type: ignore[arg-type]  # as a caller without types may


@pytest.mark.parametrize("server", SERVERS)
def test_what_a_server_shows_is_read(server: str) -> None:
    shown = json.loads(recorded("show_made2", server).lines[0])
    told = read(shown["modelfile"])
    assert told.system == "You are brief."
    assert told.template == shown["template"]
    assert told.parameters["num_ctx"] == 1024
    assert told.from_[0].startswith("/")


def test_a_text_that_the_grammar_can_not_say_is_refused() -> None:
    with pytest.raises(BadParams, match="no way to say"):
        str(Modelfile(("tiny",), system='a """\nb'))


def texts() -> st.SearchStrategy[str]:
    """Texts of what matters here: quotes, ends of lines, blanks, comments; but none that can't be said."""
    pieces = ['"', '"""', "\n", "\r\n", " ", "\t", "#", "FROM x", "a", "\\", "'", "é", "\u200d", "\x1c"]
    whole = st.lists(st.sampled_from(pieces), max_size=8).map("".join)
    return whole.filter(lambda text: not re.search(r'"""[ \t]*[\r\n]', text))


def value(row: Row) -> st.SearchStrategy[Any]:
    """One that the option may have."""
    if row.kind is bool:
        return st.booleans()
    if row.kind is list:
        return st.lists(texts(), min_size=1, max_size=3)
    low = 0 if row.low is None else row.low
    high = low + 100 if row.high is None else row.high
    return st.integers(int(low), int(high)) if row.kind is int else st.floats(low, high)


PATHS = st.sampled_from(["", "/a/b.gguf", "/with blank/b", '/with"quote/"'])


@given(
    st.builds(
        Modelfile,
        from_=st.lists(st.sampled_from(["tiny", "hf.co/a/b:Q4", "/a b/c.gguf"]), min_size=1, max_size=2).map(tuple),
        parameters=st.fixed_dictionaries({}, optional={name: value(row) for name, row in TABLE.items()}),
        template=texts(),
        system=texts(),
        adapter=PATHS,
        license=st.lists(texts(), max_size=2).map(tuple),
        messages=st.lists(st.builds(Message, role=st.sampled_from(["user", "system"]), content=texts())).map(tuple),
        requires=st.sampled_from(["", "0.14.0", "1.2.3-rc1"]),
        renderer=texts(),
        draft=PATHS,
    )
)
def test_what_is_written_is_read_back(told: Modelfile) -> None:
    assert read(str(told)) == told
