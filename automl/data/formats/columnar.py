"""Parquet and Arrow files, memory-mapped."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet

from automl.data.formats.base import Format
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
        return Rows.of(table.replace_schema_metadata(None), path, format=self.name)


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
