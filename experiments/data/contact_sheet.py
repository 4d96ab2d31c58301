"""Contact sheets: labelled pictures in rows of four on white."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

WIDTH_PX = 480
"""Maximum width and height of a picture on a sheet."""
_PER_ROW = 4
_GAP_PX = 8
_LABEL_PX = 22


def contact_sheet(pictures: Sequence[Image.Image], labels: Sequence[str]) -> Image.Image:
    """Draw one or more pictures side by side, each with its label below."""
    width_px = max(picture.width for picture in pictures) + _GAP_PX
    height_px = max(picture.height for picture in pictures) + _LABEL_PX + _GAP_PX
    columns = min(_PER_ROW, len(pictures))
    rows = -(-len(pictures) // _PER_ROW)
    sheet = Image.new("RGB", (columns * width_px + _GAP_PX, rows * height_px + _GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LABEL_PX - _GAP_PX)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        row, column = divmod(number, _PER_ROW)
        corner = (_GAP_PX + column * width_px, _GAP_PX + row * height_px)
        sheet.paste(picture, corner)
        pen.text((corner[0], corner[1] + picture.height + 2), label, fill="black", font=font)
    return sheet
