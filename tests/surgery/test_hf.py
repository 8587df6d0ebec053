"""Encoders of transformers: which sites there are, what a mask hides, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel, per_head, per_token
from stillbit.layers import interface_attention
from stillbit.layers.walk import quantizers, weights
from stillbit.quantizers import Elastic, Latent
from stillbit.surgery.site import Headed, Site
from stillbit.surgery.survey import survey
from tests.surgery import tiny_hf
from tests.surgery.tiny_hf import EVERY, READER, READERS, bert, sentences

ELASTIC = Plan.uniform(1, 1, weight="sign", activation="elastic").but(
    Rule("@embedding", LayerSpec(Spec(1, "sign", per_channel), Spec(1, "elastic")))
)
HIDE = interface_attention.hide
every_family = pytest.mark.parametrize("family", EVERY)


def sites(model: nn.Module) -> dict[str, Site]:
    return {site.name: site for site in survey(model).sites}


def ends(model: nn.Module) -> dict[str, list[str]]:
    found = sites(model).values()
    return {role: [site.name for site in found if role in site.roles] for role in ("first", "last")}


def ready(model: nn.Module, plan: Plan | str, batch: dict[str, Tensor]) -> Any:
    quantized_model = stillbit.quantize(model, plan)
    if plan != "w32a32":
        stillbit.calibrate(quantized_model, [batch])
    return quantized_model


# ---------------------------------------------------------------------------------------------------------------- sites


def test_a_block_of_bert_has_its_attention_its_four_linears_and_its_mlp() -> None:
    found = sites(bert())
    block = {n.removeprefix("bert.encoder.layer.0."): s for n, s in found.items() if ".layer.0." in n}
    assert {name: (site.roles, site.heads, site.range) for name, site in block.items()} == {
        "attention.self": (("attention", "mhsa"), None, "signed"),
        "attention.self.query": (("query", "qkv", "heads", "mhsa", "linear"), Headed(3, 0), "signed"),
        "attention.self.key": (("key", "qkv", "heads", "mhsa", "linear"), Headed(3, 0), "signed"),
        "attention.self.value": (("value", "qkv", "heads", "mhsa", "linear"), Headed(3, 0), "signed"),
        "attention.output.dense": (("proj", "heads", "mhsa", "linear"), Headed(3, 1), "signed"),
        "intermediate.dense": (("fc1", "ffn", "linear"), None, "signed"),
        "output.dense": (("fc2", "ffn", "linear"), None, "shifted"),
    }
    attention = block["attention.self"]
    assert (attention.num_heads, attention.width, attention.tokens) == (3, 16, None)


@every_family
def test_the_blocks_of_every_family_have_the_same_roles(family: str) -> None:
    found = [s for s in survey(EVERY[family]()).sites if {"mhsa", "ffn"} & set(s.roles)]
    gates = 1 if family == "dinov2_gated" else 0
    counts = {role: sum(role in s.roles for s in found) for role in ("attention", "qkv", "proj", "fc1", "fc2", "heads")}
    assert counts == {"attention": 1, "qkv": 3, "proj": 1, "fc1": 1 + gates, "fc2": 1, "heads": 4}
    assert {s.range for s in found if "fc2" in s.roles} == {"signed" if gates else "shifted"}
    assert not survey(EVERY[family]()).floats


def test_a_relu_makes_the_input_of_fc2_unsigned() -> None:
    found = sites(bert(hidden_act="relu"))
    assert found["bert.encoder.layer.0.output.dense"].range == "unsigned"


def test_the_tables_are_embeddings_with_roles_of_their_own_and_a_scale_a_row() -> None:
    model = bert()
    tables = {n.rpartition(".")[2]: s.roles for n, s in sites(model).items() if "embedding" in s.roles}
    assert tables == {
        "word_embeddings": ("first", "word", "embedding"),
        "position_embeddings": ("position", "embedding"),
        "token_type_embeddings": ("position", "type", "embedding"),
    }
    inside = stillbit.quantize(model, "w2a2").bert.embeddings
    assert inside.word_embeddings.weight_quantizer.scale.shape == (64, 1)
    assert inside.position_embeddings.weight_quantizer.scale.shape == (20, 1)
    assert {t.weight_quantizer.grid.bits for t in inside.children() if hasattr(t, "weight_quantizer")} == {8}


def test_a_plan_may_give_the_words_one_bit() -> None:
    model = stillbit.quantize(bert(), ELASTIC)
    table = model.bert.embeddings.word_embeddings
    assert table(torch.tensor([5, 6])).abs().unique(dim=-1).shape == (2, 1)
    assert model.classifier.weight_quantizer.grid.bits == 8


def test_words_come_first_and_the_classifier_last_and_the_pooler_is_a_linear_like_others() -> None:
    assert ends(bert()) == {"first": ["bert.embeddings.word_embeddings"], "last": ["classifier"]}
    assert sites(bert())["bert.pooler.dense"].roles == ("linear",)
    assert stillbit.quantize(bert(), "w2a2").bert.pooler.dense.weight_quantizer.grid.bits == 2
    assert ends(tiny_hf.vit())["first"] == ["vit.embeddings.patch_embeddings.projection"]


@pytest.mark.parametrize(
    ("make", "last"),
    [
        (tiny_hf.roberta, ["classifier.out_proj"]),
        (tiny_hf.distilbert, ["classifier"]),
        (tiny_hf.dinov2, ["classifier"]),
        (lambda: transformers.BertModel(transformers.BertConfig(**READER)), []),
        (lambda: transformers.BertForMaskedLM(transformers.BertConfig(**READER)), ["cls.predictions.decoder"]),
        (lambda: transformers.BertForQuestionAnswering(transformers.BertConfig(**READER)), ["qa_outputs"]),
        (
            lambda: transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**tiny_hf.SEER)),
            ["cls_classifier", "distillation_classifier"],
        ),
        (lambda: nn.Sequential(transformers.BertModel(transformers.BertConfig(**READER)), nn.Linear(48, 2)), ["1"]),
    ],
    ids=["roberta", "distilbert", "dinov2", "bare", "masked", "questions", "teacher", "wrapped"],
)
def test_the_last_layer_is_the_head_s_and_a_bare_encoder_has_none(make: Callable[[], Any], last: list[str]) -> None:
    assert ends(make())["last"] == last


@pytest.mark.parametrize(("family", "proj"), [("bert", "output.dense"), ("distilbert", "out_lin"), ("vit", "o_proj")])
def test_heads_have_scales_of_their_own_on_rows_and_on_columns(family: str, proj: str) -> None:
    model = stillbit.quantize(EVERY[family](), Plan.uniform(4, 4, granularity=per_head))
    shapes = {n: tuple(q.scale.shape) for n, role, q in quantizers(model) if role == "weight" and q.grid.bits == 4}
    headed = {n for n, s in sites(EVERY[family]()).items() if "heads" in s.roles and "linear" in s.roles}
    assert {shapes[n] for n in headed if not n.endswith(proj)} == {(3, 1)}
    assert {shapes[n] for n in headed if n.endswith(f"attention.{proj}")} == {(1, 3)}


def test_the_pieces_of_query_key_and_value_are_their_heads() -> None:
    for make in (bert, tiny_hf.distilbert, tiny_hf.vit):
        model = stillbit.quantize(make(), "w4a4")
        found = [p for w in weights(model) for p in w.pieces() if p.role in ("query", "key", "value")]
        assert [p.head for p in found] == [0, 1, 2] * 3


# ------------------------------------------------------------------------------------------------- 32 bits, and masks


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", READERS)
def test_a_plan_at_32_bits_changes_no_bit_and_no_attention_function(
    family: str, implementation: str, training: bool
) -> None:
    model = READERS[family](attn_implementation=implementation).train(training)
    same = stillbit.quantize(model, "w32a32")
    assert torch.equal(same(**sentences()).logits, model(**sentences()).logits)
    assert {m.config._attn_implementation for m in same.modules() if hasattr(m, "config")} == {implementation}


def test_the_quantized_copy_alone_asks_for_our_function() -> None:
    model = bert(num_hidden_layers=2)
    quantized_model = stillbit.quantize(model, Plan.uniform(4, 4).but(Rule("*.layer.1.attention.self", None)))
    first, second = (layer.attention.self.config for layer in quantized_model.bert.encoder.layer)
    assert (first._attn_implementation, second._attn_implementation) == ("stillbit", "sdpa")
    assert quantized_model.config._attn_implementation == model.config._attn_implementation == "sdpa"
    assert second is quantized_model.config
    quantized_model.set_attn_implementation("eager")
    assert first._attn_implementation == "stillbit", "a user's choice for the float part leaves the codes alone"


class Codes:
    """What every quantizer made of one batch, as codes; probabilities after the mask."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch, batch: dict[str, Tensor]) -> None:
        self.found: dict[str, Tensor] = {}
        probabilities: list[Tensor] = []

        def hide(snapping: Latent, hidden: Tensor) -> Latent:
            done = HIDE(snapping, hidden)
            probabilities.append(done.code())
            return done

        monkeypatch.setattr(interface_attention, "hide", hide)
        hooks = [
            q.register_forward_hook(lambda _, __, y, key=f"{name}.{role}": self.found.update({key: y.code()}))
            for name, role, q in quantizers(model)
            if role not in ("weight", "probability")
        ]
        with torch.no_grad():
            self.logits = model(**batch).logits
        for hook in hooks:
            hook.remove()
        self.probabilities = probabilities


