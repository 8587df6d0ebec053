"""What the kinds of labels keep."""

import pytest

from stillbit.distill.kinds import KINDS, MOST, kept, shares_rest


@pytest.mark.parametrize("classes", [2, 3, 10, 70000])
@pytest.mark.parametrize("top_k", [1, 5, MOST])
def test_a_label_lists_what_its_kind_says_and_never_more_than_there_is(classes, top_k):
    listed = {kind: kept(kind, top_k, classes) for kind in KINDS}
    few = min(top_k, classes)
    assert listed == {"full": classes, "hard": 1, "smoothing": 1, "marginal_smoothing": few, "marginal_renorm": few}


def test_only_the_smoothing_kinds_give_something_to_classes_that_are_not_listed():
    assert [kind for kind in KINDS if shares_rest(kind)] == ["smoothing", "marginal_smoothing"]
