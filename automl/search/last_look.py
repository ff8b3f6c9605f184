"""The last look at a whole contest before anything is spent: what warns is noted, what refuses ends it.

A further look is one more function in `LOOKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from automl.config import RunRequest
from automl.data.last_look import KINDS
from automl.data.prepared import read_part
from automl.errors import RequestError
from automl.models.last_look import look_at_checkpoints
from automl.types import Contender, Finding, PreparedData


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What is known of a contest when its terms are drawn up."""

    request: RunRequest
    prepared: PreparedData
    contenders: Sequence[Contender]


def _data(drawn: Drawn) -> list[Finding]:
    findings = drawn.prepared.findings
    return [finding for finding in findings if finding.severity == "refuse" or finding.kind in KINDS]


def _checkpoints(drawn: Drawn) -> list[Finding]:
    train = read_part(drawn.prepared.directory, "train")
    return look_at_checkpoints(drawn.contenders, train, drawn.prepared.schema)


LOOKS: tuple[Callable[[Drawn], list[Finding]], ...] = (_data, _checkpoints)


def last_look(drawn: Drawn) -> list[str]:
    """One line for each thing to be warned of. Raises RequestError that lists everything that refuses."""
    return judged([finding for look in LOOKS for finding in look(drawn)])


def judged(findings: Sequence[Finding]) -> list[str]:
    """One line for each finding that warns. Raises RequestError that lists those that refuse."""
    refuse(findings)
    return [f"{finding.what}; {finding.suggestion}" for finding in findings if finding.severity == "warn"]


def refuse(findings: Sequence[Finding]) -> None:
    """Raises RequestError that lists every finding that refuses."""
    refusals = [finding for finding in findings if finding.severity == "refuse"]
    if len(refusals) == 1:
        raise RequestError(refusals[0].what, "", _sentence(refusals[0].suggestion))
    if refusals:
        problems = [f"{finding.what}. {_sentence(finding.suggestion)}" for finding in refusals]
        listed = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
        raise RequestError(
            f"{len(problems)} things are in the way of this run: {listed}",
            "",
            "Correct them all and run again",
            problems=problems,
        )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
