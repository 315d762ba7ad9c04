"""Rewrites boxes of an mp4 or mov in ways that ffmpeg cannot: boxes.py <edit> <in> <out>"""

import struct
import sys

CONTAINERS = {b'moov', b'trak', b'edts', b'mdia', b'minf', b'stbl', b'mvex'}


def parse(data):
    """The boxes of `data`, each [type, payload]; the payload of a container is itself a list of boxes."""
    boxes, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from('>I4s', data, at)
        payload = data[at + 8 : at + size]
        boxes.append([kind, parse(payload) if kind in CONTAINERS else bytearray(payload)])
        at += size
    return boxes


def build(boxes):
    """The bytes of boxes as returned by `parse`."""
    out = b''
    for kind, payload in boxes:
        body = build(payload) if isinstance(payload, list) else bytes(payload)
        out += struct.pack('>I4s', len(body) + 8, kind) + body
    return out


def find(boxes, *kinds):
    """Every box of these types, at any depth."""
    for box in boxes:
        if box[0] in kinds:
            yield box
        if isinstance(box[1], list):
            yield from find(box[1], *kinds)


def shift_media(boxes, by):
    """Moves every chunk offset, for media that now begin `by` bytes later."""
    for _, table in find(boxes, b'stco'):
        for at in range(8, len(table), 4):
            struct.pack_into('>I', table, at, struct.unpack_from('>I', table, at)[0] + by)


def rotate(boxes, a, b, c, d, right, down):
    """Sets the display matrix of the first track; its shown size is that of the stored picture, rotated."""
    track = next(find(boxes, b'tkhd'))[1]
    values = [a << 16, b << 16, 0, c << 16, d << 16, 0, right << 16, down << 16, 1 << 30]
    struct.pack_into('>9i', track, 40, *values)


def rotated_90(boxes):
    rotate(boxes, 0, 1, -1, 0, 360, 0)


def rotated_270(boxes):
    rotate(boxes, 0, -1, 1, 0, 0, 640)


def far_header(boxes):
    """Inserts unused bytes between ftyp and moov: the header precedes the media but lies beyond the first 64 KiB."""
    boxes.insert(1, [b'free', bytes(66_000)])
    shift_media(boxes, 66_008)


def long_media(boxes):
    """Extends the media before a trailing header beyond the first 64 KiB."""
    next(find(boxes, b'mdat'))[1].extend(bytes(66_000))


def no_ftyp(boxes):
    """QuickTime from before ftyp existed."""
    ftyp = boxes.pop(0)
    shift_media(boxes, -len(ftyp[1]) - 8)


def large_offsets(boxes):
    """Uses a 64-bit size of mdat and 64-bit chunk offsets. The free box before mdat makes room for the longer size."""
    long_media(boxes)
    at = next(i for i, box in enumerate(boxes) if box[0] == b'mdat')
    assert boxes[at - 1] == [b'free', b'']
    media = boxes[at][1]
    boxes[at - 1 : at + 1] = [[b'mdat64', media]]
    for box in find(boxes, b'stco'):
        offsets = struct.unpack_from(f'>{(len(box[1]) - 8) // 4}I', box[1], 8)
        box[:] = [b'co64', box[1][:8] + struct.pack(f'>{len(offsets)}Q', *offsets)]


def metadata_track(boxes):
    """Turns the subtitle track into a `meta` track of `gpmd` samples, as action cameras write it."""
    track = next(t for t in find(boxes, b'trak') if next(find(t[1], b'hdlr'))[1][8:12] == b'sbtl')
    next(find(track[1], b'hdlr'))[1][8:12] = b'meta'
    next(find(track[1], b'stsd'))[1][:] = struct.pack('>III4s6xH', 0, 1, 16, b'gpmd', 1)


def movie_duration(boxes, units):
    struct.pack_into('>I', next(find(boxes, b'mvhd'))[1], 16, units)


def zero_duration(boxes):
    movie_duration(boxes, 0)


def duration_all_ones(boxes):
    """Sets the duration that means unknown."""
    movie_duration(boxes, 0xFFFFFFFF)


def claims_1s(boxes):
    """Sets every duration in the header of a fragmented file to 1 s; the fragments stay unchanged."""
    movie = next(find(boxes, b'mvhd'))[1]
    scale = struct.unpack_from('>I', movie, 12)[0]
    movie_duration(boxes, scale)
    for _, track in find(boxes, b'tkhd'):
        struct.pack_into('>I', track, 20, scale)
    for _, media in find(boxes, b'mdhd'):
        struct.pack_into('>I', media, 16, struct.unpack_from('>I', media, 12)[0])
    next(find(boxes, b'mvex'))[1].insert(0, [b'mehd', struct.pack('>II', 0, scale)])


def main(edit, source, target):
    with open(source, 'rb') as file:
        boxes = parse(file.read())
    globals()[edit](boxes)
    out = b''
    for box in boxes:
        if box[0] == b'mdat64':
            out += struct.pack('>I4sQ', 1, b'mdat', len(box[1]) + 16) + box[1]
        else:
            out += build([box])
    with open(target, 'wb') as file:
        file.write(out)


main(*sys.argv[1:])
