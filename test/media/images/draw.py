"""Draws the reference images for the tests next to this script. Needs Pillow: python3 draw.py"""

import struct
from pathlib import Path

from PIL import Image, ImageDraw

HERE = Path(__file__).parent


def figure(width, height):
    """A round head above a round body, in front of a plain wall."""
    image = Image.new('RGB', (width, height), '#fbf1e0')
    draw = ImageDraw.Draw(image)
    x, y, unit = width / 2, height / 2, min(width, height) / 10
    draw.ellipse((x - 2 * unit, y - unit, x + 2 * unit, y + 4 * unit), '#ee7b4e')
    draw.ellipse((x - unit, y - 3 * unit, x + unit, y - unit), '#f7cfa9')
    return image


def save(name, width, height, **options):
    figure(width, height).save(HERE / name, optimize=True, **options)


save('ok.png', 600, 800)
save('ok.jpg', 600, 800, quality=80)
save('small-side.png', 299, 600)
save('wide.png', 1040, 400)  # 2.6:1
save('tall.png', 400, 1040)  # 1:2.6
save('edge.png', 1000, 400)  # 2.5:1
save('pic.gif', 600, 800)
figure(600, 800).save(HERE / 'webp.webp', quality=80)

# The camera was held upright: 800x600 is stored, 600x800 is shown.
exif = Image.Exif()
exif[0x0112] = 6
figure(600, 800).transpose(Image.Transpose.ROTATE_90).save(HERE / 'rotated.jpg', quality=80, exif=exif)

# Two application segments after the JFIF segment, which ends at 20, push the size (SOF) beyond the first 64 KiB.
plain = (HERE / 'ok.jpg').read_bytes()
padding = b''.join(b'\xff\xef' + struct.pack('>H', 60_002) + bytes(60_000) for _ in range(2))
(HERE / 'late-sof.jpg').write_bytes(plain[:20] + padding + plain[20:])

(HERE / 'svg.svg').write_text(
    '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="800">\n'
    '  <title>A round thing</title>\n'
    '  <circle cx="300" cy="400" r="120" fill="#ee7b4e" />\n'
    '</svg>\n'
)
