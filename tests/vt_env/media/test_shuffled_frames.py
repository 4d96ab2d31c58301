"""The control of shuffled frames: pictures are of another video, and everything else is of the right one."""

from dataclasses import replace

import pytest

from vt_env.errors import ConfigError, DataError
from vt_env.media.shuffled_frames import ShuffledFrames
from vt_env.testing import FakeLibrary, FakeVideo, read_second
from vt_env.types import Box, VideoRef

REFS = [VideoRef(f"video-{it}", f"{it}.mp4") for it in range(5)]
DURATIONS_S = (100.0, 200.0, 300.0, 400.0, 500.0)
VIDEOS = tuple(
    replace(FakeVideo(), ref=ref, duration_s=duration_s, frame_px=32 + 16 * number)
    for number, (ref, duration_s) in enumerate(zip(REFS, DURATIONS_S, strict=True))
)


def opened(seed: int = 0):
    library = ShuffledFrames(FakeLibrary(VIDEOS), REFS, seed)
    return [library.open(ref) for ref in REFS]


def test_each_video_shows_another_one_and_each_is_shown_once():
    shown = [it.shown.ref for it in opened()]
    assert sorted(shown, key=lambda it: it.handle) == REFS
    assert all(one != other for one, other in zip(shown, REFS, strict=True))
    assert shown == [it.shown.ref for it in opened()] != [it.shown.ref for it in opened(seed=1)]


def test_frames_are_those_of_the_other_video_at_the_same_share_under_the_asked_times():
    for video in opened():
        half_s = video.duration_s / 2
        frames, crop = video.frames_at([0.0, half_s]), video.crop(half_s, Box(0, 0, 1, 1))
        assert [read_second(it) for it in frames.data] == [0, int(video.shown.duration_s / 2)]
        assert read_second(crop.data[0]) == int(video.shown.duration_s / 2)
        assert frames.pts_s.tolist() == [0, half_s] and crop.pts_s.tolist() == [half_s]
        assert frames.data.shape[2:0:-1] == video.picture_size_px() == video.shown.picture_size_px()


def test_what_is_no_picture_is_of_the_right_video():
    for video, own in zip(opened(), VIDEOS, strict=True):
        assert (video.ref, video.duration_s, video.captions) == (own.ref, own.duration_s, own.captions)
        assert video.subtitles == own.subtitles and video.screen_text is own.screen_text
        assert video.search_clips("red square", 2) == own.search_clips("red square", 2)
        assert video.search_sources == own.search_sources
        with pytest.raises(DataError):
            video.frames_at([video.duration_s])


def test_the_last_moment_of_a_video_is_within_the_other_one():
    for video in opened():
        last_s = video.duration_s - 1e-9
        assert read_second(video.frames_at([last_s]).data[0]) == int(video.shown.duration_s) - 1


def test_one_video_has_no_other():
    with pytest.raises(ConfigError, match=r"shuffled frames of 1 video\(s\): need two or more"):
        ShuffledFrames(FakeLibrary(VIDEOS), REFS[:1], 0)
