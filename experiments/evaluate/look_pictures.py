"""Pictures of what an episode looked at, large enough for a person: decoded again at the video's own size."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from vt_env.media.decode.video_file import VideoFile
from vt_env.types import FrameRef, format_time

_WIDTH_PX = 480
_PER_ROW = 4
_GAP_PX = 8
_LABEL_PX = 22


def draw_look(video: VideoFile, frames: Sequence[FrameRef]) -> Image.Image:
    """Draw the frames of one look side by side, each at most 480 pixels wide, with its time below.

    Raises:
        DataError: A frame cannot be decoded.
    """
    pictures = [_picture(video, frame) for frame in frames]
    width_px = max(picture.width for picture in pictures) + _GAP_PX
    height_px = max(picture.height for picture in pictures) + _LABEL_PX + _GAP_PX
    columns = min(_PER_ROW, len(pictures))
    rows = -(-len(pictures) // _PER_ROW)
    sheet = Image.new("RGB", (columns * width_px + _GAP_PX, rows * height_px + _GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LABEL_PX - _GAP_PX)
    for number, (picture, frame) in enumerate(zip(pictures, frames, strict=True)):
        row, column = divmod(number, _PER_ROW)
        corner = (_GAP_PX + column * width_px, _GAP_PX + row * height_px)
        sheet.paste(picture, corner)
        pen.text((corner[0], corner[1] + picture.height + 2), format_time(frame.time_s), fill="black", font=font)
    return sheet


def _picture(video: VideoFile, frame: FrameRef) -> Image.Image:
    if frame.box is not None:
        return Image.fromarray(video.crop_at(frame.time_s, frame.box, _WIDTH_PX).data[0])
    picture = Image.fromarray(video.frames_at([frame.time_s]).data[0])
    picture.thumbnail((_WIDTH_PX, _WIDTH_PX))
    return picture
