"""Whatever a user points at: a message in three parts, little memory and time, and nothing left on the disk."""

from __future__ import annotations

import gzip
import io
import os
import resource
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.profile import inspect
from automl.errors import UserError

MOST_SECONDS, MOST_BYTES = 60, 1 << 30
Maker = Callable[[Path], Path]


def data(name: str, content: bytes | str) -> Maker:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return make


def sparse(name: str, head: bytes, size: int) -> Maker:
    def make(folder: Path) -> Path:
        with (folder / name).open("wb") as file:
            file.write(head)
            file.truncate(size)
        return folder / name

    return make


def rows(count: int, label: Callable[[int], object]) -> str:
    return "text,label\n" + "".join(f"word{n * 7919 % 99991} and {n},{label(n)}\n" for n in range(count))


def cut(content: bytes, share: float = 0.5) -> bytes:
    return content[: int(len(content) * share)]


def parquet_bytes() -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table({"text": ["a"] * 500, "label": list("xy") * 250}), sink)
    return sink.getvalue()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return sink.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def locked() -> bytes:
    content = bytearray(zipped(("rows.csv", rows(20, lambda n: n % 2).encode())))
    content[6] |= 1  # the flag of an encrypted member, in its own header and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def tarred(kind: bytes, name: str, target: str = "") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member, io.BytesIO())
    return sink.getvalue()


def nested(depth: int) -> bytes:
    content = rows(20, lambda n: n % 2).encode()
    for level in range(depth):
        content = zipped((f"{level}.zip" if level else "rows.csv", content))
    return content


def folder(*steps: Callable[[Path], object]) -> Maker:
    def make(place: Path) -> Path:
        (place / "folder").mkdir()
        for step in steps:
            step(place / "folder")
        return place / "folder"

    return make


def loop(place: Path) -> None:
    (place / "a").mkdir()
    (place / "a" / "again").symlink_to(place / "a", target_is_directory=True)
    (place / "b").mkdir()


def own_link(place: Path) -> Path:
    (place / "rows.csv").symlink_to(place / "rows.csv")
    return place / "rows.csv"


def pipe(place: Path) -> Path:
    os.mkfifo(place / "rows.csv")
    return place / "rows.csv"


