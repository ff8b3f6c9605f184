"""The fine-tuning told to a colleague: what was done to the data, what won, what mattered, what was ignored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from automl.leaderboard.board import Leaderboard
from automl.leaderboard.importance import Importance
from automl.leaderboard.quoting import finding_quotes
from automl.leaderboard.verdict import listed, points, score
from automl.metrics import get_metric
from automl.types import LeaderboardRow, TrialResult

_TOLD = 4
"""More contenders than this have their recipes in the table alone."""
_MOST_NOTES = 8
_VARIED = {
    "augmentation": ("none", "training pictures varied, by one operation each"),
    "mixup_alpha": (0, "training pictures mixed in pairs"),
    "smallest_crop": (1, "parts of training pictures shown"),
    "mirror_share": (0, "training pictures mirrored"),
    "word_noise": (0, "words of training texts left out or moved"),
}
"""Keys of a recipe by which training inputs vary: the value under which they do not, and what is told of others."""


def story(
    board: Leaderboard,
    facts: Mapping[str, Any],
    importances: Sequence[Importance],
    overfitting: Sequence[str],
    trials: Sequence[TrialResult],
) -> list[tuple[str, list[str]]]:
    """Headings with their sentences, in the order in which things were done.

    facts: {"profile", "repairs"} of the run folder. No sentence holds a value of the data.
    """
    rows = [row for row in board.rows if row.kind == "contender"]
    findings = facts["profile"].get("findings", [])
    return [
        ("What was done to the data", list(_data(board, facts["profile"], facts["repairs"]))),
        ("Which recipes won", [_recipe(row, board) for row in rows[:_TOLD]]),
        ("What mattered", [_mattered(one) for one in importances]),
        ("Where overfitting began", list(overfitting) or ["The finals kept no losses that could tell."]),
        ("Warnings that were raised and not acted on", list(_ignored(findings, trials))),
    ]


def _data(board: Leaderboard, profile: Mapping[str, Any], repairs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    split = board.protocol["split"]
    if rows := sum((profile.get("parts") or {"train": profile.get("rows") or 0}).values()):
        yield f"{rows:,} rows were read."
    for repair in repairs:
        yield f"{str(repair['part']).capitalize()}: {repair['count']:,} {repair['what']}."
    unused = [
        one for one in profile.get("findings", ()) if (one["kind"], one["severity"]) == ("target_leak", "repair")
    ]
    for one in unused:
        yield f"Not used, because it gives the answer away: {one['what']}."
    if not repairs and not unused:
        yield "Nothing had to be repaired."
    parts = split["rows"]
    uses = {"train": "taught every contender", "validation": "chose recipes", "test": "gave the scores above"}
    told = [f"{parts[part]:,} rows {use}" for part, use in uses.items() if part in parts]
    if board.protocol.get("folds"):
        both = parts["train"] + parts["validation"]
        told = [
            f"{both:,} rows taught and chose (cut anew for every final)",
            f"{parts['test']:,} rows {uses['test']}",
        ]
    yield f"After that {listed(told)}; every contender had the same ones ({split['strategy']})."


def _recipe(row: LeaderboardRow, board: Leaderboard) -> str:
    metric = get_metric(board.metric)
    if not row.recipe:
        return f"{row.contender}: none; {row.error or 'no trial came to its end'}."
    tuned = row.tuned_minus_default
    if tuned is not None and not any(tuned.values()):
        where = "over the folds" if board.protocol.get("folds") else "on validation"
        against = f"It is the untuned default: nothing that was tried was better {where}."
    elif tuned is None:
        against = ""
    else:
        word = "better" if tuned["mean"] > 0 else "worse"
        sure = "" if tuned["low"] > 0 or tuned["high"] < 0 else ", which may be chance"
        against = f"On the test it is {points(tuned['mean'], metric)} {word} than the untuned default{sure}."
    place = "" if row.test_mean is None else f" ({score(row.test_mean, metric)} on the test)"
    return f"{row.contender}{place}: {recipe_words(row.recipe)}. {against}".strip()


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """The main hyperparameters of a recipe in the order in which one would explain them."""
    told = [f"learning rate {recipe['learning_rate']:.2g} in batches of {recipe['batch_size']}"]
    if rank := recipe.get("lora_rank"):
        told.append(f"adapters of rank {rank} beside frozen weights")
    if frozen := recipe.get("frozen_share"):
        lowest = f"the lowest {frozen:.0%} of the blocks frozen"
        told.append("the body frozen, only the head learns" if frozen >= 1 else lowest)
    if alone := recipe.get("head_only_share"):
        if not frozen or frozen < 1:
            told.append(f"the head alone for the first {alone:.0%} of the training")
    if release := recipe.get("release_share"):
        told.append(f"the blocks released one by one over {release:.0%} of it")
    shrinking = {"weight_decay": "weight decay", "dropout": "dropout", "label_smoothing": "label smoothing"}
    kept = [f"{words} {recipe[name]:.2g}" for name, words in shrinking.items() if recipe.get(name)]
    told.append(f"held back by {listed(kept)}" if kept else "nothing that holds it back")
    told += [words for name, (plain, words) in _VARIED.items() if recipe.get(name, plain) != plain]
    if (remedy := recipe.get("imbalance", "none")) != "none":
        told.append(f"against unequal classes {str(remedy).replace('_', ' ')}")
    return "; ".join(told)


def _mattered(found: Importance) -> str:
    if found.why_not:
        return f"{found.contender}: not known, {found.why_not}."
    top = [f"{name.replace('_', ' ')} ({share:.0%})" for name, share, _, _ in found.shares[:3]]
    return (
        f"{found.contender}: of what sets its {found.trials} whole trials apart, most goes back to {listed(top)}; "
        f"{found.together:.0%} to combinations only."
    )


def _ignored(findings: Sequence[Mapping[str, Any]], trials: Sequence[TrialResult]) -> Iterator[str]:
    """Warnings of the data checks that nothing was repaired for, and what trainings noted."""
    standing = [one for one in findings if one["severity"] == "warn"]
    for one in standing:
        kind = str(one["kind"]).replace("_", " ").capitalize()
        what = "the table of findings has the rest, which quotes the data" if finding_quotes(one) else one["what"]
        yield f"{kind}, {one['count']:,} row{'s' if one['count'] != 1 else ''}: {what}. Advice: {one['suggestion']}."
    notes = Counter(note for trial in trials for note in trial.notes)
    for note, count in notes.most_common(_MOST_NOTES):
        yield f"{count} training{'s' if count != 1 else ''}: {note}."
    if not standing and not notes:
        yield "None."
