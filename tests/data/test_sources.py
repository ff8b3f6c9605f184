"""Packed, fetched, scattered over files and folders: the same rows, under the names that the user knows."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from automl.data.load import load, read_rows
from automl.data.profile import inspect
from automl.data.sources import without_secrets
from automl.errors import DataError, MissingExtra
from tests.pictures import write_pictures

CSV = "text,label\n" + "".join(f"row {n},{'ab'[n % 2]}\n" for n in range(20))


def zstd(data: bytes) -> bytes:
    sink = io.BytesIO()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
        stream.flush()
        stream.close()
        return sink.getvalue()


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_compressed_file_is_read_as_what_it_packs(tmp_path: Path, ending: str, pack) -> None:
    path = tmp_path / f"rows.csv.{ending}"
    path.write_bytes(pack(CSV.encode()))
    table, read_as = read_rows(str(path))
    assert table.num_rows == 20
    assert read_as.source == str(path)
    assert read_as.delimiter == "comma"


def test_a_zip_and_a_tar_of_split_files_are_read_by_part(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("set/train.csv", CSV)
        archive.writestr("set/test.csv", CSV)
        archive.writestr("__MACOSX/set/._train.csv", "rubbish")
    with tarfile.open(tmp_path / "data.tar.gz", "w:gz") as archive:
        for name in ("train.csv", "test.csv"):
            member = tarfile.TarInfo(name)
            member.size = len(CSV)
            archive.addfile(member, io.BytesIO(CSV.encode()))
    for name, inner in (("data.zip", "set/train.csv"), ("data.tar.gz", "train.csv")):
        parts = load(str(tmp_path / name))
        assert {part: rows.table.num_rows for part, rows in parts.items()} == {"train": 20, "test": 20}
        assert parts["train"].read_as.source == f"{tmp_path / name}/{inner}"


def test_pictures_in_an_archive_are_looked_at_and_nothing_stays_behind(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    folder = write_pictures(tmp_path / "shapes", 4)
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder.parent))
    seen = inspect(str(tmp_path / "shapes.zip"))
    assert seen.rows == 12
    assert seen.class_counts == {"bar": 4, "circle": 4, "square": 4}
    assert not [finding for finding in seen.findings if finding.kind == "broken_images"]
    del seen
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_pattern_and_numbered_files_are_one_table(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"train-0000{number}-of-00003.csv").write_text(CSV)
    (tmp_path / "test.csv").write_text(CSV)
    parts = load(str(tmp_path))
    assert (parts["train"].table.num_rows, parts["train"].read_as.files) == (60, 3)
    table, read_as = read_rows(str(tmp_path / "train*.csv"))
    assert table.num_rows == 60
    assert "3 files" in read_as.sentence()


def test_compressed_files_in_a_folder_and_in_a_pattern_are_read(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (tmp_path / "test.csv").write_text(CSV)
    parts = load(str(tmp_path))
    assert {part: rows.table.num_rows for part, rows in parts.items()} == {"train": 20, "validation": 20, "test": 20}
    assert parts["train"].read_as.source == str(tmp_path / "train.csv.gz")
    assert load(str(tmp_path / "t*.csv*"))["train"].table.num_rows == 40


def test_files_of_other_columns_are_not_joined(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.csv").write_text("text,stars\nx,1\n")
    with pytest.raises(DataError, match=r"b\.csv has the columns text, stars; those of .*a\.csv: text, label"):
        load(str(tmp_path / "*.csv"))


def test_a_folder_of_one_file_is_that_file_whatever_stands_in_its_readme(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(CSV)
    (tmp_path / "README.txt").write_text("what this is")
    assert load(str(tmp_path))["train"].table.num_rows == 20


def test_words_in_file_names_tell_the_parts(tmp_path: Path) -> None:
    for name in ("train_5000", "val", "sts-test"):
        (tmp_path / f"{name}.csv").write_text(CSV)
    assert list(load(str(tmp_path))) == ["train", "validation", "test"]
    (tmp_path / "other.csv").write_text(CSV)
    with pytest.raises(DataError, match="it has validation rows but none to train on"):
        load(str(tmp_path))


def test_one_split_in_two_formats_is_read_once_and_said(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(CSV)
    (tmp_path / "train.jsonl").write_text('{"text": "a", "label": "x"}\n')
    rows = load(str(tmp_path))["train"]
    assert rows.read_as.left_out == ("train.csv",)
    assert "not read: train.csv" in rows.read_as.sentence()


def test_text_files_are_rows_of_their_folders_class(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("neg", "pos"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(3):
                (tmp_path / part / label / f"{number}.txt").write_text(f"a {label} text,\nnumber {number}", "utf-8")
    (tmp_path / "train" / "urls_pos.txt").write_text("http://example.org\n")
    parts = load(str(tmp_path))
    assert parts["train"].table["label"].to_pylist() == ["neg"] * 3 + ["pos"] * 3
    assert parts["test"].table["text"][4].as_py() == "a pos text,\nnumber 1"


def test_one_text_file_for_each_class_holds_a_row_a_line(tmp_path: Path) -> None:
    (tmp_path / "ham.txt").write_bytes("see you, at ten\n\nna\u00efve?\n".encode("cp1252"))
    (tmp_path / "spam.txt").write_text('WIN "cash" now\n')
    table = load(str(tmp_path))["train"].table
    assert table.to_pydict() == {
        "text": ["see you, at ten", "na\u00efve?", 'WIN "cash" now'],
        "label": ["ham", "ham", "spam"],
    }


@pytest.mark.parametrize("inside", ["\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1e", "\r"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_of_a_line_is_cut_at_line_feeds_alone(tmp_path: Path, inside: str, end: str) -> None:
    for name in ("good", "bad"):
        (tmp_path / f"{name}.txt").write_bytes(end.join([f"{name}{inside}one", f"{name} two", ""]).encode())
    assert load(str(tmp_path))["train"].table.to_pydict() == {
        "text": [f"bad{inside}one", "bad two", f"good{inside}one", "good two"],
        "label": ["bad", "bad", "good", "good"],
    }


def test_addresses_are_fetched_as_files_and_as_folders(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/sets/one/train.csv", CSV.encode())
    memory.pipe("/sets/one/test.csv", CSV.encode())
    memory.pipe("/sets/rows.csv.gz", gzip.compress(CSV.encode()))
    assert list(load("memory://sets/one")) == ["train", "test"]
    table, read_as = read_rows("memory://sets/rows.csv.gz")
    assert (table.num_rows, read_as.source) == (20, "memory://sets/rows.csv.gz")
    (tmp_path / "rows.csv").write_text(CSV)
    assert read_rows(f"file://{tmp_path}/rows.csv")[0].num_rows == 20


def test_an_address_that_leads_nowhere_shows_no_secret() -> None:
    assert without_secrets("https://me:secret@host/a.csv?signature=x") == "https://host/a.csv"
    with pytest.raises(DataError, match=r"memory://sets/none\.csv could not be fetched") as caught:
        load("memory://sets/none.csv?signature=secret")
    assert "secret" not in str(caught.value)
    with pytest.raises((DataError, MissingExtra), match="has an unknown scheme"):
        load("nowhere://host/a.csv")