@lru_cache
def _with_thresholds(family: str, plan: str | Plan) -> Any:
    """A model in float64 whose elastic probabilities would make a one of every zero."""
    torch.manual_seed(1)
    model = ready(READERS[family]().double().eval(), plan, sentences())
    with torch.no_grad():
        for name, role, q in quantizers(model):
            if role == "probability" and isinstance(q, Elastic):
                q.threshold.fill_(-q.scale.item())
                assert (q(torch.zeros(2)).code() == 1).all(), name
    return model


@pytest.mark.parametrize("plan", ["w32a32", "w4a4", "w1a1", ELASTIC], ids=["w32a32", "w4a4", "w1a1", "elastic"])
@pytest.mark.parametrize("family", READERS)
def test_padding_changes_no_code_of_a_sentence(family: str, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = _with_thresholds(family, plan), sentences()
    together = Codes(model, monkeypatch, batch)
    length = int(batch["attention_mask"][1].sum())
    assert 0 < length < batch["input_ids"].size(1)
    only = {name: t[1:2, :length] for name, t in batch.items()}
    alone = Codes(model, monkeypatch, only)
    torch.testing.assert_close(together.logits[1:2], alone.logits, rtol=1e-12, atol=1e-12)
    for name, codes in alone.found.items():
        padded = together.found[name][1:2]
        assert torch.equal(padded[..., : codes.size(-2), :] if codes.dim() > 2 else padded, codes), name
    for p in together.probabilities if plan != "w32a32" else []:
        assert (p[1, :, :, length:] == 0).all() and (p[1, :, :length, :length] != 0).any()
    assert plan == "w32a32" or len(together.probabilities) == 1


def test_attention_maps_and_hidden_states_come_out_as_of_the_float_model() -> None:
    batch, model = sentences(), bert().eval()
    wanted = model(**batch, output_attentions=True, output_hidden_states=True)  # hooks are put in here
    for before in (model, bert().eval()):
        found = ready(before, "w4a4", batch)(**batch, output_attentions=True, output_hidden_states=True)
        assert [h.shape for h in found.hidden_states] == [h.shape for h in wanted.hidden_states]
        assert [a.shape for a in found.attentions] == [(3, 3, 12, 12)]
        for p in found.attentions:
            torch.testing.assert_close(p.sum(-1), torch.ones_like(p.sum(-1)))
            assert (p.mT[~batch["attention_mask"].bool()[:, None].expand(3, 3, 12)] == 0).all()


# ------------------------------------------------------------------------------------------------------------- refusals


def config(**options: Any) -> Any:
    return transformers.BertConfig(**{**READER, **options})


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: transformers.DebertaV2Model(transformers.DebertaV2Config(**READER)),
            "DisentangledSelfAttention of transformers is not an attention that stillbit knows",
        ),
        (
            lambda: transformers.BertLMHeadModel(config(is_decoder=True)),
            "this is a decoder, whose tokens see only those before them",
        ),
        (
            lambda: transformers.BertLMHeadModel(config(is_decoder=True, add_cross_attention=True)),
            "this is a decoder, whose tokens see only those before them",
        ),
    ],
    ids=["without-interface", "decoder", "cross"],
)
def test_an_attention_that_is_not_known_is_refused_with_the_way_out(make: Callable[[], Any], why: str) -> None:
    model = make()
    with pytest.raises(ValueError, match=rf"{why}: .*plan.but\(Rule\('@attention', None\)\).*bert, roberta") as caught:
        stillbit.quantize(model, "w4a4")
    assert "\n" not in str(caught.value)
    linears = stillbit.quantize(model, Plan.uniform(4, 4).but(Rule("@attention", None)))
    batch = {"input_ids": sentences()["input_ids"]}
    stillbit.calibrate(linears, [batch])
    assert linears(**batch)[0].isfinite().all()


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (Plan.uniform(4, 4, activation="lsq+"), "has to be exactly zero"),
        (
            Plan.uniform(4, 4).but(Rule("@attention", AttentionSpec.all(Spec(1, range="signed")))),
            "has to be exactly zero",
        ),
        (Plan.uniform(4, 4, merge=True), "cannot merge query and key, which are layers of their own"),
        (
            Plan.uniform(4, 4).but(Rule("@attention", AttentionSpec.all(Spec(4, granularity=per_token)))),
            "per_token needs to know how many tokens there are",
        ),
    ],
    ids=["shifted", "mid-rise", "merge", "per-token"],
)
def test_what_cannot_be_is_said_with_the_name_of_the_attention(plan: Plan, why: str) -> None:
    with pytest.raises(ValueError, match=rf"bert\.encoder\.layer\.0\.attention\.self: .*{why}"):
        stillbit.quantize(bert(), plan)


