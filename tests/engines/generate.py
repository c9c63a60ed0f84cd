#!/usr/bin/env python3
"""Generates text with llama.cpp through the `xllamacpp` wheel: the engine that the demo and the tests look at.

    generate.py MODEL.gguf [options]

The text goes to stdout, what the engine measured itself to stderr. With --hold it is driven line by line instead:

    prints   ready PID         the model is loaded, nothing has been computed
    reads    go N              generates exactly N tokens, always from the same prompt, never from a cache
    prints   {"tokens":N,…}    one line of JSON: counts, the engine's own timings in ms, the text
    reads    both N            generates N tokens in each of two contexts at the same time
    prints   {"tokens":N,…}    as above, of the first of them
    reads    many N M …        generates N tokens for the prompt, M for the prompt said twice over, and so on, each request
                               begun when the one before has its first token (--parallel says how many at the same time)
    prints   {"requests":[…]}  for each of them what the engine has to say, as for `go`
    reads    cancel MS         begins to generate and goes away after MS milliseconds, as a client that hangs up
    prints   {"cancelled":true}
    reads    quit              (or end of input) ends it
"""

import argparse
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse

PROMPT = "The three primary colors of light are red, green and"


def arguments():
    p = argparse.ArgumentParser(description="generate text with llama.cpp (xllamacpp)")
    p.add_argument("model", help="path of a .gguf file")
    p.add_argument("--package", metavar="FOLDER", help="folder to import xllamacpp from")
    p.add_argument("--threads", type=int, default=2, help="threads that compute (default 2)")
    p.add_argument("-n", "--n-predict", type=int, default=48, help="tokens to generate (default 48)")
    p.add_argument("--prompt", default=PROMPT)
    p.add_argument("--repeat-prompt", type=int, default=1, metavar="K", help="say the prompt K times over (default 1)")
    p.add_argument("--ubatch", type=int, default=512, help="largest micro-batch, in tokens (default 512)")
    p.add_argument("--ctx", type=int, default=2048, help="context size, in tokens (default 2048)")
    p.add_argument("--parallel", type=int, default=1, help="requests at the same time (default 1)")
    p.add_argument("--split-cache", action="store_true", help="a key-value cache for each request, not one for all")
    p.add_argument("--draft", metavar="MODEL", help="model that drafts up to 4 tokens for each step")
    p.add_argument("--temperature", type=float, default=0.0, help="0 (default) is greedy: the text is always the same")
    p.add_argument("--hold", action="store_true", help="load, say so, and wait for `go N` on stdin")
    return p.parse_args()


def load(args):
    if args.package:
        sys.path.insert(0, args.package)
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path = args.model
    p.n_ctx = args.ctx
    p.n_batch = max(args.ubatch, 512)
    p.n_ubatch = args.ubatch
    p.n_parallel = args.parallel
    p.kv_unified = not args.split_cache
    p.n_gpu_layers = 0
    p.cpuparams.n_threads = args.threads
    p.cpuparams_batch.n_threads = args.threads
    p.warmup = False  # a warm-up would be an ubatch nobody asked for
    p.cache_prompt = False
    p.n_ctx_checkpoints = 0
    p.cache_ram_mib = 0
    p.verbosity = -1
    if args.draft:
        draft = p.speculative.draft
        draft.mparams.path = args.draft
        draft.n_max = 4
        draft.p_min = 0.0
        draft.n_gpu_layers = 0
        draft.cpuparams.n_threads = draft.cpuparams_batch.n_threads = args.threads
        p.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    return xllamacpp.Server(p)


def generate(server, args, n):
    request = {
        "prompt": args.prompt * args.repeat_prompt,
        "n_predict": n,
        "temperature": args.temperature,
        "ignore_eos": True,
        "cache_prompt": False,
        "timings_per_token": False,
    }
    begin = time.monotonic()
    answer = server.handle_completions(request)
    wall_ms = (time.monotonic() - begin) * 1e3
    if "timings" not in answer:
        sys.exit(f"generate.py: the engine refused: {json.dumps(answer)}")
    t = answer["timings"]
    return {
        "tokens": t["predicted_n"],
        "prompt_tokens": t["prompt_n"],
        "prompt_ms": t["prompt_ms"],
        "eval_ms": t["predicted_ms"],
        "wall_ms": wall_ms,
        "text": answer.get("content", answer.get("choices", [{}])[0].get("text")),
    }


