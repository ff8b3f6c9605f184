"""What a folder of weights holds, read from its headers: no torch, no unpickling, no code from the folder."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automl.errors import CheckpointError
from automl.provenance import hash_file

CONFIG = "config.json"
SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
PICKLE_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")
PROCESSOR_FILES = (
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json",
    "merges.txt", "bpe.codes", "spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model",
    "preprocessor_config.json", "processor_config.json",
)  # fmt: skip
ADAPTER_CONFIG = "adapter_config.json"
OTHER_WEIGHTS = (".onnx", ".h5", ".msgpack", ".gguf", ".ckpt", ".pt", ".pth", ".ot", ".bin", ".safetensors")
"""Endings of weights of other programs, or under other names."""
_BYTES_OF = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_BUFFERS = ("position_ids", "token_type_ids", "num_batches_tracked", "running_mean", "running_var")


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """config.json as a dict. Raises CheckpointError where it is missing, broken or names no model type."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        refuse_adapter(folder, name)
        below = models_below(folder)
        raise CheckpointError(
            f"{name}: {folder} has no config.json",
            "a model folder: config.json, model.safetensors and the tokenizer's files",
            f"Did you mean {' or '.join(map(str, below[:2]))}?"
            if below
            else "Name the folder that holds these files",
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{name}: {path} cannot be read ({error})", "a JSON file", "Copy the model again"
        ) from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise CheckpointError(
            f"{name}: {path} names no model_type",
            "the config of a transformers model",
            "Name a folder that transformers saved",
        )
    refuse_remote_code(config, name)
    return config


def refuse_remote_code(config: dict[str, Any], name: str) -> None:
    """Raises CheckpointError where loading would need Python code that the checkpoint brings along."""
    if config.get("auto_map") and not _transformers_knows(str(config.get("model_type"))):
        raise CheckpointError(
            f"{name} needs Python code of its own (auto_map in its config.json)",
            f"an architecture that transformers itself knows, not {config.get('model_type')!r}",
            "automl never runs code from a checkpoint; choose another model",
        )


def _transformers_knows(model_type: str) -> bool:
    """Whether transformers has a folder for the architecture; asking its registry would import torch."""
    spec = find_spec("transformers")
    places = (spec.submodule_search_locations or ()) if spec else ()
    return any((Path(place) / "models" / model_type.replace("-", "_")).is_dir() for place in places)


def weight_files(folder: Path, name: str, *, allow_pickle: bool) -> list[Path]:
    """The files that hold the weights, complete: all shards of an index are there.

    Raises CheckpointError where there are none, where shards are missing, and where there are only pickles
    and these are not allowed.
    """
    safe = _complete(folder, "model.safetensors", name)
    if safe:
        return safe
    pickled = [path.name for path in matching(folder, PICKLE_WEIGHTS)]
    if pickled and not allow_pickle:
        raise CheckpointError(
            f"{name} has its weights as pickle only ({pickled[0]})",
            "model.safetensors: unpickling can run any code",
            "Choose a checkpoint with safetensors; or, if you trust its author, allow it with --allow-pickle",
        )
    if pickled and (found := _complete(folder, "pytorch_model.bin", name)):
        return found
    refuse_adapter(folder, name)
    others = sorted(str(path.relative_to(folder)) for ending in OTHER_WEIGHTS for path in folder.rglob(f"*{ending}"))
    held = f"; it holds {', '.join(others[:3])}, which are not read" if others else ""
    raise CheckpointError(
        f"{name}: {folder} has no weights{held}",
        "model.safetensors, or its shards with model.safetensors.index.json",
        "Copy PyTorch's weights there too" if others else "Copy the weights there too",
    )


