"""What a record says of an error: our sentence, or the first two of a library without its advertisement."""

from __future__ import annotations

import numpy as np
import pytest

from automl.errors import CheckpointError, one_line


def test_what_a_library_advertises_is_left_out() -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    with pytest.raises(ValueError, match="NaN") as caught:
        sklearn.LogisticRegression().fit(np.full((4, 2), np.nan), [0, 1, 0, 1])
    said = one_line(caught.value)
    assert said.startswith("ValueError: Input X contains NaN. LogisticRegression does not accept")
    assert "\n" not in said
    assert "consider" not in said
    assert "http" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("See https://example.org/help for help.", "ValueError"),
        ("one.\ntwo  lines", "ValueError: one. two lines"),
        ("Found 1.5 GiB. Needed 2. See https://x.org", "ValueError: Found 1.5 GiB. Needed 2."),
        ("", "ValueError"),
    ],
)
def test_it_is_one_line_without_addresses(text: str, said: str) -> None:
    assert one_line(ValueError(text)) == said


def test_a_message_of_ours_is_kept_whole() -> None:
    assert (
        one_line(CheckpointError("no weights", "some", "See https://x.org")) == "no weights; some. See https://x.org"
    )
