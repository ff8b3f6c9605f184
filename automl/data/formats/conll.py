"""CoNLL and its relatives: a token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from automl.data.encoding import read_text
from automl.data.formats.base import Format
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError


class Conll(Format):
    """A sentence becomes a row: its `tokens` (first field) and its `ner_tags` (last field), where there are tags."""

    name = "CoNLL"
    endings = (".conll", ".iob", ".iob2", ".bio")
    takes = ("encoding",)

    def read(self, path: Path, options: ReadOptions) -> Rows:
        data, encoding, mark = read_text(path, options.encoding)
        sentences: list[list[list[str]]] = [[]]
        width = 0
        # not splitlines or split: a token may hold what Python takes for a line break or a blank
        for number, line in enumerate(data.to_pybytes().decode("utf-8").split("\n"), 1):
            line = line.rstrip("\r")
            if not line.strip() or line.startswith("-DOCSTART-"):
                sentences.append([])
                continue
            fields = line.split("\t") if "\t" in line else line.split(" ")
            width = width or len(fields)
            if len(fields) != width:
                raise DataError(
                    f"line {number:,} of {path} has {len(fields)} fields",
                    f"{width}, as the first line has: a token, then its tag",
                    "Mend that line, or say what the file is by its ending",
                )
            sentences[-1].append(fields)
        kept = [sentence for sentence in sentences if sentence]
        strings = pa.list_(pa.string())
        columns = {"tokens": pa.array([[fields[0] for fields in sentence] for sentence in kept], strings)}
        if width > 1:
            columns["ner_tags"] = pa.array([[fields[-1] for fields in sentence] for sentence in kept], strings)
        return Rows.of(pa.table(columns), path, format=self.name, encoding=encoding, byte_order_mark=mark)
