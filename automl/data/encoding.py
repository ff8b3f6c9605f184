"""The bytes of a text file as UTF-8, whatever they were, and the name of what they were."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from automl.data.mapped import mapped_bytes
from automl.errors import DataError

_SAMPLE_BYTES = 1 << 16
_DECODE_BYTES = 1 << 24
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the one of UTF-16-LE
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}
_NAMES = {"utf-8": "UTF-8", "cp1252": "Windows-1252", "mac_roman": "Mac Roman", "ascii": "ASCII"}
_QUOTES = "’‘“”–—…•"


def encoding_name(codec: str) -> str:
    """The name that people know an encoding by."""
    return _NAMES.get(codec, codec.upper().replace("_", "-"))


def lines_of(text: str) -> list[str]:
    """The lines of a text: they end at line feeds alone, with or without carriage returns before them.

    Form feeds, U+2028 and the like stay inside a line, and so does a carriage return among others; where there is no
    line feed at all, carriage returns end the lines, as in files of old Macs.
    """
    if "\n" not in text:
        return text.split("\r")
    return [line.rstrip("\r") for line in text.split("\n")]


def read_text(path: Path, encoding: str | None = None) -> tuple[pa.Buffer, str, bool]:
    """A text file's bytes in UTF-8 without a byte-order mark, the codec it was in, and whether it had a mark.

    encoding: what the user says that it is. A UTF-8 file is memory-mapped, not copied. Raises DataError for an empty
    file and for bytes that are no text, or none in that encoding.
    """
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path} is empty (0 bytes)", "a table with a header and rows", "Check the file")
    with pa.memory_map(str(path)) as file:
        data = file.read_buffer()
    head = data[:_SAMPLE_BYTES].to_pybytes()
    if encoding is not None:
        return _read_in(data, head, codecs.lookup(encoding).name, path)
    for bom, codec in _BOMS:
        if head.startswith(bom):
            rest = data[len(bom) :]
            return (rest if codec == "utf-8" else _decoded(rest, codec, path)), codec, True
    _refuse_binary(head, path)
    wide = _wide_codec(head)
    if wide is not None:
        return _decoded(data, wide, path), wide, False
    if _is_text_in(data, "utf-8"):
        return data, "utf-8", False
    codec = _guess_legacy(data)
    return _decoded(data, codec, path), codec, False


def _read_in(data: pa.Buffer, head: bytes, codec: str, path: Path) -> tuple[pa.Buffer, str, bool]:
    """The text in the encoding that the user named, without its byte-order mark."""
    mark = next((bom for bom, of in _BOMS if head.startswith(bom) and of.startswith(codec.removesuffix("-sig"))), b"")
    try:
        return _decoded(data[len(mark) :], codec, path), codec, bool(mark)
    except DataError as error:
        raise DataError(
            error.found,
            f"text in {encoding_name(codec)}, as --encoding says",
            "Leave --encoding out to have it found, or name another",
        ) from None


def _decoded(data: pa.Buffer, codec: str, path: Path) -> pa.Buffer:
    def write(file: IO[bytes]) -> None:
        for text in _texts(data, codec):
            file.write(text.encode("utf-8"))

    try:
        return mapped_bytes(write) if len(data) else data
    except UnicodeError as error:
        raise DataError(
            f"{path} breaks off or is damaged: {error}",
            f"text in {encoding_name(codec)}, as its first bytes say",
            "Save it again as UTF-8",
        ) from None


def _refuse_binary(head: bytes, path: Path) -> None:
    if (kind := binary_kind(head)) is None:
        return
    raise DataError(
        f"{path} is {kind}",
        "a CSV, TSV or JSONL file of text, or a Parquet file that ends in .parquet",
        "Give the file its true ending, or export the table as CSV in UTF-8",
    )


def binary_kind(head: bytes) -> str | None:
    """What a file is that begins so and is no text: 'a PNG image, not text'; None where it may be text."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return f"{name}, not text"
    values = np.frombuffer(head, np.uint8)
    odd = ((values < 32) & ~np.isin(values, (9, 10, 11, 12, 13))) | (values == 127)
    # a text may hold some, such as colours of a terminal; of bytes by chance a tenth are
    if len(head) and _wide_codec(head) is None and (odd.mean() > 0.08 or (values == 0).mean() > 0.005):
        return f"a binary file: {odd.mean():.0%} of its first bytes are control characters"
    return None


def _wide_codec(head: bytes) -> str | None:
    """UTF-16 without a mark: in Latin text every second byte is zero."""
    values = np.frombuffer(head[: len(head) // 2 * 2], np.uint8)
    if not len(values):
        return None
    even, odd = (values[0::2] == 0).mean(), (values[1::2] == 0).mean()
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.05 else None


def _texts(data: pa.Buffer, codec: str) -> Iterator[str]:
    """The text, part after part. Raises UnicodeDecodeError that tells the place in the whole."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    view = memoryview(data)
    for start in range(0, len(view) + 1, _DECODE_BYTES):
        waiting = len(decoder.getstate()[0])
        try:
            yield decoder.decode(bytes(view[start : start + _DECODE_BYTES]), start + _DECODE_BYTES > len(view))
        except UnicodeDecodeError as error:
            error.start, error.end = error.start + start - waiting, error.end + start - waiting
            raise


def _is_text_in(data: pa.Buffer, codec: str) -> bool:
    try:
        for _ in _texts(data, codec):
            pass
    except (UnicodeError, LookupError):
        return False
    return True


def _guess_legacy(data: pa.Buffer) -> str:
    """The one-byte or East Asian encoding in which the letters make words.

    Windows-1252 and Mac Roman read each other's bytes without an error, so both are judged by where their
    letters and quotation marks stand; other scripts are left to charset-normalizer.
    """
    sample = _foreign_lines(data)
    scores = {codec: _plausibility(sample, codec) for codec in ("cp1252", "mac_roman")}
    best = max(scores, key=lambda codec: scores[codec])
    if scores[best] >= 0.5:
        return best
    import charset_normalizer

    match = charset_normalizer.from_bytes(sample).best()
    codec = match.encoding if match is not None else "latin-1"
    # latin-1 reads any byte: no row is lost, and the finding says that letters may be wrong
    return codec if _is_text_in(data, codec) else "latin-1"


def _foreign_lines(data: pa.Buffer) -> bytes:
    """Up to 2,000 lines that hold a byte above 127, spread over the first 64 MiB."""
    head = data[: 1 << 26].to_pybytes()
    lines = [line for line in head.splitlines() if not line.isascii()]
    return b"\n".join(line[:2000] for line in lines[:: max(1, len(lines) // 2000)][:2000])


def _plausibility(sample: bytes, codec: str) -> float:
    """How well the characters above 127 fit their neighbours: 1 is perfect, 0 a coin toss, below is wrong."""
    text = sample.decode(codec, "replace")
    score, seen, in_words = 0.0, 0, 0
    for before, char, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if char < "\x80":
            continue
        seen += 1
        in_words += before >= "\x80" and before.isalpha() and char.isalpha()
        if char == "\ufffd" or "\x80" <= char <= "\x9f":
            score -= 2
        elif char in _QUOTES:
            inside = before.isalpha() and after.isalpha()
            score += 1 if char == "’" or not inside else -1
        elif char.isalpha():
            score += -1 if char.isupper() and (before.islower() or not after.isalpha()) else 1
        else:
            score += -1 if before.isalpha() and after.isalpha() else 0.3
    if not seen or in_words > seen / 3:  # whole words of such letters: another script
        return -1.0
    return score / seen
