"""What each contender has spent, failures included: every ended training is charged, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from automl.leaderboard.store import RunFolder, now
from automl.types import Budget, Spend, SpendKind, TrialResult


class Ledger:
    """The sums behind `device_seconds` of the board, and what is left of a budget in device-seconds."""

    def __init__(self, folder: RunFolder, budget: Budget, clock: Callable[[], str] = now) -> None:
        self._folder, self._budget, self._clock = folder, budget, clock
        self._charged: set[tuple[str, str]] = set()
        self._search: dict[str, float] = {}
        self._finals: dict[str, float] = {}
        for spend in folder.ledger():
            self._add(spend)

    def _add(self, spend: Spend) -> None:
        self._charged.add((spend.trial, spend.kind))
        sums = self._finals if _is_final(spend.trial) else self._search
        sums[spend.contender] = sums.get(spend.contender, 0.0) + spend.device_seconds

    def charge(self, result: TrialResult) -> None:
        """Write what a training spent, kind by kind; nothing of what is already in the books."""
        final = result.kind in ("final", "default")
        kinds: dict[SpendKind, float] = {}
        for kind, seconds in result.spent.items():
            booked: SpendKind = "final" if final and kind in ("train", "validate") else kind  # type: ignore[assignment]
            kinds[booked] = kinds.get(booked, 0.0) + seconds
        for kind, seconds in kinds.items():
            if (result.id, kind) in self._charged:
                continue  # a crash may have come between two kinds
            spend = Spend(
                contender=result.contender,
                trial=result.id,
                kind=kind,
                device_seconds=seconds,
                at=self._clock(),
            )
            self._folder.append_spend(spend)
            self._add(spend)

    def reconcile(self, results: Iterable[TrialResult]) -> None:
        """Charge what a crash left between the record of a training and its charge."""
        for result in results:
            self.charge(result)

    def spent(self, contender: str) -> float:
        return self._search.get(contender, 0.0) + self._finals.get(contender, 0.0)

    def left_for_search(self, contender: str) -> float | None:
        """Device-seconds that new trials may still use; None where the budget is in trials."""
        if self._budget.device_seconds is None:
            return None
        return self._budget.device_seconds * self._budget.search_share - self._search.get(contender, 0.0)

    def left_for_finals(self, contender: str) -> float | None:
        """Device-seconds left for finals: what the search did not use of its share is theirs as well."""
        if self._budget.device_seconds is None:
            return None
        return self._budget.device_seconds - self.spent(contender)


def _is_final(trial: str) -> bool:
    return "-final-" in trial or "-default-" in trial
