"""The proof holds for what is right, and names what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stillbit.deploy.proof import run as proof_run
from stillbit.deploy.proof.run import Told, prove
from stillbit.deploy.runtime.integer import Integer
from stillbit.deploy.runtime.reference import Reference
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small


class Liar:
    """The reference, but for what a test changes."""

    name = "liar"

    def __init__(self, program: Any) -> None:
        self.program = program
        self.changed: dict[str, Any] = {}
        self.added = 0.0
        self.hidden: set[str] = set()
        self.exact = False

    def __call__(self, images: Any) -> Any:
        return Reference(self.program)(images) + np.float32(self.added)

    def codes(self, images: Any, forced: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
        for name, codes in Reference(self.program).codes(images, forced):
            if name not in self.hidden:
                yield name, self.changed.get(name, lambda codes: codes)(codes)


@pytest.fixture(scope="module")
def made() -> Any:
    x = small.images(6)
    model = small.trained(small.vit(), "vvtq", "w2a2", x)
    return model, trace(model, x), x.numpy()


def step(program: Any, layer: str, op: str = "quantize") -> str:
    return next(s.output for s in program.steps if s.layer == layer and s.op == op)


def test_training_and_both_runtimes_compute_the_same(made: Any) -> None:
    model, program, x = made
    proof = prove(model, program, {"exact": Integer(program, exact=True), "integer": Integer(program)}, x)
    assert proof.failure() is None
    training, exact, integer = proof.comparisons
    assert [c.engine for c in proof.comparisons] == ["training", "exact", "integer"]
    assert exact.exact and not integer.exact and exact.differ == 0
    assert training.integers > 0 and training.differ == training.ties
    assert exact.integers > training.integers, "sums too"
    assert max(c.same_codes for c in proof.comparisons) < 1e-6
    assert all(c.images == c.same == 6 and c.judged == 0 for c in proof.comparisons)
    assert proof.layers[0].name == "patch_embed.proj"


def test_every_code_of_every_image_is_compared(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, program, x = made
    whole = prove(model, program, {}, x)
    codes = sum(c[0].size for c in proof_run.heard(Reference(program).codes(x)).values())
    sums = [s.output for s in program.steps if s.op in ("product", "convolution")]
    summed = sum(v.size for name, v in Reference(program).codes(x) if name in sums)
    assert whole.comparisons[0].integers == codes - summed
    monkeypatch.setattr(proof_run, "INTEGERS", 1)
    assert prove(model, program, {}, x) == whole, "one image at a time, or all together"


def test_a_wrong_code_is_named_with_its_layer_and_how_far_off_it_is(made: Any) -> None:
    _, program, x = made
    liar = Liar(program)
    liar.changed[step(program, "blocks.0.mlp.fc1")] = lambda codes: np.where(codes == 1, -2, codes)
    said = prove(None, program, {"liar": liar}, x).failure()
    assert said is not None
    assert "liar differs from the reference, first in blocks.0.mlp.fc1: " in said
    codes = Reference(program).codes(x)
    ones = sum(int((held == 1).sum()) for name, held in codes if name == step(program, "blocks.0.mlp.fc1"))
    assert f": {ones:,} of {6 * 17 * 16:,} codes, 0 of them ties, the others by up to 3, up to " in said
    assert said.endswith(" of a step from the boundary")


def test_the_first_layer_that_differs_is_named_not_the_worst(made: Any) -> None:
    _, program, x = made
    liar = Liar(program)
    liar.changed[step(program, "head")] = lambda codes: codes + 5
    liar.changed[step(program, "blocks.0.attn.qkv")] = lambda codes: -codes
    assert "first in blocks.0.attn.qkv" in str(prove(None, program, {"liar": liar}, x).failure())


def test_a_wrong_sum_is_named(made: Any) -> None:
    _, program, x = made
    liar = Liar(program)
    liar.changed[step(program, "blocks.0.attn.proj", "product")] = lambda sums: sums + 1
    assert "first in blocks.0.attn.proj" in str(prove(None, program, {"liar": liar}, x).failure())


def test_wrong_logits_behind_right_codes_fail(made: Any) -> None:
    _, program, x = made
    liar = Liar(program)
    liar.added = 0.01
    said = str(prove(None, program, {"liar": liar}, x).failure())
    assert said.startswith("the logits of liar are off by ") and "what differs lies behind the last code" in said
    assert prove(None, program, {"liar": liar}, x, Told(tolerance=0.5)).failure() is None


def test_logits_that_are_no_numbers_fail(made: Any) -> None:
    _, program, x = made
    liar = Liar(program)
    liar.added = float("nan")
    assert "the logits of liar are off by nan" in str(prove(None, program, {"liar": liar}, x).failure())


def test_an_engine_that_hides_codes_proves_nothing(made: Any) -> None:
    _, program, x = made
    liar = Liar(program)
    liar.hidden.add(step(program, "blocks.0.mlp.fc2"))
    said = str(prove(None, program, {"liar": liar}, x).failure())
    assert said == "liar does not show its codes in blocks.0.mlp.fc2, so nothing is known of them"


def test_a_run_that_is_not_the_one_that_showed_its_codes_is_counted(made: Any) -> None:
    """An engine fuses steps nobody looks at: the logits of its codes are right, and its own are others on one image."""
    _, program, x = made

    class Fuses(Liar):
        def __call__(self, images: Any) -> Any:
            logits = super().__call__(images)
            logits[0] += 0.001
            return logits

        def codes(self, images: Any, forced: Any = None) -> Any:
            yield from super().codes(images, forced)
            yield program.output, super().__call__(*images)

    (held,) = prove(None, program, {"fuses": Fuses(program)}, x).comparisons
    assert (held.unseen, held.same_codes) == (1, 0.0) and held.free > 1e-4
    (alike,) = prove(None, program, {"liar": Liar(program)}, x).comparisons
    assert alike.unseen == 0


def test_a_run_that_is_often_another_than_the_one_that_showed_its_codes_fails(made: Any) -> None:
    _, program, x = made

    class Apart(Liar):
        def __call__(self, images: Any) -> Any:
            return super().__call__(images) + np.float32(0.001)

        def codes(self, images: Any, forced: Any = None) -> Any:
            yield from super().codes(images, forced)
            yield program.output, super().__call__(*images)

    said = str(prove(None, program, {"apart": Apart(program)}, x).failure())
    assert said.startswith(f"apart has other logits on {len(x)} of {len(x)} images")


def test_an_exact_engine_may_not_even_have_ties(made: Any) -> None:
    model, program, x = made
    proof = prove(model, program, {"liar": Liar(program)}, x)
    first = proof.comparisons[1].layers[0]
    tied = replace(first, differ=1, ties=1, farthest=0.0)
    loose = replace(proof.comparisons[1], layers=(tied, *proof.comparisons[1].layers[1:]))
    assert replace(proof, comparisons=(loose,)).failure() is None
    assert f"first in {first.name}" in str(replace(proof, comparisons=(replace(loose, exact=True),)).failure())


def test_first_classes_that_ties_changed_are_counted_and_bounded(made: Any) -> None:
    model, program, x = made
    held = replace(prove(model, program, {}, x).comparisons[0], images=1000, same=995)
    proof = prove(model, program, {}, x)
    assert replace(proof, comparisons=(held,)).failure() is None
    worse = replace(proof, comparisons=(replace(held, same=980),))
    assert "another first class on 20 of 1,000 images because of ties alone" in str(worse.failure())
    assert "--agreement 0.98 accepts that" in str(worse.failure())
    assert replace(worse, agreement=0.98).failure() is None
    few = replace(held, images=8, same=7)
    assert replace(proof, comparisons=(few,)).failure() is None, "one image always may"


def test_further_images_are_for_first_classes_and_accuracy(made: Any) -> None:
    model, program, x = made
    labels = model(small.images(6)).argmax(1).numpy()
    labels[0] = (labels[0] + 1) % 5
    done: list[str] = []
    told = Told(labels=labels[:4], more=[(x, labels)] * 5, progress=done.append)
    engines = {"exact": Integer(program, exact=True), "integer": Integer(program)}
    training, exact, integer = prove(model, program, engines, x[:4], told).comparisons
    assert (training.images, training.same, training.judged, training.right) == (4, 4, 30, 25)
    assert (exact.images, exact.same, exact.judged, exact.right) == (4, 4, 4, 3), "it is slow"
    assert (integer.images, integer.same, integer.judged, integer.right) == (30, 30, 30, 25)
    assert done[0] == "proving: codes of 4 of 4 images" and done[-1] == "proving: first classes of 24 images"


def test_it_takes_one_image_at_least(made: Any) -> None:
    model, program, x = made
    with pytest.raises(ValueError, match="one image at least"):
        prove(model, program, {}, x[:0])
    assert prove(model, program, {}, x[:1]).failure() is None


def test_the_model_of_another_program_is_refused(made: Any) -> None:
    _, program, x = made
    other = small.trained(small.vit(depth=2), "vvtq", "w2a2", small.images())
    with pytest.raises(ValueError, match="the program was traced where it rounds"):
        prove(other, program, {}, x)


def test_other_weights_are_seen(made: Any) -> None:
    """The same architecture, trained on: the proof compares numbers, not names."""
    import torch

    model, program, x = made
    from copy import deepcopy

    other = deepcopy(model)
    with torch.no_grad():
        other.blocks[0].mlp.fc1.bias.add_(0.5)
    assert "training differs from the reference, first in blocks.0.mlp.fc2" in str(
        prove(other, program, {}, x).failure()
    )


def test_a_model_in_training_mode_is_compared_in_eval_mode_and_left_as_it_was(made: Any) -> None:
    model, program, x = made
    model.train()
    try:
        assert prove(model, program, {}, x).failure() is None
        assert model.training
    finally:
        model.eval()


def test_numbers_are_the_same_if_they_are_near() -> None:
    x = small.images(6)
    model = small.trained(small.vit(num_classes=1), "vvtq", "w2a2", x)
    program = trace(model, x)
    liar, more = Liar(program), [(x.numpy(), None)]
    proof = prove(model, program, {"liar": liar}, x.numpy(), Told(more=more))
    assert proof.numbers and proof.failure() is None
    assert [(c.images, c.same, c.judged) for c in proof.comparisons] == [(6, 6, 0)] * 2
    largest = float(np.abs(Reference(program)(x.numpy())).max())
    for added, same in ((0.009, 6), (0.02, 0)):
        liar.added = added * largest
        (_, off) = prove(model, program, {"liar": liar}, x.numpy(), Told(more=more, tolerance=0.5)).comparisons
        assert off.same == same


def test_a_number_that_is_none_is_not_near() -> None:
    assert proof_run._same(np.array([np.nan, 1.0]), np.array([1.0, 1.0])) == 1
    assert proof_run._same(np.zeros(2), np.zeros(2)) == 2
