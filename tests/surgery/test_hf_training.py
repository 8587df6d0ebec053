"""Encoders of transformers in training: the Trainer, processes, checkpointed activations, bfloat16, torch.compile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stillbit
from stillbit import AttentionSpec, Plan, Rule, Spec, per_head
from tests.surgery.tiny_hf import EVERY, batch, bert, sentences

WORDS = {
    "elastic": Plan.uniform(1, 1, weight="sign", activation="elastic"),
    "heads": Plan.uniform(1, 1, granularity=per_head).tuned("lsq", gradscale="by_magnitude"),
    "statsq": Plan.uniform(4, 4, weight="statsq"),
    "learned": Plan.uniform(2, 2, weight="learned_bits", activation="learned_bits", granularity=per_head),
    "pact": Plan.uniform(2, 2, weight="dorefa", activation="pact"),
    "rectified": Plan.uniform(2, 2).but(Rule("@attention", AttentionSpec.all(Spec(2), rectify=True))),
}


def ready(model: nn.Module, plan: Plan | str, inputs: dict[str, Tensor]) -> Any:
    quantized_model = stillbit.quantize(model, plan)
    stillbit.calibrate(quantized_model, [inputs])
    return quantized_model.train()


def gradients(model: nn.Module, run: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    logits = run(**inputs).logits
    (logits * torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("word", WORDS)
def test_every_word_trains_every_parameter_of_bert(word: str) -> None:
    model = ready(bert(), WORDS[word], sentences())
    found = gradients(model, model, sentences())
    assert found.keys() == dict(model.named_parameters()).keys()
    assert all(gradient.isfinite().all() for gradient in found.values())


def test_the_loss_of_labels_falls_in_a_few_steps() -> None:
    model, labels = ready(bert(), "w2a2", sentences()), torch.tensor([3, 1, 4])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(**sentences(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("family", ["bert", "distilbert", "vit"])
def test_checkpointing_of_activations_gives_the_same_gradients(family: str) -> None:
    model = ready(EVERY[family](), "w4a4", batch(family))
    wanted = gradients(model, model, batch(family))
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()
    assert any(getattr(m, "gradient_checkpointing", False) for m in model.modules())
    found = gradients(model, model, batch(family))
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_model_of_half_precision_keeps_its_scales_in_float32() -> None:
    model = ready(bert().bfloat16(), "w4a4", sentences())
    found = gradients(model, model, sentences())
    assert model(**sentences()).logits.dtype == torch.bfloat16
    kinds = {name.rpartition(".")[2]: g.dtype for name, g in found.items()}
    assert kinds["scale"] == torch.float32 and kinds["weight"] == torch.bfloat16


def test_one_process_of_several_has_the_gradients_of_one(tmp_path: Path) -> None:
    model = ready(bert(), "w4a4", sentences())
    wanted = gradients(model, model, sentences())
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        found = gradients(model, nn.parallel.DistributedDataParallel(model), sentences())
    finally:
        torch.distributed.destroy_process_group()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def rows(count: int = 16) -> list[dict[str, Any]]:
    held = sentences(4)
    return [{**{k: v[i % 4] for k, v in held.items()}, "labels": i % 4} for i in range(count)]


def trainer(model: nn.Module, folder: Path, **options: Any) -> Any:
    from transformers import Trainer, TrainingArguments

    usual = {"max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "save_steps": 2}
    quiet = {"report_to": [], "use_cpu": True, "disable_tqdm": True, "dataloader_pin_memory": False}
    return Trainer(model, TrainingArguments(str(folder), **{**usual, **quiet, **options}), train_dataset=rows())


@pytest.mark.parametrize("half", [False, True])
def test_the_trainer_trains_it(half: bool, tmp_path: Path) -> None:
    model = ready(bert(), "w4a4", sentences())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    done = trainer(model, tmp_path, bf16=half, save_strategy="no").train()
    assert done.global_step == 4 and done.training_loss > 0
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {n for n in before if n.endswith("classifier.weight") or n.endswith("query_quantizer.scale")} <= moved


def test_the_trainer_goes_on_from_its_own_checkpoint_to_the_bit(tmp_path: Path) -> None:
    model = bert()
    through, resumed = (ready(model, "w4a4", sentences()) for _ in range(2))
    trainer(through, tmp_path).train()
    trainer(resumed, tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    held = through.state_dict()
    assert all(torch.equal(tensor, held[name]) for name, tensor in resumed.state_dict().items())


def assert_compiled_equals_eager(family: str, backend: str) -> None:
    """In float64 no code flips because a sum was added up in another order, so equal means equal."""
    torch._dynamo.reset()
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in batch(family).items()}
    model = ready(EVERY[family]().double(), "w4a4", inputs)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for _ in range(2):
        wanted, found = (gradients(model, run, inputs) for run in (model, compiled))
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=1e-10)


def test_a_compiled_step_of_bert_equals_eager() -> None:
    """The graph of a whole model is traced, which takes its seconds."""
    assert_compiled_equals_eager("bert", "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY)
def test_a_step_compiled_to_machine_code_equals_eager(family: str) -> None:
    assert_compiled_equals_eager(family, "inductor")


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch hides it itself
@pytest.mark.slow
def test_compiled_blocks_equal_eager() -> None:
    torch._dynamo.reset()
    model = ready(bert(num_hidden_layers=2).double(), "w4a4", sentences())
    wanted = gradients(model, model, sentences())
    stillbit.compile_blocks(model, backend="aot_eager")
    found = gradients(model, model, sentences())
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=1e-10)
