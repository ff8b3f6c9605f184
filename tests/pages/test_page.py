"""Text of the data on a page: one line, safe, and not too long."""

from automl.pages.page import cut


def test_text_is_cut_to_one_line_without_control_letters() -> None:
    assert cut("a\n\tb\x00\u202ec") == "a b c"
    assert len(cut("x" * 1000)) == 280
    assert cut("x" * 1000).endswith("…")
    assert cut(None) == "None"
