"""Parquet and Arrow files, memory-mapped."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather
import pyarrow.parquet as parquet

from automl.data.columns import is_bytes
from automl.data.formats.base import Format
from automl.data.formats.delimited import distinct_names
from automl.data.hugging_face import features_in, name_classes
from automl.data.mapped import mapped
from automl.data.pieces import PIECE_ROWS, counted
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError


class _Columnar(Format):
    @abstractmethod
    def table(self, path: Path) -> pa.Table: ...

    def read(self, path: Path, options: ReadOptions) -> Rows:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes)", f"a whole {self.name} file", "Check the file")
        try:
            table = self.table(path)
            table.validate()
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{path} cannot be read as {self.name}: {reason}",
                f"a whole {self.name} file",
                "It may be cut short or be something else: copy or export it again",
            ) from None
        table, numbered = _with_own_names(table)
        named = name_classes(table, features_in(table.schema))
        decoded = decode_texts(named)
        rows = Rows.of(decoded.replace_schema_metadata(None), path, format=self.name)
        return rows.noting(
            *numbered,
            *_noted("class names of", table, named, "as the file describes them"),
            *_noted("bytes of", named, decoded, "read as UTF-8 text"),
        )


def _with_own_names(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """The table with a name of its own for every column, as the reader of CSV gives them; and what was renamed."""
    before = table.column_names
    if len(set(before)) == len(before):
        return table, []
    names = distinct_names(before)
    renamed = [
        f"{old!r} comes again and is named {new!r}" for old, new in zip(before, names, strict=True) if old != new
    ]
    return table.rename_columns(names), renamed


def _noted(what: str, before: pa.Table, after: pa.Table, how: str) -> list[str]:
    changed = [name for name in after.column_names if after[name].type != before[name].type]
    return [f"{what} {', '.join(map(repr, changed[:10]))} {how}"] if changed else []


def decode_texts(table: pa.Table) -> pa.Table:
    """Columns of bytes as text where all of them are UTF-8, which no image is; others as they are."""
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if is_bytes(kind) and (texts := _decoded(table[field.name])) is not None:
            table = table.set_column(place, field.name, texts)
    return table


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    chunks = []
    for chunk in column.chunks:
        values = chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk
        fixed = pa.types.is_fixed_size_binary(values.type)
        try:
            chunks.append(values.cast(pa.binary() if fixed else values.type).cast(pa.string()))
        except pa.ArrowInvalid:
            return None
        if fixed:
            chunks[-1] = pc.utf8_rtrim(chunks[-1], "\x00")
    return pa.chunked_array(chunks, pa.string())


class Parquet(_Columnar):
    name = "Parquet"
    endings = (".parquet", ".pq")
    beginnings = (b"PAR1",)

    def table(self, path: Path) -> pa.Table:
        # not read_table: a folder called 'year=2024' above the file is no column of it, and it reads the file whole
        with parquet.ParquetFile(path, memory_map=True) as file:
            return mapped(
                file.schema_arrow,
                counted(file.iter_batches(PIECE_ROWS), f"reading {path.name}", file.metadata.num_rows / PIECE_ROWS),
            )


class Arrow(_Columnar):
    """The file form (Feather too) and the stream form."""

    name = "Arrow"
    endings = (".arrow", ".feather", ".ipc")
    beginnings = (b"ARROW1", b"FEA1")

    def table(self, path: Path) -> pa.Table:
        with pa.memory_map(str(path)) as file:
            head = file.read(6)
            file.seek(0)
            if head.startswith(b"FEA1"):  # an old form, which is read whole
                return feather.read_table(path)
            if head != b"ARROW1":
                stream = pa.ipc.open_stream(file)
                return mapped(stream.schema, stream)
            whole = pa.ipc.open_file(file)
            return mapped(whole.schema, map(whole.get_batch, range(whole.num_record_batches)))
