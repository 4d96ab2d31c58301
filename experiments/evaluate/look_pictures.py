"""Pictures of the frames returned by an action, decoded again at native resolution for a human reader."""

from collections.abc import Sequence

from PIL import Image, ImageOps

from experiments.data.contact_sheet import WIDTH_PX, contact_sheet
from vt_env.media.decode.video_file import VideoFile, cut_box
from vt_env.types import FrameRef, format_time


def draw_look(video: VideoFile, frames: Sequence[FrameRef]) -> Image.Image:
    """Draw the frames of one action side by side, each at most 480 pixels wide, with the timestamp below.

    Raises:
        DataError: A frame cannot be decoded.
    """
    pictures = [_picture(video, frame) for frame in frames]
    return contact_sheet(pictures, [format_time(frame.time_s) for frame in frames])


def _picture(video: VideoFile, frame: FrameRef) -> Image.Image:
    native = video.frames_at([frame.time_s]).data[0]
    if frame.box is not None:
        return ImageOps.contain(cut_box(native, frame.box), (WIDTH_PX, WIDTH_PX))
    picture = Image.fromarray(native)
    picture.thumbnail((WIDTH_PX, WIDTH_PX))
    return picture
