"""What the analyses say of models that read, beside what a hand computes. Numbers are in double precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import stillbit
from stillbit import LayerSpec, Plan, Rule, Spec, per_channel
from stillbit.analysis.activations import measure
from stillbit.analysis.attention import FIRST, Attention, Shown, compute
from stillbit.analysis.directions import movable
from stillbit.analysis.given import Given, to_calibrate
from stillbit.analysis.gradient import gradients
from stillbit.analysis.groups import Anatomy
from stillbit.analysis.inquiry import Inquiry
from stillbit.analysis.noise import errors
from stillbit.analysis.parts import weight_layers
from stillbit.analysis.probabilities import Probabilities
from stillbit.analysis.record import from_json, to_json
from stillbit.analysis.scan import ScanSettings, Side, begin, scan
from stillbit.analysis.sensitivity import compute as sensitivity
from stillbit.analysis.sentence import SHOWN
from stillbit.analysis.twin import open_twin
from stillbit.analysis.variation import compute as variation
from stillbit.layers.walk import quantized
from tests.analysis import texts
from tests.analysis.texts import READERS, reader

every = pytest.mark.parametrize("family", READERS)
ATTENTIONS = {
    "bert": "bert.encoder.layer.{}.attention.self",
    "roberta": "roberta.encoder.layer.{}.attention.self",
    "distilbert": "distilbert.transformer.layer.{}.attention",
}
LINEARS = {"distilbert": ("q_lin", "k_lin", "v_lin", "out_lin")}
OF_BERT = ("query", "key", "value", "output.dense")


def linears(family: str, block: int) -> list[str]:
    """Query, key, value and projection of a block."""
    attention = ATTENTIONS[family].format(block)
    names = LINEARS.get(family, OF_BERT)
    beside = attention if family == "distilbert" else attention.removesuffix(".self")
    return [f"{attention}.{name}" for name in names[:3]] + [f"{beside}.{names[3]}"]


def low(model: Any, bits: Any = "w2a2", given: list[Any] | None = None) -> Any:
    made = stillbit.quantize(model, bits).eval()
    stillbit.calibrate(made, to_calibrate(texts.texts() if given is None else given))
    return made


def by_hand(model: Any, family: str, block: int, batch: Any) -> Tensor:
    """softmax(q k^T / sqrt(d)) of what the linears of a block put out, padding hidden."""
    held: dict[str, Tensor] = {}
    names = linears(family, block)[:2]
    handles = [
        model.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: held.update({name: o}))
        for name in names
    ]
    with torch.no_grad():
        model(*batch.inputs)
    for handle in handles:
        handle.remove()
    q, k = (held[name].unflatten(-1, (3, -1)).transpose(1, 2) for name in names)
    hidden = batch.mask[:, None, None, :] == 0
    return (q @ k.mT / 16**0.5).masked_fill(hidden, -torch.inf).softmax(-1)


@every
def test_a_float_model_attends_as_the_formula_says_and_not_to_padding(family: str) -> None:
    model, batch = reader(family), texts.texts()[0]
    opened = open_twin(model)
    with torch.no_grad(), Probabilities(opened) as looked:
        opened(*batch.inputs)
        found = looked.take()
    assert list(found) == [ATTENTIONS[family].format(block) for block in range(2)]
    for block, attended in enumerate(found.values()):
        assert torch.allclose(attended, by_hand(model, family, block, batch), atol=1e-12)
        assert not attended[batch.mask[:, None, None, :].expand_as(attended) == 0].any()
    assert model.config._attn_implementation == "sdpa", "the model keeps its own"


def look(*models: Any, given: list[Any] | None = None, keep: int = 2) -> Attention:
    shown = [Shown(f"model {i}", "made here", model) for i, model in enumerate(models)]
    return compute(shown, texts.texts() if given is None else given, subject="tests", keep=keep)


@every
def test_a_text_looks_the_same_alone_and_in_a_padded_batch(family: str) -> None:
    model, batches = reader(family), texts.texts()
    quantized_one = low(model, "w4a4")
    apart = []
    for batch in batches:
        for index in range(len(batch.ids)):
            ids, mask = texts.alone(batch, index)
            apart.append(
                batch._replace(ids=ids, mask=mask, targets=batch.targets[[index]], indices=batch.indices[[index]])
            )
    padded, alone = (look(model, quantized_one, given=given, keep=6) for given in (batches, apart))
    assert (padded.images, padded.what, padded.reads, padded.no_maps) == (6, "texts", FIRST, "")
    assert padded.sentences == alone.sentences and [len(s.tokens) for s in padded.sentences] == list(texts.LENGTHS)
    for one, other in zip(padded.models, alone.models, strict=True):
        for layer, same in zip(one.layers, other.layers, strict=True):
            assert layer.keys == pytest.approx(same.keys)
            assert layer.entropy == pytest.approx(same.entropy) and layer.silent == pytest.approx(same.silent)
        for maps, same_maps in zip(one.maps, other.maps, strict=True):
            assert maps.fused[0] == pytest.approx(same_maps.fused[0])
            assert maps.rollout[0] == pytest.approx(same_maps.rollout[0])


def test_the_numbers_are_those_of_a_loop_over_texts_heads_and_queries() -> None:
    model, batches = reader(), texts.texts()
    found = look(model).models[0]
    for block, layer in enumerate(found.layers):
        entropies: list[Tensor] = []
        for batch in batches:
            attended = by_hand(model, "bert", block, batch)
            for p, mask in zip(attended, batch.mask.bool(), strict=True):
                rows = p[:, mask][..., mask]
                entropies.append(-(rows * rows.clamp_min(1e-300).log()).sum(-1))
        assert layer.entropy == pytest.approx(torch.cat(entropies, 1).mean(1).tolist())
        logs = torch.tensor([float(n) for n in texts.LENGTHS]).double().log()
        weights = torch.tensor(texts.LENGTHS).double()
        assert layer.keys == pytest.approx(float(((logs * weights).sum() / weights.sum()).exp()))


def test_maps_are_the_rows_of_the_first_token_and_heads_are_whole() -> None:
    model, batch = reader(), texts.texts()[0]
    maps = look(model).models[0].maps
    first, last = (by_hand(model, "bert", block, batch) for block in range(2))
    for index, (one, length) in enumerate(zip(maps, texts.LENGTHS[:2], strict=True)):
        a, b = (p[index, :, :length, :length] for p in (first, last))
        fused = b.amax(0)[0]
        assert one.fused[0] == pytest.approx((fused / fused.sum()).tolist())
        mixed = [(p.mean(0) + torch.eye(length)) / 2 for p in (a, b)]
        assert one.rollout[0] == pytest.approx((mixed[1] @ mixed[0])[0].tolist())
        assert torch.allclose(torch.tensor(one.heads).double(), b, rtol=1e-3)


def test_a_long_text_keeps_its_first_tokens() -> None:
    model = reader(max_position_embeddings=SHOWN + 8)
    found = look(model, given=texts.texts((SHOWN + 4, 6), size=2))
    long, short = found.models[0].maps
    assert len(long.fused[0]) == len(long.heads[0]) == len(long.heads[2][0]) == SHOWN and len(short.rollout[0]) == 6
    assert from_json(Attention, to_json(found), "here") == found


@every
def test_roles_and_heads_of_every_weight_are_known(family: str) -> None:
    held = {layer.name: layer for layer in weight_layers(reader(family))}
    for block in range(2):
        for name, role in zip(linears(family, block), ("query", "key", "value", "proj"), strict=True):
            layer = held[name]
            assert layer.role == role and layer.home.name == ATTENTIONS[family].format(block)
            assert [(p.role, p.head, p.first, p.length) for p in layer.pieces] == [
                (role, h, 16 * h, 16) for h in range(3)
            ]
            assert {p.axis for p in layer.pieces} == {1 if role == "proj" else 0}
    others = [(layer.role, layer.has_heads) for name, layer in held.items() if ".layer." not in name]
    assert others[0] == ("word", False) and others[-1] == ("head", False)
    assert [layer.role for layer in held.values()].count("fc1") == 2


@every
def test_variation_by_head_is_a_mean_over_rows_or_columns(family: str) -> None:
    model = reader(family)
    spreads = {(s.layer, s.head): s.magnitude for s in variation(model, subject="t", about="here").spreads}
    query, _, _, proj = linears(family, 1)
    for head in range(3):
        rows = slice(16 * head, 16 * head + 16)
        assert spreads[query, head] == pytest.approx(
            float(model.get_submodule(query).weight[rows].detach().abs().mean())
        )
        assert spreads[proj, head] == pytest.approx(
            float(model.get_submodule(proj).weight[:, rows].detach().abs().mean())
        )


@every
def test_activations_are_measured_without_padding(family: str) -> None:
    model, batches = reader(family), texts.texts()
    flows, ranges = measure(model, batches)
    query, *_ = linears(family, 0)
    fc1 = next(layer.name for layer in weight_layers(model) if layer.role == "fc1")
    entered: dict[str, list[Tensor]] = {query: [], fc1: []}
    left: list[Tensor] = []
    model.get_submodule(query).register_forward_hook(lambda m, i, o: left.append(o[0]))
    for name, list_ in entered.items():
        model.get_submodule(name).register_forward_pre_hook(lambda m, i, list_=list_: list_.append(i[0][0]))
    with torch.no_grad():
        for batch in batches:
            for index in range(len(batch.ids)):
                model(*texts.alone(batch, index))
    held = {(f.layer, f.role, f.head): f for f in flows}
    for name, parts in entered.items():
        x, flow = torch.cat(parts), held[name, "input", None]
        assert flow.count == x.numel() == 48 * sum(texts.LENGTHS)
        assert flow.magnitude == pytest.approx(float(x.abs().mean()))
        assert flow.deviation == pytest.approx(float(x.std(correction=0)))
        reach = next(r for r in ranges if (r.layer, r.by) == (name, "channel"))
        for place, index in enumerate(reach.index):
            assert reach.low[place] == pytest.approx(float(x[:, index].min()))
            usual = torch.stack([part[:, index].quantile(0.99) for part in parts]).mean()
            assert reach.high_usual[place] == pytest.approx(float(usual))
    assert held[query, "query", 1].magnitude == pytest.approx(float(torch.cat(left)[:, 16:32].abs().mean()))
    assert {r.by for r in ranges} == {"channel"}, "texts of several lengths have no place for each token"


@every
def test_errors_of_activations_are_measured_without_padding(family: str) -> None:
    model, batches = low(reader(family), "w4a3"), texts.texts()
    found = {(e.layer, e.role): e for e in errors(model, batches, subject="t", about="here").activations}
    attention, fc2 = (
        ATTENTIONS[family].format(1),
        next(n for n, layer in quantized(model) if n.endswith(("lin2", "output.dense")) and "attention" not in n),
    )
    sums: dict[tuple[str, str], Tensor] = {}

    def watch(place: tuple[str, str]) -> Any:
        def add(quantizer: Any, args: Any, ready: Any) -> None:
            x, value = args[0], ready.value()
            sums[place] = sums.get(place, torch.zeros(2)) + torch.stack([(value - x).square().sum(), x.square().sum()])

        return add

    places = [(attention, role) for role in ("query", "key", "value", "probability")] + [(fc2, "input")]
    layers = dict(quantized(model))
    for name, role in places:
        layers[name].quantizers()[role].register_forward_hook(watch((name, role)))
    with torch.no_grad():
        for batch in batches:
            for index in range(len(batch.ids)):
                model(*texts.alone(batch, index))
    for place in places:
        error, signal = sums[place].tolist()
        assert found[place].relative == pytest.approx(error / signal), place


def _values(layer: Any) -> Tensor:
    """A weight as it is after its snap."""
    value: Tensor = layer.weight_quantizer(layer.weight).value()
    return value


@every
def test_a_head_that_is_lowered_is_the_model_with_that_head_replaced(family: str) -> None:
    """Weights alone: rows of query, key and value, and columns of the projection, snapped; nothing else."""
    model, batches = reader(family), texts.texts((8, 8, 8, 8), size=4)
    asked = Inquiry(subject="t", source="here", bits="w2a32", by=("head",), chunk=4)
    found = {(g.layer, g.head): g for g in sensitivity(model, batches, asked).groups}
    assert len(found) == 6
    below, changed = (low(model, f"w{bits}a32", batches) for bits in (2, 8))
    head = 2
    with torch.no_grad():
        for place, name in enumerate(linears(family, 1)):
            layer, snapped = changed.get_submodule(name), _values(below.get_submodule(name))
            part = (slice(32, 48), slice(None)) if place < 3 else (slice(None), slice(32, 48))
            layer.weight.copy_(_values(layer))
            layer.weight[part] = snapped[part]
            layer.weight_quantizer = None
        true, said = (m(*batches[0].inputs).logits.log_softmax(1) for m in (model, changed))
    group = found[ATTENTIONS[family].format(1), head]
    assert group.scores.kl == pytest.approx(float((true.exp() * (true - said)).sum(1).mean()), rel=1e-6)
    assert group.scores.loss == pytest.approx(float(cross_entropy(said, batches[0].targets)), rel=1e-6)
    assert group.parameters == 3 * (16 * 48 + 16) + 48 * 16


@every
def test_module_kinds_are_groups_of_their_own(family: str) -> None:
    model = reader(family)
    anatomy = Anatomy(model, stillbit.quantize(model, "w4a4"))
    groups = {group.name: group for group in anatomy.groups(("role",))}
    kinds = ("query", "key", "value", "projection", "fc1", "fc2", "words", "positions", "head", "all", "FFN", "MHSA")
    assert set(groups) == set(kinds)
    assert groups["words"].parameters == model.get_input_embeddings().weight.numel()
    for place, role in enumerate(("query", "key", "value", "projection")):
        assert groups[role].layers >= {linears(family, block)[place] for block in range(2)}
        assert groups[role].parameters == 2 * (48 * 48 + 48)
    assert not groups["all"].layers & (groups["words"].layers | groups["positions"].layers | groups["head"].layers)


def test_a_landscape_is_that_of_the_texts_and_positions_stand_still() -> None:
    model, batches = reader(), texts.texts()
    side = Side("float", "here", model)
    begun = begin([side], batches, ScanSettings(points=3), subject="t", about="here")
    found = scan(begun, [side], batches, lambda _: None)
    logits = [model(*batch.inputs).logits for batch in batches]
    targets = torch.cat([batch.targets for batch in batches])
    assert found.surfaces[0].loss == pytest.approx(float(cross_entropy(torch.cat(logits), targets).detach()))
    assert found.what == "texts" and "6 texts" in found.tables()[0].note
    moved = movable(model)
    assert "bert.embeddings.word_embeddings.weight" in moved
    assert not [name for name in moved if "position" in name or "token_type" in name]
    other = [batches[0]._replace(mask=torch.ones_like(batches[0].mask)), *batches[1:]]
    assert begin([side], other, ScanSettings(points=3), subject="t", about="here").data != begun.data


def test_gradients_are_those_of_the_mean_loss() -> None:
    model, batches = reader(), texts.texts()
    weight = model.get_submodule(linears("bert", 0)[0]).weight
    found = gradients(model, {"query": weight}, batches)["query"]
    losses = [cross_entropy(model(*b.inputs).logits, b.targets, reduction="sum") for b in batches]
    assert torch.allclose(found, torch.autograd.grad(torch.stack(losses).sum() / 6, weight)[0])


def test_a_model_of_binary_words_has_every_number() -> None:
    """Signs for weights and elastic activations, tables of one bit: what BiT has."""
    row = LayerSpec(Spec(1, "sign", per_channel), Spec(1, "elastic"))
    plan = Plan.uniform(1, 1, weight="sign", activation="elastic").but(Rule("@word", row))
    model, batches = reader(), texts.texts()
    binary = low(model, plan)
    found = errors(binary, batches, subject="t", about="here")
    word = next(e for e in found.weights if "word" in e.layer)
    table = model.get_input_embeddings().weight.detach()
    snapped = (table - table.mean(1, keepdim=True)).sign() * table.abs().mean(1, keepdim=True)
    assert word.relative == pytest.approx(float((snapped - table).square().sum() / table.square().sum()), rel=1e-4)
    assert look(model, binary).models[1].layers
    asked = Inquiry(subject="t", source="here", bits="w1a1", by=("head",), plan=plan)
    assert all(g.scores.kl > 0 for g in sensitivity(model, batches, asked).groups)


def test_a_model_that_answers_with_a_number_has_no_sensitivity() -> None:
    given: list[Given] = [b._replace(targets=b.targets.double()) for b in texts.texts()]
    with pytest.raises(ValueError, match="needs a model that tells classes apart"):
        sensitivity(reader(labels=1), given, Inquiry(subject="t", source="here"))
