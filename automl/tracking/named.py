"""The trackers that a request names; each package is imported only where it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable

from automl.config import RunRequest
from automl.tracking.base import Tracker
from automl.tracking.notify import NOTIFY_VARIABLE, WebhookTracker


def trackers_of(request: RunRequest, note: Callable[[str], None]) -> list[Tracker]:
    """Raises MissingExtra where the package of one is not installed. note: gets one line where a tracker fails."""
    found: list[Tracker] = []
    if request.wandb is not None:
        from automl.tracking.wandb import WandbTracker

        found.append(
            WandbTracker(
                request.wandb,
                request.wandb_mode,
                share_examples=request.share_examples,
                entity=request.wandb_entity,
                note=note,
            )
        )
    if request.tensorboard:
        from automl.tracking.tensorboard import TensorBoardTracker

        found.append(TensorBoardTracker(note))
    if request.mlflow is not None:
        from automl.tracking.mlflow import MlflowTracker

        found.append(MlflowTracker(request.mlflow, request.share_examples, note))
    if url := request.notify or os.environ.get(NOTIFY_VARIABLE):
        found.append(WebhookTracker(url, note))
    return found
