#!/usr/bin/env python3
"""Routes tokens through a mixture of experts with llama.cpp's own eval callback watching: which experts it says were chosen.

    callback.py MODEL.gguf LIBRARY.so [--backends FOLDER] [--ubatch N]

LIBRARY.so has the C interface of llama.cpp; FOLDER holds ggml's backends where they are libraries of their own. Driven line
by line:

    prints   ready PID         the model is loaded, nothing has been computed
    reads    go N              decodes the prompt and N - 1 more tokens, all with the callback
    prints   {"tokens":N,…}    one line of JSON: tokens of the prompt, and `routed`: choices as "layer expert": how many
    reads    graph N           the same, and nothing is asked for, so that the engine computes as without a callback
    prints   {"tokens":N,…}    as above, with `graph`: the tensors of the last token's graph in the order in which they are
                               computed, views included, each with operator, name, its own number, and those of its sources
    reads    quit              (or end of input) ends it
"""

import argparse
import collections
import ctypes
import json
import os
import re
import sys

# ggml_tensor (64 bits, since February 2025): ne, nb, data, name.
NE, NB, OP, FLAGS, SRC, DATA, NAME = 16, 48, 80, 148, 152, 248, 256
# What ggml computes has this flag in builds that know it; what lacks it there is passed over.
COMPUTE = 16
# llama_context_params: sizes first; cb_eval behind defrag_thold, which is -1 if nobody sets it.
N_CTX, N_BATCH, N_UBATCH, N_THREADS, N_THREADS_BATCH, DEFRAG_THOLD, CB_EVAL = 0, 4, 8, 28, 32, 84, 88
TOPK = re.compile(rb"ffn_moe_topk-(\d+)")


class Params(ctypes.Structure):
    """Parameters of whatever length: handed back and in by value, so that what is behind their end does not matter."""

    _fields_ = [("bytes", ctypes.c_uint8 * 512)]


class Batch(ctypes.Structure):
    """llama_batch."""

    _fields_ = [("n_tokens", ctypes.c_int32), ("pointers", ctypes.c_void_p * 6)]


