from pathlib import Path

from stillbit.methods import build
from stillbit.surgery.bitops import bitops, learned_bits
from stillbit.surgery.file import load
from tests.methods import small


def test_heads_have_bits_of_their_own(tmp_path: Path) -> None:
    model = build.bare_model(small.recipe("qvit_mixed", tmp_path, model={"num_classes": 10}))
    heads = model.blocks[0].attn.num_heads
    found = {(name, role): quantizer.blocks for name, role, quantizer in learned_bits(model)}
    assert found["blocks.0.attn", "query"] == (heads, 1, 1)
    assert found["blocks.0.attn.qkv", "weight"] == (3 * heads, 1)
    assert found["blocks.0.attn.proj", "input"] == (heads,)
    assert found["blocks.0.mlp.fc1", "weight"] == (1, 1)


def test_bits_move_toward_the_budget_and_stay_at_the_end(tmp_path: Path) -> None:
    recipe = small.recipe("qvit_mixed", tmp_path, quant={"bits": "w5a5"}, model={"num_classes": 10})
    before = float(bitops(build.bare_model(recipe)).detach()) / 1e9
    budget = {"bits": "w5a5", "bit_budget": 0.8 * before, "bit_budget_strength": 1e5}
    recipe = small.change(recipe, quant=budget, schedule={"epochs": 6}, optim={"scale_lr": 0.1})
    result, _ = small.run(recipe)
    assert result.model is not None
    model = load(result.model)
    assert float(bitops(model).detach()) / 1e9 < 0.95 * before
    assert all(quantizer.is_frozen() for _, _, quantizer in learned_bits(model))
