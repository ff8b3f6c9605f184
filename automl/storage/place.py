"""A folder at a URL: an object store, or a path that all nodes see. Every write is whole or not at all."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path
from typing import IO, Any

from automl.errors import RequestError

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BLOCK_BYTES = 8 << 20
_EXPECTED = "a place that can be written from here: s3://BUCKET/PATH, gs://BUCKET/PATH, or a path that all nodes see"


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


class Storage:
    """Files below a URL or an absolute path, by names such as 'data/split.json'.

    Credentials are found as pyarrow finds them, in the environment or from the machine's role; a URL holds none.
    """

    def __init__(self, url: str) -> None:
        """Raises RequestError where the URL leads nowhere."""
        from pyarrow import fs

        self.url = (url if is_url(url) else str(Path(url).expanduser().resolve())).rstrip("/")
        try:
            self._files, self._root = fs.FileSystem.from_uri(self.url)
        except (ValueError, OSError) as error:
            raise _unusable(self.url, error) from None
        self._local = isinstance(self._files, fs.LocalFileSystem)

    def check(self) -> None:
        """Write a file and remove it again. Raises RequestError where that fails."""
        name = f".check-{uuid.uuid4().hex}"
        try:
            self.put_bytes(b"", name)
            self.drop(name)
        except OSError as error:
            raise _unusable(self.url, error) from None

    # -- reading -----------------------------------------------------------------------------------------

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None where there is none."""
        try:
            with self._files.open_input_stream(self._path(name)) as stream:
                content: bytes = stream.read()
        except FileNotFoundError:
            return None
        return content

    def get(self, name: str, file: Path) -> bool:
        """Copy a file from here to this machine; whether there was one."""
        temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        try:
            with self._files.open_input_stream(self._path(name)) as stream:
                file.parent.mkdir(parents=True, exist_ok=True)
                with open(temporary, "wb") as target:
                    while block := stream.read(_BLOCK_BYTES):
                        target.write(block)
            os.replace(temporary, file)
        except FileNotFoundError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def names(self, below: str = "") -> dict[str, int]:
        """Name and bytes of every file below a folder; {} where there is no such folder."""
        from pyarrow import fs

        selector = fs.FileSelector(self._path(below), recursive=True, allow_not_found=True)
        start = len(self._root.rstrip("/")) + 1
        return {
            one.path[start:]: one.size
            for one in self._files.get_file_info(selector)
            if one.type == fs.FileType.File and not _unfinished(one.base_name)
        }

    # -- writing -----------------------------------------------------------------------------------------

    def put(self, file: Path, name: str) -> None:
        with open(file, "rb") as source:
            self.put_from(source, name)

    def put_bytes(self, content: bytes, name: str) -> None:
        import io

        self.put_from(io.BytesIO(content), name)

    def put_from(self, source: IO[bytes], name: str, size: int | None = None) -> None:
        """Copy from an open file to here, its first `size` bytes where that is said."""
        path = self._path(name)
        # An object appears when it is whole; a file would be seen half written.
        target = f"{path.rpartition('/')[0]}/.{uuid.uuid4().hex}.part" if self._local else path
        if self._local:
            self._files.create_dir(path.rpartition("/")[0])
        try:
            with self._files.open_output_stream(target) as stream:
                left = size
                while block := source.read(_BLOCK_BYTES if left is None else min(left, _BLOCK_BYTES)):
                    stream.write(block)
                    left = None if left is None else left - len(block)
            if target != path:
                self._files.move(target, path)
        except OSError:
            if target != path and self._exists(target):
                self._files.delete_file(target)
            raise

    def drop(self, name: str) -> None:
        """Remove a file; nothing where there is none."""
        try:
            self._files.delete_file(self._path(name))
        except FileNotFoundError:
            return

    def drop_folder(self, name: str) -> None:
        """Remove all files below a folder; nothing where there are none."""
        for file in self.names(name):
            self.drop(file)
        if self._local and self._exists(self._path(name)):
            self._files.delete_dir(self._path(name))

    # ----------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)

    def _exists(self, path: str) -> bool:
        from pyarrow import fs

        info: Any = self._files.get_file_info(path)
        return bool(info.type != fs.FileType.NotFound)


def run_url(storage: str, run_name: str) -> str:
    """Where the run of that name is kept: a folder of its own in the storage."""
    place, mark, options = Storage(storage).url.partition("?")  # of another server than the usual: endpoint_override=
    return f"{place.rstrip('/')}/{run_name}{mark}{options}"


def _unfinished(base_name: str) -> bool:
    return base_name.startswith(".") and base_name.endswith(".part")


def _unusable(url: str, error: Exception) -> RequestError:
    reason = " ".join(str(error).split())[:300]
    return RequestError(
        f"the storage {url} cannot be used: {reason}", _EXPECTED, "Check --storage and its credentials"
    )
