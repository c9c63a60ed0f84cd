#!/usr/bin/env python3
"""What an engine says of its element types, and of a model's weights: `weights.py LIBRARY.so [MODEL.gguf]`.

    type NUMBER NAME BLOCK BYTES        for each type: elements of a block, and its bytes
    weight NAME ELEMENTS BYTES ROW ROWS for each matrix of the model: its bytes, elements of a row, rows
"""

import ctypes
import math
import mmap
import sys

import upcycle


def main():
    library = ctypes.CDLL(sys.argv[1])
    library.ggml_type_name.restype = ctypes.c_char_p
    library.ggml_blck_size.restype = ctypes.c_int64
    for function in (library.ggml_type_size, library.ggml_row_size):
        function.restype = ctypes.c_size_t
    library.ggml_row_size.argtypes = [ctypes.c_int, ctypes.c_int64]
    number = 0
    # Behind the last type there are no names; of types that were given up there are none either.
    while number < 43:
        name, block = library.ggml_type_name(number), library.ggml_blck_size(number)
        if name and block > 0:
            print("type", number, name.decode().replace(" ", "_"), block, library.ggml_type_size(number))
        number += 1
    if len(sys.argv) > 2:
        with open(sys.argv[2], "rb") as f:
            data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
            _, tensors = upcycle.read(data)
            for name, extents, kind, _ in tensors:
                if len(extents) > 1:
                    rows = math.prod(extents[1:])
                    size = library.ggml_row_size(kind, extents[0]) * rows
                    print("weight", name.decode(), math.prod(extents), size, extents[0], rows)


if __name__ == "__main__":
    main()
