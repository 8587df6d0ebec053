from __future__ import annotations

from stillbit.analysis.error import Errors, GradientAgreement, TensorError
from stillbit.analysis.record import from_json, to_json


def error(layer: str, relative: float | None, head: int | None = None) -> TensorError:
    return TensorError(
        layer=layer, role="weight", head=head, bits=2, relative=relative, sqnr=None, clipped=0.25, elements=8
    )


def record(*found: TensorError) -> Errors:
    gradients = tuple(GradientAgreement(layer=f"l{n}", cosine=c, ratio=1.0) for n, c in enumerate((0.5, None, -0.25)))
    return Errors(
        subject="run",
        about="best.pt",
        images=8,
        loss=2.0,
        float_loss=1.0,
        weights=found,
        pieces=found,
        activations=(),
        gradients=gradients,
        agreement=None,
    )


def test_it_comes_back_from_json_as_it_was() -> None:
    held = record(error("a", 0.5), error("b", None))
    assert from_json(Errors, to_json(held), "x") == held


def test_what_is_not_known_comes_last() -> None:
    tables = record(error("a", 0.25), error("b", None), error("c", 0.5)).tables()
    assert [row[0] for row in tables[0].rows] == ["c", "a", "b"]
    assert [row[0] for row in tables[2].rows] == ["l2", "l0", "l1"]


def test_heads_have_a_column_where_there_are_heads() -> None:
    plain, headed = (record(*found).tables()[0] for found in ([error("a", 0.5)], [error("a", 0.5, 2), error("b", 0.1)]))
    assert "head" not in [column.name for column in plain.columns]
    assert headed.rows == (("a", "weight", 2, 2, None, 0.5, 0.25, 8), ("b", "weight", None, 2, None, 0.1, 0.25, 8))


def test_losses_and_definitions_stand_below() -> None:
    tables = record(error("a", 0.5)).tables()
    assert "2 quantized and 1 float" in tables[2].note and "-10 log10" in tables[0].note
