from __future__ import annotations

from stillbit.analysis.latent import latents
from stillbit.analysis.oscillation import Oscillations
from stillbit.analysis.record import from_json, to_json
from stillbit.analysis.tracked import tracked
from tests.analysis.test_tracked import TRACK, trained


def record(steps: int = 25) -> Oscillations:
    model, tracker = trained(steps)
    seen = tracked(model, tracker.state(), TRACK, step=steps)
    return Oscillations(subject="run", about="last.pt", tracked=seen, latents=latents(model))


def test_it_comes_back_from_json_as_it_was() -> None:
    held = record()
    assert from_json(Oscillations, to_json(held), "x") == held


def test_tables_begin_with_what_oscillates_most_and_say_m_and_the_threshold() -> None:
    held = record()
    layers, pieces, pairs, lying = held.tables()
    for table in (layers, pieces):
        shares = [row[[c.name for c in table.columns].index("oscillating")] for row in table.rows]
        assert shares == sorted(shares, reverse=True) and shares[0]
        assert "m = 0.1, is above 0.05; 25 looks, one every step" in table.note
    assert held.tracked is not None and f"{100 * held.tracked.oscillating:.2f} % of 6,912 weights" in layers.title
    assert len(layers.rows) == 4 and len(pieces.rows) == 3 * 4 + 2 and len(pairs.rows) == 3
    nearest = [row[3] for row in lying.rows]
    assert nearest == sorted(nearest, reverse=True)


def test_without_a_tracker_only_the_latents_are_shown() -> None:
    model, _ = trained(3)
    held = Oscillations(subject="run", about="last.pt", tracked=None, latents=latents(model))
    assert [table.title for table in held.tables()] == ["Where the latent weights lie"]
    assert from_json(Oscillations, to_json(held), "x") == held
