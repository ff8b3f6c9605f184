"""Excel and OpenDocument workbooks: one sheet as a table of strings, as a CSV of it would be."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from automl.data.archives import refuse_swollen
from automl.data.formats.base import Format
from automl.data.formats.delimited import column_names, names_columns
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError


class Workbook(Format):
    name = "a workbook"
    endings = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
    beginnings = (b"\xd0\xcf\x11\xe0",)
    takes = ("sheet", "header")

    def read(self, path: Path, options: ReadOptions) -> Rows:
        import python_calamine

        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes)", "a whole workbook", "Check the file")
        refuse_swollen(path)
        try:
            with python_calamine.CalamineWorkbook.from_path(str(path)) as book:
                # a chart has a sheet too, without cells
                named = [sheet.name for sheet in book.sheets_metadata if "Work" in str(sheet.typ)]
                sheet = _chosen(named, options.sheet, path)
                cells = book.get_sheet_by_name(sheet).to_python(skip_empty_area=True)
        except (python_calamine.CalamineError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{path} cannot be read as a workbook: {reason}",
                "an Excel or OpenDocument workbook without a password",
                "Open it, and save the sheet as CSV",
            ) from None
        records = [[_text(cell) for cell in row] for row in cells]
        records = [record for record in records if any(cell is not None for cell in record)]
        if not records:
            raise DataError(
                f"the sheet {sheet!r} of {path} is empty", "a header and rows", f"Name another: {', '.join(named)}"
            )
        spelled = [[cell or "" for cell in record] for record in records[:2000]]
        header = names_columns(spelled) if options.header is None else options.header
        names = column_names(spelled[0] if header else [""] * len(spelled[0]))
        rows = records[int(header) :]
        columns = [pa.array([record[place] for record in rows], pa.string()) for place in range(len(names))]
        others = tuple(f"sheet {name!r}" for name in named if name != sheet)
        return Rows.of(
            pa.Table.from_arrays(columns, names=names),
            path,
            format=self.name,
            header=header,
            sheet=sheet,
            left_out=others,
        )


def _chosen(names: list[str], wanted: str | None, path: Path) -> str:
    if wanted is None and names:
        return names[0]
    if wanted in names:
        return str(wanted)
    if wanted is not None and wanted.isdigit() and 1 <= int(wanted) <= len(names):
        return names[int(wanted) - 1]
    listed = ", ".join(f"{number} {name!r}" for number, name in enumerate(names, 1))
    raise DataError(f"{path} has no sheet {wanted!r}", f"one of {listed or 'none'}", "Change --sheet")


def _text(cell: Any) -> str | None:
    """A cell as a CSV would hold it; None where it is empty."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat(" ") if isinstance(cell, datetime.datetime) else cell.isoformat()
    return str(cell) if cell not in ("", None) else None
