"""Two processes that were really started do together what one does alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.data.batch import Batch
from stillbit.train import distributed
from stillbit.train.distributed import Share
from stillbit.train.evaluate import evaluate
from stillbit.train.settings import OptimSettings
from stillbit.train.state import Training
from tests.train import pair, tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pair")


@pytest.fixture(scope="module")
def both(folder: Path) -> list[pair.Seen]:
    return pair.run(folder)


@pytest.fixture(scope="module")
def alone() -> tuple[Training, list[torch.Tensor]]:
    """The same two steps in one process, on all eight images."""
    training = tiny.training(tiny.network().double(), OptimSettings(opt="adamw", lr=0.01))
    batch = tiny.batch()
    loop = tiny.loop(clip=0.5)
    return training, [loop.step(training, Batch(batch.images.double(), *batch[1:]), 8)["loss"] for _ in range(2)]


def close(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_every_process_knows_its_number_and_the_first_one_leads(both: list[pair.Seen]) -> None:
    assert [seen["start"]["share"] for seen in both] == [(0, 2, "cpu", True), (1, 2, "cpu", False)]


def test_numbers_are_summed_over_all_and_those_of_the_first_reach_all(both: list[pair.Seen]) -> None:
    for seen in both:
        assert seen["words"]["agree"] == (3, 1) and seen["words"]["total"].tolist() == [3.0, 1.0]
        numbers, flags = seen["words"]["broadcast"]
        assert numbers.tolist() == [0, 0] and flags.tolist() == [True]


@pytest.mark.parametrize("kind", ["copies", "shards"])
def test_uneven_shares_of_a_step_give_the_losses_and_weights_of_one_process(
    kind: str, both: list[pair.Seen], alone: tuple[Training, list[torch.Tensor]]
) -> None:
    training, losses = alone
    for seen in both:
        close(seen[kind]["losses"], torch.stack(losses))
    held = both[0][kind]
    close(held["model"], training.model.state_dict())


def test_what_is_saved_of_a_sharded_training_is_what_is_saved_of_a_copied_one(both: list[pair.Seen]) -> None:
    one, other = both[0]["shards"], both[0]["copies"]
    assert list(one["model"]) == list(other["model"])
    close(one["model"], other["model"])
    moments = [sorted(s["exp_avg"].square().sum().item() for s in seen["optimizer"]["state"].values())
               for seen in (one, other)]  # fmt: skip
    close(*moments)


@pytest.mark.parametrize("kind", ["copies", "shards"])
def test_what_was_saved_goes_on_as_if_nothing_had_happened(kind: str, both: list[pair.Seen]) -> None:
    assert tiny.same(both[0][kind]["went_on"], both[0][kind]["again"])


def test_copies_are_equal_in_all_processes_though_they_began_unequal(both: list[pair.Seen]) -> None:
    assert tiny.same(both[0]["copies"]["model"], both[1]["copies"]["model"])


def test_gradients_are_exchanged_once_a_step_in_however_many_parts(both: list[pair.Seen]) -> None:
    assert [seen["exchanges"]["exchanges"] for seen in both] == [1, 1]


def test_an_evaluation_counts_every_image_once(both: list[pair.Seen]) -> None:
    wanted = evaluate(tiny.network(), tiny.loader(9, 2, train=False), device=torch.device("cpu"))
    assert both[0]["counts"]["scores"] == both[1]["counts"]["scores"] == pytest.approx(wanted)
    assert wanted["images"] == 9


def test_all_processes_evaluate_with_the_running_means_of_the_first(both: list[pair.Seen]) -> None:
    assert both[0]["means"]["scores"] == both[1]["means"]["scores"]
    for seen in both:
        assert [mean.tolist() for mean in seen["means"]["means"]] == [[0.0], [0.0]]


def test_the_log_has_the_mean_over_the_processes_and_the_first_one_writes_it(
    both: list[pair.Seen], folder: Path
) -> None:
    assert [seen["lines"]["log"]["sums"] for seen in both] == [{"loss": 1.5}] * 2
    (line,) = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["loss"] == 1.5


def test_when_one_is_asked_to_stop_all_stop_after_the_same_step(both: list[pair.Seen]) -> None:
    assert [seen["asked"] for seen in both] == [{"signal": 0, "step": 2}, {"signal": 15, "step": 2}]


# ------------------------------------------------------------------------------------------------------------ alone


def test_alone_there_is_nobody_to_agree_with(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    share = distributed.join("cpu")
    assert share == Share(0, 1, torch.device("cpu")) and share.leads
    model = tiny.network()
    assert distributed.wrap(model, share) is model
    distributed.broadcast(model.parameters())
    distributed.barrier()
    distributed.leave()
    assert distributed.agree(3, True) == (3, True) and distributed.total(torch.tensor([2.0])).item() == 2.0


def test_one_process_has_nothing_to_shard() -> None:
    with pytest.raises(ValueError, match=r"--fsdp shards a model over processes, .*: start several with torchrun"):
        distributed.wrap(tiny.network(), tiny.ALONE, fsdp=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here there is a GPU")
@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("gpu0", "--device 'gpu0' is no device of torch: use auto, cpu, cuda or cuda:0"),
        ("cuda", "torch sees no GPU here; use --device cpu"),
        ("cuda:1", "torch sees no GPU here; use --device cpu"),
    ],
)
def test_a_device_that_is_not_there_gets_one_sentence(device: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        distributed.join(device)
    assert said in str(caught.value)


def test_auto_takes_what_there_is() -> None:
    assert distributed.join().device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_process_knows_its_share_without_meeting_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers at this address, and nobody is asked."""
    told = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert distributed.share("cpu") == Share(3, 4, torch.device("cpu"))
    assert not torch.distributed.is_initialized()
