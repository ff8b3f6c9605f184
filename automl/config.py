"""What a user may ask for: one model for the flags, the YAML file, the Python arguments and request.yaml."""

from __future__ import annotations

import csv
import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from automl.addresses import wrong_addresses
from automl.errors import RequestError
from automl.types import Budget

DEFAULT_TRIALS = 12
_UNIT_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(value: object) -> float | None:
    """Seconds in '90', '90s', '20m', '1.5h' or '1h30m'; None stays None. Raises ValueError otherwise."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = str(value).strip().lower()
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError("a duration is a number with s, m, h or d, such as 90s, 20m or 1h30m")
        seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    if not 0 < seconds < float("inf"):
        raise ValueError("a duration must be above zero")
    return seconds


def split_names(value: object) -> object:
    """A comma-separated string as a tuple of names; other values unchanged.

    A name that holds a comma stands in quotation marks: '"Review, text",title'.
    """
    if isinstance(value, str):
        quoted = '"' in value and value.count('"') % 2 == 0 and "\n" not in value
        cells = next(csv.reader([value], skipinitialspace=True), []) if quoted else value.split(",")
        return tuple(part.strip() for part in cells if part.strip())
    if isinstance(value, Path):
        return (str(value),)
    if isinstance(value, list | tuple):
        return tuple(str(name) if isinstance(name, Path) else name for name in value)
    return value


def spell_path(value: object) -> object:
    """A path as text, with ~ for the home folder; other values unchanged."""
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    return os.path.expanduser(text) if text.startswith("~") else text


READING = ("encoding", "delimiter", "header", "sheet")
"""The options that say how a file is to be read."""
RareClasses = Literal["keep", "drop", "merge"]
WorkersMode = Literal["train", "group"]
Names = Annotated[tuple[str, ...], BeforeValidator(split_names)]
PathText = Annotated[str, BeforeValidator(spell_path)]
Duration = Annotated[float | None, BeforeValidator(parse_duration)]


def split_models(value: object) -> object:
    """The same for models; the path of one that is there may hold commas."""
    return (value,) if isinstance(value, str) and "," in value and Path(value).is_dir() else split_names(value)


class RunRequest(BaseModel):
    """Every option of `automl run`. A field left at None is resolved during the run and then written down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: PathText = Field(
        description="the data: a file, a folder of pictures per class, a saved Hugging Face dataset, or a hub name"
    )
    target: str | None = Field(None, description="the column to predict (guessed and shown when left out)")
    text: Names | None = Field(None, description="one text column, or two separated by a comma")
    image: str | None = Field(None, description="the column of picture files' paths")
    levels: str | None = Field(
        None,
        description="LOW:HIGH, the black and the white of images deeper than 8 bits (by the training images)",
    )
    encoding: str | None = Field(None, description="the file's encoding, such as cp1252 (found out when left out)")
    delimiter: str | None = Field(
        None, description="what parts the fields: a character, or its name (tab, none, ...)"
    )
    header: bool | None = Field(None, description="whether the first row names the columns")
    sheet: str | None = Field(None, description="the sheet of a workbook, by name or number (the first)")
    group: str | None = Field(None, description="keep rows with one value of this column on one side of every cut")
    time: str | None = Field(None, description="cut by this column: the latest rows are the test")
    clean: Names = Field((), description="repairs to make beside the usual ones, or no-NAME; see automl clean --help")
    rare_classes: RareClasses = Field(
        "drop",
        description="classes with too few rows to stand in every part: drop them, merge them into one, or keep them "
        "and be refused; rows of a given validation or test are never touched",
    )
    augment: Names = Field(
        (),
        description="how else training inputs may be varied: mirror, crop (pictures), words (texts); or how not to "
        "be: no-trivial, no-mixup (pictures), none",
    )
    task: str | None = Field(None, description="the task (guessed from the data)")
    metric: str | None = Field(None, description="the metric that decides (guessed from the data)")
    models: Annotated[tuple[str, ...], BeforeValidator(split_models)] = Field(
        (), description="hub ids, local folders, or package:NAME, comma-separated"
    )
    adapt: Names = Field(("full",), description="how to adapt each model: full, frozen, lora")
    trials: int | None = Field(None, ge=1, description=f"trials per contender (default {DEFAULT_TRIALS})")
    budget: Duration = Field(None, description="device time per contender instead of --trials, such as 20m")
    time_limit: Duration = Field(None, description="wall clock of the whole run, such as 1h")
    max_epochs: int | None = Field(
        None, ge=1, le=1000, description="the fixed horizon (default 10 under 5,000 training rows, else 3)"
    )
    patience: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="end a training that has not improved for this share of the horizon (default: off)",
    )
    seeds: int = Field(5, ge=1, le=100, description="final trainings per contender, each on a fresh seed")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="the seed that everything derives from")
    test: PathText | None = Field(None, description="a file of test rows, kept as it is")
    validation: PathText | None = Field(None, description="a file of validation rows, kept as it is")
    split: str | None = Field(
        None,
        description="the column that says which rows are train, validation and test (found out when left out), or "
        "none to take all rows as training rows",
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=20,
        description="for small data: cut validation in so many ways; the search's leaders play off on all of them, "
        "and every final has a cut of its own",
    )
    slice: Names = Field(
        (), description="columns by whose values the board tells scores as well (it names them); no model sees them"
    )
    slots: int | None = Field(None, ge=1, description="trials at a time (default: what the machine has)")
    workers: int = Field(1, ge=1, description="workers in each trial, which share its batches")
    workers_mode: WorkersMode = Field(
        "train", description="start workers with Ray Train for each trial, or keep a group for trial after trial"
    )
    shard: bool = Field(
        False, description="spread each model over the workers of a trial (FSDP2), for what one GPU cannot hold"
    )
    checkpoint_every: Duration = Field(
        None,
        description="device time between two checkpoints of a training, for what goes on after a loss (default 60s)",
    )
    cpus: int | None = Field(None, ge=1, description="CPUs of each worker (default: an even share of what there is)")
    gpus: float | None = Field(
        None,
        gt=0,
        description="GPUs of each worker, or a part of one (default: an even share); with --slots and --address "
        "they may have yet to be started by an autoscaler",
    )
    memory: float | None = Field(None, gt=0, description="GiB of memory that a node must have free for each worker")
    address: str | None = Field(
        None,
        description="a running Ray cluster: auto on one of its nodes, or HOST:6379; local: a Ray of its own "
        "(default: RAY_ADDRESS where that is set, else local)",
    )
    storage: str | None = Field(
        None,
        description="a place that all nodes reach: s3://BUCKET/PATH, gs://BUCKET/PATH or a path; data and weights "
        "are fetched from there, and resume STORAGE/NAME goes on with the run from any machine",
    )
    trials_per_gpu: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        None, description="trials that share one GPU; auto: as many as the measured memory allows (default 1)"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice instead of keeping them: less memory, a third more time"
    )
    compile: bool = Field(False, description="compile models with torch.compile; pays on long trainings on a GPU")
    search_spaces: PathText | None = Field(None, description="a folder of search-space files, looked up first")
    sampler: Literal["tpe", "gp", "random", "grid", "auto"] = Field(
        "tpe",
        description="how trials after the first ones are proposed; gp leaves out trials that were stopped early, "
        "auto is grid where every recipe can be tried and tpe elsewhere",
    )
    margin: float = Field(
        0.5, ge=0, le=100, description="differences within this many points count as practically equal"
    )
    price_per_hour: float | None = Field(
        None, ge=0, description="what an hour of one slot costs (device time): the board then tells money too"
    )
    out: PathText | None = Field(None, description="the run folder (default runs/NAME)")
    wandb: str | None = Field(None, description="log every trial to this Weights & Biases project")
    wandb_entity: str | None = Field(None, description="the W&B user or team (default: your key's own)")
    wandb_mode: Literal["online", "offline", "disabled"] | None = Field(
        None, description="W&B mode (default: online with a key, else offline)"
    )
    share_examples: bool = Field(False, description="allow data rows to leave this machine (W&B, MLflow)")
    tensorboard: bool = Field(False, description="write event files for TensorBoard into RUN/tensorboard")
    mlflow: str | None = Field(
        None, description="log every trial to this MLflow server, such as http://host:5000 or sqlite:///file.db"
    )
    notify: str | None = Field(
        None,
        exclude=True,  # a secret: no file and no tracker gets it
        description="a webhook (Slack's too) that is told when the run is done, fails or takes longer than planned; "
        "kept in no file, so give it to resume and extend again (or AUTOML_NOTIFY)",
    )
    allow_pickle: bool = Field(False, description="load weights that are not safetensors (runs their pickle)")

    @model_validator(mode="after")
    def _consistent(self) -> RunRequest:
        if self.trials is not None and self.budget is not None:
            raise ValueError("--trials and --budget are both given; a run has one of them")
        if self.shard and self.workers == 1:
            raise ValueError("--shard spreads a model over workers, and there is 1; give --workers 2 or more with it")
        if self.shard and self.workers_mode == "group":
            raise ValueError(
                "--shard and --workers-mode group are both given; where one of the workers that share a model fails, "
                "Ray Train has to end the others: leave --workers-mode out"
            )
        if self.shard and self.compile:
            raise ValueError("--shard and --compile are both given; models in shards are not compiled: leave one out")
        if not self.adapt:
            raise ValueError("--adapt names no adaptation; expected some of full, frozen, lora")
        if self.text is not None and not self.text:
            raise ValueError("--text names no column; expected one or two")
        if self.mlflow is not None and "@" in self.mlflow.partition("://")[2].partition("/")[0]:
            raise ValueError("--mlflow holds a password; give MLFLOW_TRACKING_USERNAME and _PASSWORD instead")
        if self.storage is not None and "@" in self.storage.partition("://")[2].partition("/")[0]:
            raise ValueError("--storage holds a secret; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role")
        for option in ("models", "adapt", "slice"):
            names = getattr(self, option)
            if len(set(names)) < len(names):
                raise ValueError(f"--{option} names {', '.join(names)}; each may stand only once")
        return self

    @property
    def contender_budget(self) -> Budget:
        if self.budget is not None:
            return Budget(device_seconds=self.budget)
        return Budget(trials=self.trials or DEFAULT_TRIALS)

    @property
    def run_name(self) -> str:
        """The last part of the default run folder: the source's name without its ending."""
        path = Path(self.source.rstrip("/"))
        stem = path.name.split(".")[0] if path.suffix else path.name
        if stem.lower() in {"train", "data", "dataset", "training"} and path.parent.name:
            stem = path.parent.name
        # letters of every script stay; 80 of them leave room below what file systems allow (255 bytes)
        return re.sub(r"[^\w.-]+", "-", stem)[:80].strip("-.") or "run"

    def resolved(self, **values: Any) -> RunRequest:
        """The request with guessed values filled in."""
        return self.model_copy(update=values)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def make_request(values: Mapping[str, Any], config: str | Path | None = None) -> RunRequest:
    """A checked request from a YAML file and explicit values, which win; None values count as not given.

    Raises RequestError that lists every problem at once, with near misses for unknown names.
    """
    given = read_yaml(config) if config is not None else {}
    given |= {name: value for name, value in values.items() if value is not None}
    try:
        request = RunRequest.model_validate(given)
        problems = list(wrong_addresses(lambda name: getattr(request, name)))
        if not problems:
            return request
    except ValidationError as error:
        problems = [_explain(detail) for detail in error.errors(include_url=False)]
    raise RequestError(
        problems[0] if len(problems) == 1 else f"{len(problems)} options are wrong: " + "; ".join(problems),
        "",
        "See automl run --help",
        problems=problems,
    )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises RequestError when it cannot be read or is no mapping."""
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(
            f"{path} could not be read: {reason}", "a YAML file of options", "Check --config"
        ) from None
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise RequestError(f"{path} holds a {kind}", "a mapping such as 'target: label'", "Write one option a line")
    return {str(name).replace("-", "_"): value for name, value in values.items()}


def _explain(detail: Mapping[str, Any]) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else ""
    option = name.replace("_", "-")
    if detail["type"] == "extra_forbidden":
        known = list(RunRequest.model_fields)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0].replace('_', '-')!r}?" if near else f"; known: {', '.join(known)}"
        return f"unknown option {option!r}{hint}"
    if detail["type"] == "missing":
        return f"{option!r} is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"option {option!r} is {detail['input']!r}: {message}" if name else message
