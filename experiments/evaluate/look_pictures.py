"""Pictures of the frames returned by an action, decoded again at native resolution for a human reader."""

from collections.abc import Sequence

from PIL import Image, ImageOps

from experiments.data.contact_sheet import WIDTH_PX
from vt_env.media.decode.video_file import VideoFile, cut_box
from vt_env.types import FrameRef, format_time


def native_pictures(video: VideoFile, frames: Sequence[FrameRef]) -> list[Image.Image]:
    """Decode frames at native resolution, each at most 480 pixels wide.

    Raises:
        DataError: A frame cannot be decoded.
    """
    return [_picture(video, frame) for frame in frames]


def labels_of(frames: Sequence[FrameRef]) -> list[str]:
    """Return the timestamps of frames as text."""
    return [format_time(frame.time_s) for frame in frames]


def _picture(video: VideoFile, frame: FrameRef) -> Image.Image:
    native = video.frames_at([frame.time_s]).data[0]
    if frame.box is not None:
        return ImageOps.contain(cut_box(native, frame.box), (WIDTH_PX, WIDTH_PX))
    picture = Image.fromarray(native)
    picture.thumbnail((WIDTH_PX, WIDTH_PX))
    return picture
