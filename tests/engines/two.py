#!/usr/bin/env python3
"""Two engines in one process: the `xllamacpp` extension loaded from two files, each with a ggml of its own.

    two.py MODEL.gguf FOLDER FOLDER

    prints   ready PID         both are loaded
    reads    go N M            generates N tokens with the first, then M with the second
    prints   done
    reads    quit              (or end of input) ends it
"""

import os
import sys


def module(folder):
    for name in [name for name in sys.modules if name.split(".")[0] == "xllamacpp"]:
        del sys.modules[name]
    sys.path.insert(0, folder)
    import xllamacpp

    sys.path.pop(0)
    return xllamacpp


def server(xllamacpp, model):
    p = xllamacpp.CommonParams()
    p.model.path = model
    p.n_ctx = 512
    p.n_parallel = 1
    p.n_gpu_layers = 0
    p.cpuparams.n_threads = 2
    p.cpuparams_batch.n_threads = 2
    p.warmup = False
    p.cache_prompt = False
    p.verbosity = -1
    return xllamacpp.Server(p)


def main():
    model, *folders = sys.argv[1:]
    servers = [server(module(folder), model) for folder in folders]
    print("ready", os.getpid(), flush=True)
    for line in sys.stdin:
        word, *numbers = line.split() or [""]
        if word != "go" or len(numbers) != len(servers):
            break
        for one, n in zip(servers, map(int, numbers)):
            request = {"prompt": "The three primary colors", "n_predict": n, "temperature": 0, "ignore_eos": True}
            one.handle_completions({**request, "cache_prompt": False})
            os.getpriority(os.PRIO_PROCESS, 0)  # a function of the C library, once for each engine
        print("done", flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the servers' threads do not all end by themselves
