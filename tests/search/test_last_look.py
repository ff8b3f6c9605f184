"""One look at a whole contest: it notes what warns, and refuses once with everything that refuses."""

from dataclasses import replace

import pytest

from automl.config import make_request
from automl.errors import RequestError
from automl.search.last_look import Drawn, last_look
from automl.types import Finding
from tests.toys import prepared_messages


def finding(kind, severity, what):
    return Finding(kind=kind, severity=severity, count=1, what=what, suggestion="mend it")


@pytest.fixture
def drawn(tmp_path):
    prepared = prepared_messages(tmp_path)
    return Drawn(request=make_request({"source": "x.csv"}), prepared=prepared, contenders=())


def with_findings(drawn, *findings):
    return replace(drawn, prepared=replace(drawn.prepared, findings=findings))


def test_good_data_raises_no_line(drawn):
    assert last_look(drawn) == []


def test_what_warns_becomes_a_line_and_other_findings_stay_in_the_report(drawn):
    looked = with_findings(
        drawn, finding("class_shares", "warn", "test is unlike train"), finding("imbalance", "warn", "few rows")
    )
    assert last_look(looked) == ["test is unlike train; mend it"]


def test_all_refusals_are_told_at_once(drawn):
    one, other = finding("class_shares", "refuse", "one class"), finding("any", "refuse", "no weights")
    with pytest.raises(RequestError, match="one class") as alone:
        last_look(with_findings(drawn, one))
    assert alone.value.todo == "Mend it"
    with pytest.raises(RequestError, match=r"2 things .* \(1\) one class.* \(2\) no weights") as both:
        last_look(with_findings(drawn, one, other))
    assert len(both.value.problems) == 2