def stream(server, args, n, prompt, begun):
    """One request over HTTP, told when its first token is there; what the engine has to say of it."""
    url = urllib.parse.urlsplit(server.listening_address)
    client = http.client.HTTPConnection(url.hostname, url.port)
    request = {"prompt": prompt, "n_predict": n, "stream": True, "cache_prompt": False, "ignore_eos": True}
    request["temperature"] = args.temperature
    client.request("POST", "/completion", json.dumps(request), {"Content-Type": "application/json"})
    answer, last = client.getresponse(), {}
    for line in answer:
        if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
            last = json.loads(line[6:])
            begun.set()
    client.close()
    if "timings" not in last:
        sys.exit(f"generate.py: the engine refused: {json.dumps(last)}")
    t = last["timings"]
    return {
        "slot": last["id_slot"],
        "tokens": t["predicted_n"],
        "prompt_tokens": t["prompt_n"],
        "prompt_ms": t["prompt_ms"],
        "eval_ms": t["predicted_ms"],
        "drafted": t.get("draft_n", 0),
        "accepted": t.get("draft_n_accepted", 0),
    }


def many(server, args, numbers):
    answers, threads = [None] * len(numbers), []
    for k, n in enumerate(numbers):
        begun = threading.Event()

        def run(k=k, n=n, begun=begun):
            try:
                answers[k] = stream(server, args, n, args.prompt * args.repeat_prompt * (k + 1), begun)
            finally:
                begun.set()

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        begun.wait()
    for thread in threads:
        thread.join()
    return {"requests": answers}


second = []


def both(server, args, n):
    """The second context is made on first use."""
    if not second:
        second.append(load(args))
    other = threading.Thread(target=generate, args=(second[0], args, n))
    other.start()
    answer = generate(server, args, n)
    other.join()
    return answer


def cancel(server, args, milliseconds):
    """Asks over HTTP, as only a client that is connected can hang up."""
    url = urllib.parse.urlsplit(server.listening_address)
    client = http.client.HTTPConnection(url.hostname, url.port)
    request = {"prompt": args.prompt * args.repeat_prompt, "n_predict": 8, "stream": True, "cache_prompt": False}
    client.request("POST", "/completion", json.dumps(request), {"Content-Type": "application/json"})
    time.sleep(milliseconds / 1e3)
    client.close()
    return {"cancelled": True}


def main():
    args = arguments()
    server = load(args)
    if not args.hold:
        done = generate(server, args, args.n_predict)
        print(args.prompt * args.repeat_prompt + done["text"])
        rate = 1e3 * (done["tokens"] - 1) / done["eval_ms"] if done["eval_ms"] else 0.0
        print(
            f"engine: {done['prompt_tokens']} prompt tokens in {done['prompt_ms']:.1f} ms, "
            f"{done['tokens']} tokens, {rate:.1f} tokens/s",
            file=sys.stderr,
        )
        return
    print("ready", os.getpid(), flush=True)
    for line in sys.stdin:
        word, *rest = line.split() or [""]
        if word == "quit":
            break
        answers = {"go": generate, "both": both, "cancel": cancel}
        if word == "many" and rest and all(n.isdigit() for n in rest):
            print(json.dumps(many(server, args, [int(n) for n in rest])), flush=True)
            continue
        if word not in answers or len(rest) != 1 or not rest[0].isdigit():
            sys.exit(f"generate.py: expected `go N`, `both N`, `many N M …`, `cancel MS` or `quit`, got {line!r}")
        print(json.dumps(answers[word](server, args, int(rest[0]))), flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the server's threads do not all end by themselves
