"""Pictures of the frames returned by an action, decoded again at native resolution for a human reader."""

from collections.abc import Sequence

from PIL import Image

from experiments.data.contact_sheet import WIDTH_PX, contact_sheet
from vt_env.media.decode.video_file import VideoFile
from vt_env.types import FrameRef, format_time


def draw_look(video: VideoFile, frames: Sequence[FrameRef]) -> Image.Image:
    """Draw the frames of one action side by side, each at most 480 pixels wide, with the timestamp below.

    Raises:
        DataError: A frame cannot be decoded.
    """
    pictures = [_picture(video, frame) for frame in frames]
    return contact_sheet(pictures, [format_time(frame.time_s) for frame in frames])


def _picture(video: VideoFile, frame: FrameRef) -> Image.Image:
    if frame.box is not None:
        return Image.fromarray(video.crop_at(frame.time_s, frame.box, WIDTH_PX).data[0])
    picture = Image.fromarray(video.frames_at([frame.time_s]).data[0])
    picture.thumbnail((WIDTH_PX, WIDTH_PX))
    return picture
