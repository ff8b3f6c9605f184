"""Flaws of single columns and of the labels: what is missing, odd, unbalanced, or gives the answer away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from automl.data.columns import Column
from automl.data.guess import Roles
from automl.data.leakage import Keyed
from automl.data.load import Rows
from automl.types import Finding


def find_flaws(
    parts: Mapping[str, Rows],
    keyed: Mapping[str, Keyed],
    columns: Sequence[Column],
    roles: Roles,
    classified: bool,
) -> list[Finding]:
    """All of them, in no particular order."""
    return []