# ------------------------------------------------------------------------------------------------------ its own things


def test_a_batch_of_a_tokenizer_calibrates() -> None:
    model = stillbit.quantize(bert(), "w4a4")
    assert stillbit.calibrate(model, [transformers.BatchEncoding(sentences())]).batches == 1


def test_a_mask_in_the_example_does_not_disturb_the_count() -> None:
    model = stillbit.quantize(bert(), "w4a4")
    with_mask, without = (
        stillbit.summary(model, example) for example in (sentences(), {"input_ids": sentences()["input_ids"]})
    )
    assert with_mask.macs == without.macs == without.macs_on_codes


def test_a_model_of_timm_s_inside_is_quantized_as_timm_s(tmp_path: Any) -> None:
    options = {"architecture": "vit_tiny_patch16_224", "model_args": {"img_size": 32, "depth": 1}, "num_labels": 10}
    model = transformers.TimmWrapperForImageClassification(transformers.TimmWrapperConfig(**options)).eval()
    x = {"pixel_values": torch.randn(2, 3, 32, 32)}
    assert torch.equal(stillbit.quantize(model, "w32a32")(**x).logits, model(**x).logits)
    assert not survey(model).floats and ends(model)["last"] == ["timm_model.head"]
    codes = ready(model, "w4a4", x)
    stillbit.save(codes, tmp_path / "timm")
    assert torch.equal(stillbit.load(tmp_path / "timm")(**x).logits, codes(**x).logits)


def test_nothing_of_transformers_is_imported_before_a_model_of_it_comes() -> None:
    """In a process of its own, which has to import torch and timm: that takes its seconds."""
    code = (
        "import sys, torch, stillbit; stillbit.quantize(torch.nn.Linear(2, 2), 'w8a8'); "
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