CONTRADICTIONS = "good day,a\ngood day,b\nbad day,a\nbad day,b\n"
BOMB = b"text,label\n" + bytes(257 << 20)
BAD: dict[str, tuple[Maker, str]] = {
    "no bytes": (data("rows.csv", ""), "is empty"),
    "a header alone": (data("rows.csv", "text,label\n"), "only the header"),
    "blank lines": (data("rows.csv", "\n \n\n"), "only blank lines|no rows"),
    "a picture": (data("rows.csv", b"\x89PNG\r\n\x1a\n" + bytes(99)), "is a PNG image"),
    "a cut Parquet file": (data("rows.parquet", cut(parquet_bytes())), "cannot be read as Parquet"),
    "a cut gzip file": (data("rows.csv.gz", cut(gzip.compress(os.urandom(9000)))), "cannot be unpacked"),
    "a cut zip file": (data("rows.zip", cut(zipped(("a.csv", os.urandom(999))))), "cannot be unpacked"),
    "10 GB in one line": (sparse("rows.csv", b"text,label\n", 10 << 30), "is a binary file"),
    "10 GB of JSON": (sparse("rows.jsonl", b'{"text": "', 10 << 30), "is a binary file"),
    "deep objects": (data("rows.jsonl", '{"a":' * 20_000 + "1" + "}" * 20_000), "recursion|deep"),
    "deep lists": (data("rows.json", "[" * 100_000 + "]" * 100_000), "recursion|deep"),
    "a deep value": (data("rows.jsonl", ('{"a":' + "[" * 200 + "]" * 200 + "}\n") * 3), "more than 100 levels"),
    "a number as JSON": (data("rows.json", "3"), "row 0 .* is no object"),
    "a broken line": (data("rows.jsonl", '{"text": "a"}\n{"text": }\n'), "line 2 of .* is not valid JSON"),
    "one column": (data("rows.csv", "text\n" + "".join(f"hello {n}\n" for n in range(40))), "looks like a target"),
    "one class": (data("rows.csv", rows(40, lambda n: "yes")), r"has one class \('yes', 40 rows\)"),
    "50,000 classes": (data("rows.csv", rows(50_100, lambda n: f"class {n}")), "50,100 different values"),
    "only contradictions": (data("rows.csv", "text,label\n" + CONTRADICTIONS * 10), "0 of 40 rows are left"),
    "targets without end": (data("rows.csv", rows(60, lambda n: ("nan", "inf", n / 7)[n % 3])), "holds numbers"),
    "20,000 columns": (data("rows.csv", ",".join(map(str, range(20_000))) + "\n" + "1," * 19_999 + "1\n"), "20,000"),
    "ragged rows": (data("rows.csv", "a,b\n" + "x,y\nx,y,z\n" * 40), "do not have 2 fields|has 1|one column|target"),
    "half a UTF-16 letter": (data("rows.csv", b"\xff\xfe" + "text,label\n".encode("utf-16-le") + b"a"), "breaks off"),
    "a zip bomb": (data("rows.zip", zipped(("rows.csv", BOMB))), "unpacks to more than"),
    "a gzip bomb": (data("rows.csv.gz", gzip.compress(BOMB, 1)), "unpacks to more than"),
    "a workbook that is a bomb": (data("rows.xlsx", zipped(("xl/workbook.xml", BOMB))), "unpacks to more than"),
    "a workbook that is none": (data("rows.xlsx", zipped(("notes.txt", b"x"))), "cannot be read as a workbook"),
    "a way out of a zip": (data("rows.zip", zipped(("../../evil.csv", b"a,b\n"))), "leads out of the archive"),
    "another way out": (data("rows.zip", zipped(("C:\\evil.csv", b"a,b\n"))), "leads out of the archive"),
    "an absolute path in a tar": (data("rows.tar", tarred(tarfile.REGTYPE, "/etc/evil")), "leads out of the archive"),
    "a link in a zip": (data("rows.zip", zipped((link("rows.csv"), b"/etc/passwd"))), "is a link"),
    "a link in a tar": (data("rows.tar", tarred(tarfile.SYMTYPE, "rows.csv", "/etc/passwd")), "is a link"),
    "a hard link in a tar": (data("rows.tar", tarred(tarfile.LNKTYPE, "a.csv", "/etc/passwd")), "is a link"),
    "a device in a tar": (data("rows.tar", tarred(tarfile.CHRTYPE, "rows.csv")), "is a device"),
    "a locked zip": (data("rows.zip", locked()), "is encrypted"),
    "zips in zips": (data("rows.zip", nested(5)), "packed 3 times over"),
    "an empty zip": (data("rows.zip", zipped()), "is no dataset"),
    "a loop of links": (folder(loop), "leads back to itself"),
    "a link to itself": (own_link, "cannot be opened|no such file|neither"),
    "a pipe": (pipe, "neither a file nor a folder"),
    "an empty folder": (folder(), "is no dataset"),
    "no pictures": (folder(lambda f: (f / "cats").mkdir(), lambda f: (f / "dogs").mkdir()), "is no dataset"),
    "a damaged saved dataset": (folder(lambda f: (f / "state.json").write_text("{}")), "cannot be read"),
    "tags of another number": (data("rows.conll", "Oslo B-loc\nis\n"), "line 2 .* has 1 fields"),
    "an ending that nobody knows": (data("rows.xyz", "just words"), "unknown ending"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_costs_little_and_says_what_to_do(tmp_path: Path, monkeypatch, name: str) -> None:
    make, message = BAD[name]
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    source = make(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    started, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=message) as caught:
        prepare(make_request({"source": str(source)}), tmp_path / "run")
    assert caught.value.found
    assert caught.value.expected
    assert caught.value.todo
    assert str(tmp_path / "run") not in str(caught.value)
    assert time.monotonic() - started < MOST_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 < MOST_BYTES
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(tmp_path / "run")] == before
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file()]


def test_control_characters_in_labels_are_never_sent_to_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(rows(60, lambda n: ("\x1b[31mred", "gr\u202eeen")[n % 2]), encoding="utf-8")
    shown = inspect(str(tmp_path / "rows.csv")).to_text()
    assert "\\x1b[31mred" in shown
    assert not {"\x1b", "\u202e"} & set(shown)


def test_numbers_that_are_none_are_counted(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(rows(60, lambda n: ("nan", "inf", n / 7)[n % 3]))
    found = [f for f in inspect(str(tmp_path / "rows.csv")).findings if f.kind == "missing_values"]
    assert [f.count for f in found] == [40]
