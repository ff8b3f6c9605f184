"""Rows that lie in a file of ours and not in memory: written batch by batch as they are read, and mapped.

The file has no name, so it goes with the last who holds its rows, however that ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from automl.data.pieces import PIECE_ROWS
from automl.errors import DataError, is_full_disk

_FALLBACK = Path("/var/tmp")
"""On a disk wherever /tmp may lie in memory."""


def mapped(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """The rows of all batches as one memory-mapped table; no more than a batch is in memory at a time.

    Texts get the one type `string`, whichever of Arrow's types for texts they had.
    Raises DataError where the disk has no room for them.
    """
    plain = pa.schema([field.with_type(_plain(field.type)) for field in schema], schema.metadata)

    def write(file: IO[bytes]) -> None:
        with pa.ipc.new_stream(file, plain) as writer:
            for batch in batches:
                for start in range(0, batch.num_rows, PIECE_ROWS):
                    writer.write_batch(batch.slice(start, PIECE_ROWS).cast(plain))

    return pa.ipc.open_stream(mapped_bytes(write)).read_all()


def settled(table: pa.Table) -> pa.Table:
    """The table with texts of the one type `string`: of others every pass over the rows would make a copy."""
    plain = all(field.type == _plain(field.type) for field in table.schema)
    return table if plain else mapped(table.schema, table.to_batches())


def mapped_bytes(write: Callable[[IO[bytes]], None]) -> pa.Buffer:
    """What `write` wrote into the file that it was given, memory-mapped. Raises DataError where the disk is full."""
    folder = scratch_folder()
    with _telling_full_disk(folder):
        # Without a name from the beginning: a process that is killed leaves nothing behind.
        with tempfile.TemporaryFile(dir=folder) as file:
            write(file)
            if not file.tell():
                return pa.py_buffer(b"")
            file.flush()
            return pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def scratch_folder() -> Path:
    """Where such files lie: TMPDIR, or else a folder that is on a disk."""
    if "TMPDIR" not in os.environ and os.access(_FALLBACK, os.W_OK):
        return _FALLBACK
    return Path(tempfile.gettempdir())


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_binary_view(kind):
        return pa.binary()
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


@contextmanager
def _telling_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_full_disk(error):  # the source's trouble is told by whoever reads it
            raise
        raise DataError(
            f"rows could not be kept in {folder} while they are looked at ({error.strerror or error})",
            "free space as large as the data",
            "Free some space, or set TMPDIR to a folder on a larger disk",
        ) from None