def refuse_adapter(folder: Path, name: str) -> None:
    """Raises CheckpointError where a folder holds an adapter alone, without the model that it changes."""
    file = folder / ADAPTER_CONFIG
    if not file.is_file():
        return
    try:
        base = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        base = None
    raise CheckpointError(
        f"{name} is an adapter alone ({ADAPTER_CONFIG}), of the model {base or 'that its file does not name'}",
        "a whole model: config.json, model.safetensors and the tokenizer's files",
        "Merge it with peft (merge_and_unload, then save_pretrained) and name that folder, or name the base model",
    )


def models_below(folder: Path) -> list[Path]:
    """Model folders one or two levels below, such as 0_Transformer or checkpoint-500; the newest first."""
    found = {path.parent for pattern in (f"*/{CONFIG}", f"*/*/{CONFIG}") for path in folder.glob(pattern)}
    whole = [path for path in found if holds_model(path)]
    return sorted(whole, key=lambda path: (path / CONFIG).stat().st_mtime, reverse=True)


def count_parameters(files: Iterable[Path], config: dict[str, Any], name: str) -> int:
    """Numbers that training could change, from the files' headers; buffers do not count.

    Of pickled weights only the size is read, so tied or double-stored tensors count as stored.
    """
    total = 0
    for path in files:
        if path.suffix == ".safetensors":
            for tensor, entry in read_header(path, name).items():
                if not tensor.endswith(_BUFFERS):
                    total += math.prod(entry["shape"])
        else:
            dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
            total += _stored_bytes(path, name) // _BYTES_OF.get(dtype, 4)
    return total


def read_header(path: Path, name: str) -> dict[str, dict[str, Any]]:
    """{tensor: {"dtype", "shape", "data_offsets"}}. Raises CheckpointError where the file is not whole.

    Format: 8 bytes length (little endian), then JSON, then the tensors
    (https://github.com/huggingface/safetensors, "Format").
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            if start.startswith(b"version "):
                raise CheckpointError(
                    f"{name}: {path} is a Git LFS pointer, not the weights",
                    "the file itself",
                    "Fetch it with: git lfs pull",
                )
            (length,) = struct.unpack("<Q", start)
            if length > size - 8:
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
        tensors = {key: entry for key, entry in header.items() if key != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        if 8 + length + end != size:
            raise ValueError(f"it should have {8 + length + end} bytes and has {size}")
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise CheckpointError(
            f"{name}: {path} is not whole ({error})", "a safetensors file", "Download or copy it again"
        ) from None
    return tensors


def hash_files(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 over the names and bytes of the weights, the config and the processor's files."""
    paths = {*files, *matching(folder, (CONFIG, *PROCESSOR_FILES))}
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.name}\0{hash_file(path)}\n".encode())
    return digest.hexdigest()


def matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files of a folder (not below it) that fit one of the patterns, sorted."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def holds_model(folder: Path) -> bool:
    """Whether config.json and weights lie there, pickles included."""
    return (folder / CONFIG).is_file() and bool(matching(folder, (*SAFE_WEIGHTS, *PICKLE_WEIGHTS)))


def _complete(folder: Path, base: str, name: str) -> list[Path]:
    """[the one file], or all shards of its index, or [] where neither is there."""
    if (folder / base).is_file():
        return [folder / base]
    index = folder / f"{base}.index.json"
    if not index.is_file():
        return []
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{name}: {index} cannot be read ({error})", "a JSON index of shards", "Copy it again"
        ) from None
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing or any(Path(shard).name != shard for shard in shards):
        raise CheckpointError(
            f"{name}: {index.name} names {len(shards)} files; {', '.join(missing) or 'a path'} is not there",
            "all shards in the folder",
            "Download or copy the missing files",
        )
    return [folder / shard for shard in shards]


def _stored_bytes(path: Path, name: str) -> int:
    """Bytes of the tensors in a pickled file, from the zip's directory; nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist() if "/data/" in entry.filename)
    except (zipfile.BadZipFile, OSError):
        raise CheckpointError(
            f"{name}: {path} is no weights file that PyTorch 1.6 or later wrote",
            "a zip of tensors",
            "Save it again as safetensors",
        ) from None
