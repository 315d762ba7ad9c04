"""Draws the demo's media next to this script. Needs Pillow and ffmpeg: python3 draw.py

walk.mp4 is the reference clip: a plain figure walks on the spot, waves and turns around. hero.png and hero.jpg
are the reference image. result.mp4 is the finished video that the sandbox serves: the hero with that movement.
"""

import math
import struct
import subprocess
import wave
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageChops, ImageDraw

HERE = Path(__file__).parent
SECONDS, FPS, CYCLE = 8.4, 25, 1.2  # one cycle is two steps; the clip has seven cycles

PLAIN = dict(
    wall='#e4eaef', shadow='#d2dae1', skin='#8fa3b5', hair='#8fa3b5', bun=None, top='#74899d', stripe='#74899d',
    sleeve='#7f94a8', scarf='#8fa3b5', legs='#62768a', shoes='#4d5f71', eyes='#3d4c5a', cheeks='#8fa3b5',
)  # fmt: skip
HERO = dict(
    wall='#fbf1e0', shadow='#eadcc4', skin='#f7cfa9', hair='#5a3524', bun='#5a3524', top='#ee7b4e', stripe='#fbe3c4',
    sleeve='#e56e42', scarf='#2a9d8f', legs='#34495e', shoes='#b5443a', eyes='#33241c', cheeks='#f2a68c',
)  # fmt: skip

# Points are (side, height, front): the figure is 1 high, stands on height 0 and faces the viewer at a turn of 0.
HIP, SHOULDER, HEAD, HEAD_RADIUS = 0.37, 0.655, 0.845, 0.135


def smooth(t, start, end):
    """0 before `start`, 1 after `end`, with a smooth transition between."""
    x = min(1, max(0, (t - start) / (end - start)))
    return x * x * (3 - 2 * x)


def knee(hip, foot, length=0.172):
    """Where the knee is when thigh and shin are equally long: before the line from hip to foot."""
    (x, y1, z1), (_, y2, z2) = hip, foot
    reach = math.hypot(y1 - y2, z1 - z2)
    bend = math.sqrt(max(0, length**2 - reach**2 / 4))
    return (x, (y1 + y2) / 2 + bend * (z2 - z1) / reach, (z1 + z2) / 2 + bend * (y1 - y2) / reach)


def arm(side, swing=0.0, raised=0.0, wave=0.0, bend=0.25):
    """Shoulder, elbow and hand of an arm that swings (radians) or, as `raised` goes from 0 to 1, waves."""
    out = 0.22 + 1.75 * raised
    shoulder = (side * 0.105, SHOULDER, 0)
    elbow = (
        shoulder[0] + side * 0.135 * math.sin(out),
        SHOULDER - 0.135 * math.cos(out) * math.cos(swing),
        0.135 * math.cos(out) * math.sin(swing),
    )
    low = (side * 0.01, -0.125 * math.cos(swing + bend), 0.125 * math.sin(swing + bend))
    high = (side * 0.125 * math.sin(out + wave), -0.125 * math.cos(out + wave), 0.03)
    hand = tuple(at + (1 - raised) * down + raised * up for at, down, up in zip(elbow, low, high))
    return shoulder, elbow, hand


def pose(t):
    """The pose at `t` seconds: it walks at an angle, waves to the front, turns around once and walks again."""
    phase = 2 * math.pi * t / CYCLE
    walking = 1 - smooth(t, 2.5, 3.1) + smooth(t, 5.4, 6.0)
    waving = smooth(t, 2.8, 3.4) - smooth(t, 4.9, 5.5)
    turn = 0.75 - 0.75 * smooth(t, 2.4, 3.2) + (0.75 + 2 * math.pi) * smooth(t, 5.3, 7.4)
    lift = 0.008 * walking * abs(math.sin(phase))
    limbs = {}
    for side in (-1, 1):
        angle = phase + (math.pi if side > 0 else 0)
        hip = (side * 0.052, HIP + lift, 0)
        foot = (side * 0.056, 0.035 + 0.06 * walking * max(0, math.sin(angle)), -0.1 * walking * math.cos(angle))
        limbs['leg', side] = hip, knee(hip, foot), foot
        swing = 0.55 * walking * math.cos(angle)
        wave = 0.95 + 0.35 * math.sin(2 * math.pi * t / 0.6)
        limbs['arm', side] = arm(side, swing, waving if side > 0 else 0, wave, 0.25 + 0.2 * walking)
    return dict(turn=turn, lift=lift, limbs=limbs, tilt=0.018 * waving * math.sin(2 * math.pi * t / CYCLE))


