"""`automl verify`: whether a run folder still says what its run wrote, and its board what its records say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from automl.errors import AutoMLError
from automl.leaderboard.content_checks import check_board, check_predictions, check_split, check_test
from automl.leaderboard.evidence import Evidence, Finding
from automl.leaderboard.record_checks import (
    check_chains,
    check_finals,
    check_ledger,
    check_openings,
    check_published,
    check_seals,
    check_trainings,
    check_winners,
)
from automl.leaderboard.store import RunFolder

Check = Callable[[Evidence], list[Finding]]
CHECKS: dict[str, Check] = {
    "records are chained": check_chains,
    "records are those of the board": check_seals,
    "openings of the test": check_openings,
    "split": check_split,
    "trainings": check_trainings,
    "winners": check_winners,
    "finals": check_finals,
    "ledger": check_ledger,
    "predictions": check_predictions,
    "test labels": check_test,
    "board": check_board,
    "pages as published": check_published,
}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What one check found: faults, and things to know that are none."""

    check: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not any(finding.wrong for finding in self.findings)

    def to_text(self) -> str:
        """One line where all is well, else one line a fault."""
        lines = [f"{'ok' if self.ok else 'WRONG'}: {self.check}"]
        lines += [f"  {'' if one.wrong else '(note) '}{one.sentence()}" for one in self.findings]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The checks of one run folder: CHECKS in their order, then those of other rooms."""

    run: str
    checks: tuple[Checked, ...]

    @property
    def ok(self) -> bool:
        return all(one.ok for one in self.checks)

    @property
    def problems(self) -> list[str]:
        return [finding.sentence() for one in self.checks for finding in one.findings if finding.wrong]

    def to_json(self) -> dict[str, Any]:
        """{"ok", "run", "checks": [{"check", "ok", "findings": [{"wrong", "what", "file", "line", "id"}]}]}."""
        checks = [
            {"check": one.check, "ok": one.ok, "findings": [asdict(finding) for finding in one.findings]}
            for one in self.checks
        ]
        return {"ok": self.ok, "run": self.run, "checks": checks}

    def to_text(self) -> str:
        count = len(self.problems)
        verdict = "verified: the board follows from its records" if self.ok else (
            f"NOT verified: {count} thing{'s are' if count > 1 else ' is'} wrong"
        )  # fmt: skip
        return "\n".join([*(one.to_text() for one in self.checks), "", f"{self.run}: {verdict}"])


def verify_run(folder: RunFolder, further: Mapping[str, Check] | None = None) -> Verification:
    """Every check of a run folder. Where its winners are fixed the test is opened, which is logged.

    further: checks of rooms above this one, by what they are called.
    """
    evidence, wanted = Evidence(folder), {**CHECKS, **(further or {})}
    checks = [Checked(check=name, findings=tuple(_findings(check, evidence))) for name, check in wanted.items()]
    return Verification(run=str(folder.path), checks=tuple(checks))


def _findings(check: Check, evidence: Evidence) -> list[Finding]:
    """What a check finds; where an edit made something unreadable, that is what it found."""
    try:
        return check(evidence)
    except AutoMLError as problem:
        return [Finding(what=str(problem))]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError) as problem:
        reason = f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:300]
        return [Finding(what=f"could not be checked, something is missing or of another kind ({reason})")]
