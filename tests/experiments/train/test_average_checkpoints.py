"""The mean of checkpoints is exact, and loads like any other checkpoint."""

import pytest

pytest.importorskip("transformers", reason="needs the train extra")

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from experiments.tiny_model.model import build_model
from experiments.tiny_model.processor import build_processor
from experiments.train.average_checkpoints import average_checkpoints, last_checkpoints
from vt_env.errors import DataError


def write(folder, value, **more):
    folder.mkdir(parents=True)
    save_file({"a": torch.tensor([1.0, value]), "b": torch.full((2, 2), value), **more}, folder / "model.safetensors")
    (folder / "trainer_state.json").write_text("{}")
    return folder


@pytest.fixture
def like(tmp_path):
    folder = tmp_path / "like"
    folder.mkdir()
    (folder / "config.json").write_text('{"own": 1}')
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    return folder


def test_the_mean_is_that_of_each_weight_rounded_once(tmp_path, like):
    values = [0.1, 0.2, 0.4]
    folders = [write(tmp_path / f"checkpoint-{step}", value) for step, value in enumerate(values)]
    average_checkpoints(folders, like, tmp_path / "mean")
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    wanted = torch.tensor(values).double().mean().float()
    assert mean["a"].tolist() == [1.0, wanted.item()] and torch.equal(mean["b"], wanted.expand(2, 2))
    # Other files are those of the model, none is the trainer's.
    assert sorted(it.name for it in (tmp_path / "mean").iterdir()) == ["config.json", "model.safetensors"]


def test_the_newest_checkpoints_are_taken_by_their_steps(tmp_path):
    for step in (9, 100, 20):
        write(tmp_path / f"checkpoint-{step}", 0.0)
    assert [it.name for it in last_checkpoints(tmp_path, 2)] == ["checkpoint-20", "checkpoint-100"]


def test_checkpoints_of_other_models_are_refused(tmp_path, like):
    one = write(tmp_path / "checkpoint-1", 0.0)
    more = write(tmp_path / "checkpoint-2", 0.0, c=torch.zeros(1))
    with pytest.raises(DataError, match="other weights than"):
        average_checkpoints([one, more], like, tmp_path / "mean")
    (more / "model.safetensors").rename(more / "adapter_model.safetensors")
    with pytest.raises(DataError, match="checkpoints of one model on one machine"):
        average_checkpoints([one, more], like, tmp_path / "mean")
    with pytest.raises(DataError, match="no checkpoint to average"):
        average_checkpoints([], like, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


@pytest.mark.slow
def test_a_mean_of_models_loads_like_any_checkpoint(tmp_path):
    processor = build_processor()
    folders = []
    for seed in (0, 1):
        folders.append(tmp_path / f"checkpoint-{seed}")
        build_model(processor.tokenizer, seed=seed).save_pretrained(folders[-1])
    processor.save_pretrained(folders[-1])
    average_checkpoints(folders, folders[-1], tmp_path / "mean")
    one, other, mean = (AutoModelForImageTextToText.from_pretrained(it) for it in (*folders, tmp_path / "mean"))
    for name, weight in mean.named_parameters():
        both = torch.stack([one.get_parameter(name), other.get_parameter(name)]).double()
        assert torch.equal(weight, both.mean(0).float())
    assert AutoProcessor.from_pretrained(tmp_path / "mean").tokenizer.get_vocab() == processor.tokenizer.get_vocab()