class Picture:
    """A canvas in the figure's own units, drawn `smoothing` times larger and then scaled down."""

    def __init__(self, width, height, wall, smoothing):
        self.size = (width, height)
        self.image = Image.new('RGB', (width * smoothing, height * smoothing), wall)
        self.draw = ImageDraw.Draw(self.image)
        self.scale = 0.82 * height * smoothing
        self.middle, self.ground = width * smoothing / 2, 0.92 * height * smoothing

    def at(self, x, y):
        return self.middle + x * self.scale, self.ground - y * self.scale

    def ellipse(self, x, y, rx, ry, color):
        (cx, cy), rx, ry = self.at(x, y), rx * self.scale, ry * self.scale
        self.draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), color)

    def limb(self, points, width, color):
        spots = [self.at(x, y) for x, y, _ in points]
        self.draw.line(spots, color, round(width * self.scale))
        for x, y, _ in points:
            self.ellipse(x, y, width / 2, width / 2, color)

    def bar(self, x, top, bottom, half, radius, color):
        box = (*self.at(x - half, top), *self.at(x + half, bottom))
        self.draw.rounded_rectangle(box, radius * self.scale, color)

    def finished(self):
        return self.image.resize(self.size, Image.Resampling.LANCZOS)


def turned(point, turn):
    x, y, z = point
    return x * math.cos(turn) + z * math.sin(turn), y, z * math.cos(turn) - x * math.sin(turn)


def draw_head(picture, turn, x, y, look):
    r = HEAD_RADIUS
    bun = turned((0, y + 0.125, -0.07), turn)
    if look['bun'] and bun[2] < 0:
        picture.ellipse(x + bun[0], bun[1], 0.055, 0.055, look['bun'])
    picture.ellipse(x, y, r, r, look['hair'])
    head, face = Image.new('L', picture.image.size), Image.new('L', picture.image.size)
    for mask, dx, dy, rx in ((head, 0, 0, r), (face, 0.6 * r * math.sin(turn), -0.33 * r, 0.95 * r)):
        (cx, cy), size = picture.at(x + dx, y + dy), rx * picture.scale
        ImageDraw.Draw(mask).ellipse((cx - size, cy - size, cx + size, cy + size), 255)
    if math.cos(turn) > -0.25:
        picture.image.paste(look['skin'], mask=ImageChops.multiply(head, face))
    for angle, height, wide, high, color in (
        (-0.62, -0.42, 0.024, 0.017, look['cheeks']),
        (0.62, -0.42, 0.024, 0.017, look['cheeks']),
        (-0.36, -0.12, 0.0125, 0.0185, look['eyes']),
        (0.36, -0.12, 0.0125, 0.0185, look['eyes']),
    ):
        facing = math.cos(turn + angle)
        if facing > 0.3:
            picture.ellipse(x + 0.86 * r * math.sin(turn + angle), y + height * r, wide * facing, high, color)
    if math.cos(turn) > 0.2:
        (mx, my), wide = picture.at(x + 0.95 * r * math.sin(turn), y - 0.38 * r), 0.03 * math.cos(turn) * picture.scale
        high, line = 0.024 * picture.scale, round(0.008 * picture.scale)
        picture.draw.arc((mx - wide, my - high, mx + wide, my + high), 20, 160, look['eyes'], line)
    if look['bun'] and bun[2] >= 0:
        picture.ellipse(x + bun[0], bun[1], 0.055, 0.055, look['bun'])


