"""What is in a flame graph's file, read without anything of profinfer: as JSON, a list of [frames, width], outermost frame first.

    stacks.py FILE.folded|FILE.pb.gz    each stack with its own width
    stacks.py FILE.svg                  each frame with all that lies on it, the whole (no frames) included
"""

import gzip
import json
import sys
import xml.etree.ElementTree as tree


def folded(data):
    for line in data.decode().splitlines():
        stack, width = line.rsplit(" ", 1)
        yield stack.split(";"), int(width)


def fields(message):
    """The fields of a message of protocol buffers: number, and bytes or a number."""
    at = 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            byte = message[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            length = varint()
            yield key >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {key & 7}")


def ints(message, number):
    """A repeated number, packed or not."""
    for n, value in fields(message):
        if n == number and isinstance(value, int):
            yield value
        elif n == number:
            # A packed list is like fields whose keys have been left out.
            rest = b"".join(b"\x08" + part for part in split(value))
            yield from (v for _, v in fields(rest))


def split(packed):
    begin = 0
    for at, byte in enumerate(packed):
        if byte < 0x80:
            yield packed[begin : at + 1]
            begin = at + 1


def pprof(data):
    """By https://github.com/google/pprof/blob/main/proto/profile.proto."""
    profile = list(fields(gzip.decompress(data)))
    texts = [value.decode() for n, value in profile if n == 6]
    assert texts[0] == "", texts[0]
    (kind,) = [dict(fields(value)) for n, value in profile if n == 1]
    print(texts[kind[1]], texts[kind[2]], file=sys.stderr)
    functions = [dict(fields(value)) for n, value in profile if n == 5]
    functions = {f[1]: texts[f[2]] for f in functions}
    locations = [dict(fields(value)) for n, value in profile if n == 4]
    locations = {l[1]: functions[dict(fields(l[4]))[1]] for l in locations}
    assert 0 not in functions and 0 not in locations
    for n, sample in profile:
        if n == 2:
            (width,) = ints(sample, 2)
            yield [locations[i] for i in ints(sample, 1)][::-1], width


def svg(data):
    """By where the rectangles lie: a frame lies on the one below it whose range holds its own."""
    name = "{http://www.w3.org/2000/svg}"
    known = {"svg", "defs", "linearGradient", "stop", "style", "script", "rect", "text", "g", "title"}
    root = tree.fromstring(data)
    tags = {element.tag.removeprefix(name) for element in root.iter()}
    assert tags <= known, f"elements that nobody put there: {tags - known}"
    assert len(root.findall(f".//{name}script")) == 1
    for element in root.iter():
        strange = [a for a in element.attrib if a.startswith("on") and element is not root]
        assert not strange, strange
    space = "{http://github.com/jonhoo/inferno}"
    frames = []
    for g in root.findall(f".//{name}g"):
        rect = g.find(f"{name}rect")
        title = g.find(f"{name}title").text.rsplit(" (", 1)[0]
        left, width = int(rect.get(f"{space}x")), int(rect.get(f"{space}w"))
        frames.append((-float(rect.get("y")), left, width, title))
    frames.sort()
    whole = frames[0]
    assert whole[3] == "all", whole
    drawn = {}
    levels = sorted({f[0] for f in frames})
    for level, left, width, title in frames:
        if level == levels[0]:
            drawn[level, left, width] = []
            yield [], width
            continue
        below = levels[levels.index(level) - 1]
        (base,) = [d for d in drawn if d[0] == below and d[1] <= left and left + width <= d[1] + d[2]]
        drawn[level, left, width] = drawn[base] + [title]
        yield drawn[level, left, width], width


path = sys.argv[1]
with open(path, "rb") as file:
    data = file.read()
read = {"folded": folded, "gz": pprof, "svg": svg}[path.rsplit(".", 1)[1]]
print(json.dumps(list(read(data))))
