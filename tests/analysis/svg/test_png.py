import io
from base64 import b64decode

from PIL import Image

from stillbit.analysis.svg.colour import ramp
from stillbit.analysis.svg.png import DEEPEST, cells, shade


def test_the_shade_is_thin_where_numbers_are_great():
    image = Image.open(io.BytesIO(b64decode(shade([[0.0, 1.0, 4.0], [16.0, 0.0, 9.0]]))))
    assert (image.size, image.mode) == ((3, 2), "LA")
    deep = [pixel[1] for pixel in image.get_flattened_data()] if hasattr(image, "get_flattened_data") else None
    deep = deep or [pixel[1] for pixel in image.getdata()]
    assert deep == [int(DEEPEST * part + 0.5) for part in (1.0, 0.75, 0.5, 0.0, 1.0, 0.25)]


def test_where_nothing_is_looked_at_all_is_in_the_shade():
    image = Image.open(io.BytesIO(b64decode(shade([[0.0, 0.0]]))))
    assert image.getpixel((0, 0))[1] == DEEPEST


def test_cells_have_the_colours_of_the_ramp():
    image = Image.open(io.BytesIO(b64decode(cells([[0.0, 0.5], [1.0, 0.25], [0.75, 0.0]]))))
    assert (image.size, image.mode) == ((2, 3), "RGB")
    for row, shares in enumerate([[0.0, 0.5], [1.0, 0.25], [0.75, 0.0]]):
        for column, share in enumerate(shares):
            assert "#{:02x}{:02x}{:02x}".format(*image.getpixel((column, row))) == ramp(share)
