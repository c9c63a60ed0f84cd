#!/usr/bin/env python3
"""Makes a mixture-of-experts model out of a dense one: `upcycle.py DENSE.gguf MOE.gguf [--experts 8] [--used 2]`.

Every expert is a copy of the dense model's feed-forward network, so that the model talks as it did; the router's weights are
random, but always the same, so that tokens go different ways. Needs nothing but Python: a GGUF file is a header, keys with
values, the tensors' names and extents, and their data, each at a multiple of the alignment.
"""

import argparse
import os
import random
import re
import struct

ALIGNMENT = 32
F32 = 0
# Bytes of the kinds of value that have a fixed size.
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
U32, STRING, ARRAY = 4, 8, 9


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def string(self):
        length = self.take("Q")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            of, number = self.take("IQ")
            if of in SIZES:
                self.at += SIZES[of] * number
            else:
                for _ in range(number):
                    self.skip(of)
        else:
            self.at += SIZES[kind]


def text(s):
    return struct.pack("<Q", len(s)) + s


def read(data):
    """Keys with their values as they stand in the file, and tensors as (name, extents, type, data)."""
    r = Reader(data)
    magic, version, n_tensors, n_keys = r.take("4sIQQ")
    if magic != b"GGUF" or version != 3:
        raise SystemExit("upcycle.py: not a GGUF file of version 3")
    keys = {}
    for _ in range(n_keys):
        begin = r.at
        name = r.string()
        r.skip(r.take("I"))
        keys[name] = bytes(data[begin : r.at])
    infos = []
    for _ in range(n_tensors):
        name, n = r.string(), r.take("I")
        extents = [r.take("Q") for _ in range(n)]
        kind, offset = r.take("IQ")
        infos.append((name, extents, kind, offset))
    begin = -(-r.at // ALIGNMENT) * ALIGNMENT
    ends = sorted(offset for *_, offset in infos)[1:] + [len(data) - begin]
    by_offset = {}
    for (name, extents, kind, offset), end in zip(sorted(infos, key=lambda i: i[3]), ends):
        by_offset[name] = (extents, kind, data[begin + offset : begin + end])
    return keys, [(name, *by_offset[name]) for name, *_ in infos]


def upcycle(tensors, experts, embedding):
    """The tensors of the mixture: a list of (name, extents, type, data, how often the data is repeated)."""
    for name, extents, kind, data in tensors:
        found = re.fullmatch(rb"(blk\.\d+\.ffn_)(gate|up|down)\.weight", name)
        if not found:
            yield name, extents, kind, data, 1
            continue
        prefix, part = found.groups()
        # Padding between tensors is no part of an expert: their bytes are a whole number of blocks of 32 elements.
        yield prefix + part + b"_exps.weight", extents + [experts], kind, data, experts
        if part == b"gate":
            chance = random.Random(name)
            router = [chance.gauss(0, 1) for _ in range(embedding * experts)]
            yield prefix + b"gate_inp.weight", [embedding, experts], F32, struct.pack(f"<{len(router)}f", *router), 1


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("dense")
    p.add_argument("moe")
    p.add_argument("--experts", type=int, default=8)
    p.add_argument("--used", type=int, default=2)
    args = p.parse_args()
    with open(args.dense, "rb") as f:
        keys, tensors = read(f.read())
    embedding = next(extents[0] for name, extents, *_ in tensors if name.endswith(b"ffn_gate.weight"))
    for name, number in [(b"llama.expert_count", args.experts), (b"llama.expert_used_count", args.used)]:
        keys[name] = text(name) + struct.pack("<II", U32, number)
    whole = list(upcycle(tensors, args.experts, embedding))
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(whole), len(keys)) + b"".join(keys.values())
    offset = 0
    for name, extents, kind, data, times in whole:
        head += text(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *extents, kind, offset)
        offset += -(-len(data) * times // ALIGNMENT) * ALIGNMENT
    unfinished = args.moe + ".unfinished"
    with open(unfinished, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGNMENT))
        for *_, data, times in whole:
            for _ in range(times):
                f.write(data)
            f.write(b"\0" * (-len(data) * times % ALIGNMENT))
    os.rename(unfinished, args.moe)


if __name__ == "__main__":
    main()
