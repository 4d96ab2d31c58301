"""Choice of the encoder of pictures by name, and checkpoints in the cache of the hub."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.videos import VideoSpec, write_video

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.library import VideoLibrary
from vt_env.media.search.cached_checkpoints import cached_checkpoints, hub_identity
from vt_env.media.search.choose_encoder import EncoderChoice
from vt_env.media.search.encoders import ColourNameEncoder
from vt_env.media.terminal import say_once
from vt_env.types import VideoRef

FILM, WORLD = VideoRef("film", "film.mp4"), VideoRef("world", "w.mp4", captions_path="c.jsonl", world=1)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of the hub; nothing has been said yet."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("VT_ENV_ENCODER", raising=False)
    say_once.cache_clear()
    yield tmp_path / "hub"
    say_once.cache_clear()


def cache(hub: Path, name: str, kind: str, commit: str = "abc", without: str = "") -> Path:
    """Write the files of a checkpoint as the hub's cache holds them, without weights worth the name."""
    repo = hub / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir(exist_ok=True)
    (repo / "refs" / "main").write_text(commit)
    (snapshot / "config.json").write_text(json.dumps({"model_type": kind}))
    for file in ("model.safetensors", "preprocessor_config.json", "tokenizer.json"):
        if file != without:
            (snapshot / file).write_text("{}")
    return snapshot


def test_auto_searches_the_world_by_colours_and_no_other_video_where_no_checkpoint_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    choice = EncoderChoice("auto")
    assert isinstance(choice.encoder_of(WORLD), ColourNameEncoder) and choice.encoder_of(FILM) is None
    assert "no CLIP, SigLIP or X-CLIP checkpoint is on this machine; give --encoder" in choice.why_none
    assert pickle.loads(pickle.dumps(choice)).encoder_of(FILM) is None
    assert capsys.readouterr().err == ""


def test_a_world_is_known_by_its_source_alone() -> None:
    # Whatever it is named: only the task source can tell.
    assert EncoderChoice("auto").encoder_of(VideoRef("world", "/cache/world/0123/20000000/video.mp4")) is None


def test_a_choice_by_name_holds_for_every_video() -> None:
    assert EncoderChoice("none").encoder_of(WORLD) is EncoderChoice(None).encoder_of(FILM) is None
    for ref in (FILM, WORLD):
        assert isinstance(EncoderChoice("colours").encoder_of(ref), ColourNameEncoder)
    own = ColourNameEncoder()
    assert EncoderChoice(own).encoder_of(FILM) is own


@pytest.mark.parametrize(("name", "hint"), [("coulors", "did you mean 'colours'"), ("clip", "OWNER/NAME of a hub")])
def test_a_name_that_does_not_exist_is_one_line(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        VideoLibrary(MediaConfig(), encoder=name)
    assert "\n" not in str(caught.value) and "auto, none, colours, world" in str(caught.value)


def test_the_variable_names_the_encoder_of_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VT_ENV_ENCODER", "colours")
    assert isinstance(EncoderChoice("auto").encoder_of(FILM), ColourNameEncoder)
    monkeypatch.setenv("VT_ENV_ENCODER", "coulors")
    with pytest.raises(ConfigError, match=r"\$VT_ENV_ENCODER='coulors': allowed are"):
        EncoderChoice("auto").encoder_of(FILM)


def test_complete_checkpoints_are_found_in_the_cache_the_preferred_kind_first(hub: Path) -> None:
    clip, siglip = cache(hub, "openai/clip", "clip"), cache(hub, "google/siglip-b", "siglip", "c1")
    newer = cache(hub, "google/siglip-b", "siglip", "c2")
    cache(hub, "some/llm", "qwen2")
    cache(hub, "half/clip", "clip", without="model.safetensors")
    cache(hub, "other/clip", "clip", without="preprocessor_config.json")
    (hub / "models--empty--repo").mkdir()
    (cache(hub, "bad/json", "clip") / "config.json").write_text("not json")
    assert cached_checkpoints() == [newer, clip]
    assert hub_identity(newer) == "google/siglip-b@c2" and hub_identity(siglip.parent) is None


@pytest.mark.slow
@pytest.mark.parametrize("config", ['{"model_type": "clip", "projection_dim": "many"}', '{"model_type": "clip"}'])
def test_a_damaged_checkpoint_of_the_cache_is_named_and_not_passed_over(hub: Path, config: str) -> None:
    pytest.importorskip("torch")
    (cache(hub, "openai/clip", "clip") / "config.json").write_text(config)
    with pytest.raises(ConfigError, match=r"encoder '.*models--openai--clip.*' cannot be loaded") as caught:
        encoder = EncoderChoice("auto").encoder_of(FILM)
        assert encoder is not None
        encoder.encode_texts(["x"])
    assert "\n" not in str(caught.value)


def test_a_video_without_a_source_is_told_of_once_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = VideoLibrary(MediaConfig(), tmp_path)
    for name in ("a", "b"):
        assert library.search_sources(VideoRef(name, f"{name}.mp4")) == ()
    assert library.search_sources(WORLD) == ("pictures",)
    said = capsys.readouterr().err
    assert (
        said.count("\n") == 1
        and "clip_retrieval is not offered for videos that have no captions" in said
        and "--encoder" in said
    )


def test_pictures_that_are_not_searched_beside_captions_are_told_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "v.mp4", VideoSpec(frames=20))
    (tmp_path / "c.jsonl").write_text('{"start_s": 0, "end_s": 1, "text": "a film"}\n')
    ref = VideoRef("v", str(tmp_path / "v.mp4"), captions_path=str(tmp_path / "c.jsonl"))
    library = VideoLibrary(MediaConfig(), tmp_path / "cache", max_open=1)
    assert library.search_sources(ref) == library.open(ref).search_sources == ("captions",)
    library.open(VideoRef("w", ref.path, captions_path=ref.captions_path))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "pictures are not searched, since no CLIP" in said
    assert library.open(ref).index is None and not (tmp_path / "cache" / "clips").exists()