class Engine:
    def __init__(self, args):
        self.llama = ctypes.CDLL(args.library, mode=ctypes.RTLD_GLOBAL)
        quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        self.kept = [quiet]
        self.llama.llama_log_set(quiet, None)
        if args.backends:
            base = ctypes.CDLL(os.path.join(args.backends, args.ggml), mode=ctypes.RTLD_GLOBAL)
            base.ggml_backend_load_all_from_path(args.backends.encode())
        self.llama.llama_backend_init()
        self.routed = collections.Counter()
        # Tensors of the graph at hand, where they are wanted.
        self.graph = None
        library = base if args.backends else self.llama
        self.op_name = library.ggml_op_name
        self.op_name.restype, self.op_name.argtypes = ctypes.c_char_p, [ctypes.c_int]
        self.model = self.load(args.model)
        self.context = self.make_context(args)

    def load(self, path):
        self.llama.llama_model_default_params.restype = Params
        params = self.llama.llama_model_default_params()
        load = self.llama.llama_model_load_from_file
        load.restype, load.argtypes = ctypes.c_void_p, [ctypes.c_char_p, Params]
        model = load(path.encode(), params)
        if not model:
            sys.exit(f"callback.py: cannot load {path}")
        return model

    def make_context(self, args):
        self.llama.llama_context_default_params.restype = Params
        params = self.llama.llama_context_default_params()
        start = ctypes.addressof(params)

        callback = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)(self.evaluated)
        self.kept.append(callback)
        place = ctypes.c_void_p.from_address(start + CB_EVAL)
        threads = [ctypes.c_int32.from_address(start + offset).value for offset in (N_THREADS, N_THREADS_BATCH)]
        if place.value or ctypes.c_float.from_address(start + DEFRAG_THOLD).value != -1 or threads != [4, 4]:
            sys.exit("callback.py: the parameters of a context are laid out otherwise")
        for offset, value in [(N_CTX, 2048), (N_BATCH, 512), (N_UBATCH, args.ubatch), (N_THREADS, 2), (N_THREADS_BATCH, 2)]:
            ctypes.c_int32.from_address(start + offset).value = value
        place.value = ctypes.cast(callback, ctypes.c_void_p).value
        make = self.llama.llama_init_from_model
        make.restype, make.argtypes = ctypes.c_void_p, [ctypes.c_void_p, Params]
        context = make(self.model, params)
        if not context:
            sys.exit("callback.py: cannot make a context")
        return context

    def evaluated(self, tensor, ask, _):
        """What ggml calls for each tensor: whether it wants to be shown (`ask`), and once it is computed."""
        if self.graph is not None:
            if ask:
                self.graph.append(self.described(tensor))
            return False
        name = TOPK.fullmatch(ctypes.string_at(tensor + NAME))
        if name and not ask:
            ne = (ctypes.c_int64 * 4).from_address(tensor + NE)
            nb = (ctypes.c_uint64 * 4).from_address(tensor + NB)
            data = ctypes.c_uint64.from_address(tensor + DATA).value
            for row in range(ne[1]):
                for rank in range(ne[0]):
                    expert = ctypes.c_int32.from_address(data + row * nb[1] + rank * nb[0]).value
                    self.routed[int(name[1]), expert] += 1
        return bool(name) if ask else True

    def described(self, tensor):
        """What a tensor is, and what it is computed of, with the names and operators of these."""
        def known(t):
            return {
                "id": t,
                "op": self.op_name(ctypes.c_int32.from_address(t + OP).value).decode(),
                "name": ctypes.string_at(t + NAME).decode(),
            }
        sources = (ctypes.c_uint64 * 10).from_address(tensor + SRC)
        flags = ctypes.c_int32.from_address(tensor + FLAGS).value
        return {**known(tensor), "computed": bool(flags & COMPUTE), "sources": [known(s) for s in sources if s]}

    def decode(self, tokens):
        if self.graph is not None:
            self.graph.clear()
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        get_one = self.llama.llama_batch_get_one
        get_one.restype, get_one.argtypes = Batch, [ctypes.c_void_p, ctypes.c_int32]
        decode = self.llama.llama_decode
        decode.argtypes = [ctypes.c_void_p, Batch]
        batch = get_one(ctypes.addressof(array), len(tokens))
        if decode(self.context, batch) != 0:
            sys.exit("callback.py: the engine does not decode")


def main():
    p = argparse.ArgumentParser(description="the experts of a mixture, by llama.cpp's own callback")
    p.add_argument("model")
    p.add_argument("library")
    p.add_argument("--backends", metavar="FOLDER")
    p.add_argument("--ggml", metavar="NAME", help="the library in FOLDER that loads backends")
    p.add_argument("--ubatch", type=int, default=512)
    p.add_argument("--prompt", type=int, default=256, help="tokens of the prompt (default 256)")
    engine = Engine(args := p.parse_args())
    print(f"ready {os.getpid()}", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["quit"]:
            break
        n = int(words[1])
        engine.graph = [] if words[0] == "graph" else None
        # Any tokens will do: the vocabulary has 49,152.
        engine.decode([1 + (37 * i + 11) % 49_000 for i in range(args.prompt)])
        for i in range(n - 1):
            engine.decode([1 + (101 * i + 7) % 49_000])
        routed = {f"{layer} {expert}": count for (layer, expert), count in sorted(engine.routed.items())}
        engine.routed.clear()
        answer = {"tokens": n, "prompt_tokens": args.prompt, "prompt_ms": 0, "eval_ms": 0, "text": "", "routed": routed}
        if engine.graph is not None:
            knows = any(t["computed"] for t in engine.graph)
            answer["graph"] = [t for t in engine.graph if t["computed"] or not knows]
        print(json.dumps(answer), flush=True)


main()
