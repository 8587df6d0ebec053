import pytest

from stillbit.analysis.table import Column, Table, written


@pytest.mark.parametrize(
    ("cell", "kind", "words"),
    [
        (None, "number", ""),
        ("blocks.0", "share", "blocks.0"),
        (12345, "count", "12,345"),
        (0.12345678, "number", "0.1235"),
        (0.0433, "share", "4.33 %"),
        (-0.02, "change", "-2.00 %"),
        (0.02, "change", "+2.00 %"),
    ],
)
def test_a_cell_is_written_as_its_column_says(cell, kind, words):
    assert written(cell, kind) == words


def test_a_row_that_is_too_short_is_our_mistake():
    with pytest.raises(AssertionError, match="as long as the heading"):
        Table(title="t", columns=(Column(name="a"), Column(name="b")), rows=((1,),))
