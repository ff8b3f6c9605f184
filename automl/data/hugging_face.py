"""Hugging Face datasets: saved to disk (read with pyarrow alone) and named on the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.part_names import choose_splits
from automl.data.rows import Rows
from automl.errors import DataError, MissingExtra

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.-]+)?$")


def is_saved_dataset(path: Path) -> bool:
    """Whether `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote this folder."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def is_hub_name(source: str) -> bool:
    """Whether a name could stand on the hub: `name`, `owner/name`, or either with `:configuration`."""
    return bool(_HUB_NAME.match(source))


def read_saved(path: Path) -> dict[str, pa.Table]:
    """The tables of a saved dataset by split; one table is called `train`. Raises DataError when damaged."""
    try:
        if (path / "dataset_dict.json").is_file():
            splits = json.loads((path / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
            return {split: _read_split(path / split) for split in splits}
        return {"train": _read_split(path)}
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"the saved dataset {path} cannot be read: {reason}",
            "a folder as Dataset.save_to_disk writes it",
            "Save the dataset again",
        ) from None


def _read_split(path: Path) -> pa.Table:
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    info = json.loads((path / "dataset_info.json").read_text(encoding="utf-8"))
    tables = []
    for entry in state["_data_files"]:
        with pa.memory_map(str(path / entry["filename"])) as file:
            tables.append(pa.ipc.open_stream(file).read_all())
    table = pa.concat_tables(tables) if tables else pa.table({})
    return name_classes(table.replace_schema_metadata(None), info.get("features") or {})


def features_in(schema: pa.Schema) -> Mapping[str, Any]:
    """What the schema of a file that the library `datasets` wrote says of its columns; empty for another file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return features if isinstance(features, Mapping) else {}


def name_classes(table: pa.Table, features: Mapping[str, Any]) -> pa.Table:
    """Class numbers replaced by their names, where the dataset says so; -1, the mark of no label, by null.

    Numbers inside lists and structs are replaced too, such as the tags of tokens.
    """
    for column, feature in features.items():
        if column in table.column_names and _is_class_feature(feature):
            named = [_named(chunk, feature) for chunk in table[column].chunks] or [
                _named(_empty(table, column), feature)
            ]
            table = table.set_column(table.column_names.index(column), column, pa.chunked_array(named))
    return table


def _empty(table: pa.Table, column: str) -> pa.Array:
    return pa.array([], table[column].type)


def _is_class_feature(feature: Any) -> bool:
    """Whether class numbers are somewhere inside."""
    if isinstance(feature, Mapping):
        return bool(_class_names(feature)) or any(map(_is_class_feature, feature.values()))
    return isinstance(feature, list) and any(map(_is_class_feature, feature))


def _class_names(feature: Any) -> list[str]:
    """The names of a ClassLabel by number, listed or numbered as in a dataset card; empty for another feature."""
    if not isinstance(feature, Mapping) or feature.get("_type") != "ClassLabel":
        return []
    names = feature.get("names")
    if isinstance(names, Mapping):
        numbered = {int(number): str(name) for number, name in names.items() if str(number).isdigit()}
        return [numbered.get(number, str(number)) for number in range(max(numbered, default=-1) + 1)]
    return list(map(str, names)) if isinstance(names, list) else []


def _named(values: pa.Array, feature: Any) -> pa.Array:
    kind = values.type
    if (names := _class_names(feature)) and pa.types.is_integer(kind):
        valid = pc.and_(pc.greater_equal(values, 0), pc.less(values, len(names)))
        return pc.take(pa.array(names, pa.string()), pc.if_else(valid, values, None))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = feature[0] if isinstance(feature, list) and feature else feature
        inner = inner.get("feature", inner) if isinstance(inner, Mapping) else inner
        # not `values.values`: a slice of a larger list begins elsewhere
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int64()).cast(
            pa.int64() if pa.types.is_large_list(kind) else pa.int32()
        )
        of = pa.LargeListArray if pa.types.is_large_list(kind) else pa.ListArray
        return of.from_arrays(offsets, _named(values.flatten(), inner), mask=values.is_null())
    if pa.types.is_struct(kind) and isinstance(feature, Mapping):
        # a sequence of structs is kept as a struct of sequences
        wrapped = feature.get("feature")
        inner = wrapped if isinstance(wrapped, Mapping) else feature
        children = [_named(child, inner.get(field.name)) for child, field in zip(values.flatten(), kind, strict=True)]
        return pa.StructArray.from_arrays(children, [field.name for field in kind], mask=values.is_null())
    return values


def read_hub(source: str) -> dict[str, pa.Table]:
    """The tables of a hub dataset by split. Raises DataError when it cannot be had."""
    try:
        import datasets
    except ImportError:
        raise MissingExtra.of("datasets", "train", f"reading the dataset {source!r} from the hub") from None
    name, _, configuration = source.partition(":")
    try:
        loaded = datasets.load_dataset(name, configuration or None)
    except Exception as error:  # the library raises many kinds, from requests, fsspec and its own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:240]
        raise DataError(
            f"{source!r} is no file here, and the hub did not give a dataset of that name ({reason})",
            "a file, a folder, or the name of a dataset on a hub that can be reached",
            "Check the spelling; without a network, use a file or a dataset saved with save_to_disk",
        ) from None
    return {
        str(split): name_classes(
            dataset.with_format(None).data.table.replace_schema_metadata(None), dataset.features.to_dict()
        )
        for split, dataset in loaded.items()
    }


def name_parts(tables: Mapping[str, pa.Table], source: str, format: str) -> dict[str, Rows]:
    """Splits under the names train, validation and test; a lone split of another name is taken as train.

    Raises DataError where none holds the training rows, or two could.
    """
    chosen = choose_splits(list(tables))
    if not chosen.parts and len(tables) == 1:
        return {"train": Rows.of(next(iter(tables.values())), source, format=format)}
    several = next((names for names in chosen.parts.values() if len(names) > 1), None)
    if several and (len({name.lower() for name in several}) == 1 or several == chosen.parts.get("train")):
        raise DataError(
            f"the splits {' and '.join(map(repr, several))} of {source} could be meant by one name",
            "one split of each part",
            "Save the one that is meant with Dataset.save_to_disk, and name its folder",
        )
    if "train" not in chosen.parts:
        raise DataError(
            f"{source} has the splits {', '.join(tables) or 'none'}",
            "a split named train",
            "Name another dataset",
        )
    names = {part: held[0] for part, held in chosen.parts.items()}
    found = {
        part: Rows.of(tables[name], f"{source} [{name}]" if len(tables) > 1 else source, format=format)
        for part, name in names.items()
    }
    aside = [name for name in tables if name not in names.values()]
    found["train"] = found["train"].noting(left_out=[f"the split {name!r}" for name in aside])
    return found
