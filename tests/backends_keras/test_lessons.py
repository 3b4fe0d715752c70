"""The Keras half of question 7: what PyTorch's half says holds in Keras, on all of its backends."""

import pytest

from gainstage.lessons import he
from gainstage.lessons.criterion import judge
from gainstage.lessons.question import Setting

QUICK = Setting(quick=True)


@pytest.mark.parametrize(("claim_id", "verdict"), [("7.1", "holds"), ("7.2", "holds"), ("7.5", "does not hold")])
def test_claims_about_both_frameworks(claim_id, verdict):
    study, claim = next((s, c) for s in he.QUESTION.studies for c in s.claims if c.id == claim_id)
    measured = study.experiment(QUICK)
    assert not measured.absent
    evidence = judge(claim, measured.figures, absent=measured.absent)
    keras = [check for check in evidence.checks if check.bound.case.startswith("Keras")]
    assert evidence.verdict == verdict
    assert len(keras) == (1 if claim_id == "7.2" else 2)
    assert all(check.outcome == ("met" if verdict == "holds" else "broken") for check in keras)
