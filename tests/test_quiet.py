"""No package reports its use, and none is imported that nobody asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl.quiet import NOT_FOR, VARIABLES

ROOT = Path(__file__).parents[1]
LOOKED_AT = {name for names in NOT_FOR.values() for name in names}
UNASKED = LOOKED_AT | {
    "tensorboard", "tensorboardX", "tensorflow", "jax", "peft", "cleanlab", "sklearn", "statsmodels",
    "plotly", "matplotlib", "gradio", "sentence_transformers",
}  # fmt: skip
"""What only some requests need; a worker needs none of them, nor does a command that reads a run folder."""
TRAINING = UNASKED | {"datasets", "optuna", "wandb"}


def loaded(statement: str, **environment: str) -> tuple[set[str], list[str]]:
    """The packages that a new process has imported after a statement, and the last lines that it printed."""
    program = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    kept = {name: value for name, value in os.environ.items() if name not in {*VARIABLES, "PYTEST_CURRENT_TEST"}}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=kept | environment, check=False
    )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    return set(last.split()), lines


WORKER = """
import automl.training.workers
from automl.training.process import warm_process
warm_process("full")
from transformers import AutoModelForSequenceClassification, BertConfig
AutoModelForSequenceClassification.from_config(BertConfig(
    vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
))
import accelerate.tracking
"""
COUNTING_CALLBACKS = "import automl, ray.air._internal.usage as usage; usage._count_callbacks([])"
TERMINAL = "import automl.commands, automl.terminal, automl.watch"


@pytest.mark.parametrize(
    ("statement", "unasked"),
    [(WORKER, TRAINING), (COUNTING_CALLBACKS, LOOKED_AT), (TERMINAL, TRAINING | {"torch", "ray", "scipy"})],
    ids=["worker", "driver", "terminal"],
)
def test_nothing_is_imported_that_nobody_asked_for(statement: str, unasked: set[str], tmp_path: Path) -> None:
    found, _ = loaded(statement, HOME=str(tmp_path))
    assert not found & unasked
    assert not list(tmp_path.rglob("*"))  # no identity, no settings


def test_reports_of_use_are_off_unless_the_user_wants_them() -> None:
    tell = (
        "import automl, os\nfrom automl.quiet import VARIABLES\nprint({name: os.environ[name] for name in VARIABLES})"
    )
    _, [said] = loaded(tell)
    assert said == str(dict(VARIABLES))
    _, [said] = loaded(tell, WANDB_ERROR_REPORTING="true")
    assert said == str(VARIABLES | {"WANDB_ERROR_REPORTING": "true"})


def test_the_packages_themselves_take_their_reports_for_switched_off() -> None:
    asked = """
import automl, ray.air.integrations.mlflow  # which MLflow is hidden from, and from nobody else
from huggingface_hub import constants
from mlflow.telemetry.utils import is_telemetry_disabled
from ray._common.usage import usage_lib
from wandb import env
print(constants.HF_HUB_DISABLE_TELEMETRY, is_telemetry_disabled(), usage_lib.usage_stats_enabled())
print(env.error_reporting_enabled())
"""
    _, said = loaded(asked)
    assert said == ["True True False", "False"]
