#!/usr/bin/env python3
"""Loads the engine's library, forks children, and has each of them compute at once; then it computes itself.

    fork.py MODEL.gguf FOLDER N M …     N tokens in the first child, M in the second …, the last number in the parent
"""

import os
import sys


def main():
    model, folder, *numbers = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, folder)
    import generate
    import xllamacpp  # noqa: F401  mapped before the fork

    *children, own = numbers
    for n in children:
        pid = os.fork()
        if pid == 0:
            sys.argv = ["generate.py", model, "-n", n]
            generate.main()
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    sys.argv = ["generate.py", model, "-n", own]
    generate.main()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
