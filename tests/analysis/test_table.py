import pytest

from stillbit.analysis.table import Column, Table, written


@pytest.mark.parametrize(
    ("cell", "kind", "words"),
    [
        (None, "number", ""),
        ("blocks.0", "share", "blocks.0"),
        (12345, "count", "12,345"),
        (0.12345678, "number", "0.1235"),
        (22870.4, "number", "22,870"),
        (999.96, "number", "1,000"),
        (0.0, "number", "0"),
        (22_870_000, "bytes", "22.9 MB"),
        (999_900, "bytes", "1 MB"),
        (512, "bytes", "512 B"),
        (0.0433, "share", "4.33 %"),
        (-0.02, "change", "-2.00 points"),
        (0.02, "change", "+2.00 points"),
    ],
)
def test_a_cell_is_written_as_its_column_says(cell, kind, words):
    assert written(cell, kind) == words


def test_a_row_that_is_too_short_is_our_mistake():
    with pytest.raises(AssertionError, match="as long as the heading"):
        Table(title="t", columns=(Column(name="a"), Column(name="b")), rows=((1,),))