def draw_figure(picture, pose, look):
    turn, lift = pose['turn'], pose['lift']
    picture.ellipse(0, 0.004, 0.19, 0.022, look['shadow'])
    limbs = {name: [turned(point, turn) for point in points] for name, points in pose['limbs'].items()}

    def draw_leg(points):
        x, y, z = points[2]
        toe = turned((0, 0, 0.05), turn)[0]
        picture.limb([*points[:2], (x, y + 0.015, z)], 0.074, look['legs'])
        y -= 0.005
        picture.limb([(x - 0.013, y, z), (x + 0.013, y, z), (x + toe, y, z)], 0.056, look['shoes'])

    def draw_arm(points):
        points = [(x, y + lift, z) for x, y, z in points]
        picture.limb(points, 0.062, look['sleeve'])
        picture.ellipse(points[2][0], points[2][1], 0.034, 0.034, look['skin'])

    def draw_body():
        half = math.hypot(0.125 * math.cos(turn), 0.095 * math.sin(turn))
        picture.bar(0, SHOULDER + 0.06 + lift, HIP - 0.035 + lift, half, 0.08, look['top'])
        picture.bar(0, 0.53 + lift, 0.485 + lift, half, 0, look['stripe'])
        picture.bar(0, SHOULDER + 0.082 + lift, SHOULDER + 0.032 + lift, 0.62 * half, 0.025, look['scarf'])

    for side in sorted((-1, 1), key=lambda side: limbs['leg', side][1][2]):
        draw_leg(limbs['leg', side])
    behind = [side for side in (-1, 1) if limbs['arm', side][0][2] < -0.02]
    for side in behind:
        draw_arm(limbs['arm', side])
    draw_body()
    draw_head(picture, turn, pose['tilt'], HEAD + lift, look)
    for side in (-1, 1):
        if side not in behind:
            draw_arm(limbs['arm', side])


def draw(width, height, pose, look, smoothing=2):
    picture = Picture(width, height, look['wall'], smoothing)
    draw_figure(picture, pose, look)
    return picture.finished()


def write_rhythm(path, rate=32000):
    """Soft steps and a few plucked notes."""
    sound = [0.0] * round(SECONDS * rate)
    notes = [(0.6 * i, 98, 0.20, 9) for i in range(14)]
    tune = [392, 0, 494, 587, 0, 494, 440, 0]
    notes += [(0.3 * i, tune[i % 8], 0.09, 7) for i in range(28) if tune[i % 8]]
    for start, pitch, loudness, decay in notes:
        first = round(start * rate)
        for i in range(min(rate * 3 // 5, len(sound) - first)):
            t = i / rate
            sound[first + i] += loudness * min(1, t * 200) * math.exp(-decay * t) * math.sin(2 * math.pi * pitch * t)
    with wave.open(str(path), 'wb') as file:
        file.setparams((1, 2, rate, 0, 'NONE', ''))
        file.writeframes(struct.pack(f'<{len(sound)}h', *(round(32767 * s) for s in sound)))


def write_clip(path, look, rhythm, width=480, height=640):
    encode = (
        f'ffmpeg -v error -y -f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {FPS} -i - -i {rhythm} '
        '-c:v libx264 -preset veryslow -crf 27 -threads 1 -pix_fmt yuv420p -c:a aac -b:a 40k '
        f'-t {SECONDS} -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -movflags +faststart {path}'
    )
    frames = (draw(width, height, pose(n / FPS), look).tobytes() for n in range(round(SECONDS * FPS)))
    subprocess.run(encode.split(), input=b''.join(frames), check=True)


standing = pose(4.2)
standing['limbs']['arm', 1] = arm(1)
hero = draw(768, 1024, {**standing, 'tilt': 0}, HERO, smoothing=4)
hero.quantize(256, dither=Image.Dither.NONE).save(HERE / 'hero.png', optimize=True)
hero.save(HERE / 'hero.jpg', quality=85, optimize=True)
with TemporaryDirectory() as folder:
    rhythm = Path(folder) / 'rhythm.wav'
    write_rhythm(rhythm)
    write_clip(HERE / 'walk.mp4', PLAIN, rhythm)
    write_clip(HERE / 'result.mp4', HERO, rhythm)
