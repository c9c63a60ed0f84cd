// Generates text with llama.cpp through node-llama-cpp's prebuilt binary: a stripped, multi-variant CET build with a
// thread pool per graph. Never compiles and never downloads. Same options and the same protocol as generate.py, but for
// `outputs` in the place of `cancel` and no `both`: it evaluates the prompt once, has every second of its tokens output, and prints
// {"outputs":N,"prompt_tokens":P}.
//
// `open` begins a generation that stays open (the prompt and the first token; prints {"pos":P}), and `block N` generates N further
// tokens of it: {"pos":P,"token_us":[…]} says how long each took, in microseconds by this process's clock.
//
//     node generate.mjs MODEL.gguf [--package FOLDER] [--threads 2] [-n 48] [--prompt TEXT] [--repeat-prompt 1]
//                       [--ubatch 512] [--ctx 2048] [--parallel 1] [--draft MODEL.gguf] [--hold]
//                       [--vulkan-layers N]
//
// FOLDER is the one that holds `node_modules`; without it, that of this file.

import {createRequire} from "node:module";
import {createInterface} from "node:readline";
import {join} from "node:path";
import {pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

process.env.NODE_LLAMA_CPP_SKIP_DOWNLOAD = "true";

const PROMPT = "The three primary colors of light are red, green and";

const {values: options, positionals} = parseArgs({
    allowPositionals: true,
    options: {
        package: {type: "string", default: import.meta.dirname},
        threads: {type: "string", default: "2"},
        "n-predict": {type: "string", short: "n", default: "48"},
        prompt: {type: "string", default: PROMPT},
        "repeat-prompt": {type: "string", default: "1"},
        ubatch: {type: "string", default: "512"},
        ctx: {type: "string", default: "2048"},
        parallel: {type: "string", default: "1"},
        draft: {type: "string"},
        "vulkan-layers": {type: "string", default: "0"},
        hold: {type: "boolean", default: false}
    }
});
if (positionals.length !== 1) {
    console.error("usage: node generate.mjs MODEL.gguf [options]");
    process.exit(2);
}
const vulkanLayers = Number(options["vulkan-layers"]);
const prompt = options.prompt.repeat(Number(options["repeat-prompt"]));

const entry = createRequire(join(options.package, "package.json")).resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel, DraftSequenceTokenPredictor} = await import(pathToFileURL(entry).href);

const llama = await getLlama({
    gpu: vulkanLayers > 0 ? "vulkan" : false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    maxThreads: Number(options.threads),
    logLevel: LlamaLogLevel.error
});
const model = await llama.loadModel({modelPath: positionals[0], gpuLayers: vulkanLayers});
const context = await model.createContext({
    sequences: Number(options.parallel),
    contextSize: Number(options.ctx),
    batchSize: Number(options.ubatch),
    threads: {ideal: Number(options.threads), min: Number(options.threads)}
});
// With --draft a second model in a context of its own drafts up to 4 tokens for each step.
async function predictor() {
    const draftModel = await llama.loadModel({modelPath: options.draft, gpuLayers: 0});
    const draftContext = await draftModel.createContext({
        contextSize: Number(options.ctx),
        threads: {ideal: Number(options.threads), min: Number(options.threads)}
    });
    return new DraftSequenceTokenPredictor(draftContext.getSequence(), {minTokens: 1, maxTokens: 4, minConfidence: 0});
}
const sequence = context.getSequence(options.draft === undefined ? {} : {tokenPredictor: await predictor()});
const sequences = [sequence];
while (sequences.length < Number(options.parallel)) sequences.push(context.getSequence());

// Generates exactly n tokens, greedily. The history is cleared first, so the whole prompt is computed every time.
async function generate(n, on = sequence, text = prompt, begun = () => undefined) {
    const sequence = on;
    await sequence.clearHistory();
    const tokens = model.tokenize(text);
    const generated = [];
    const begin = performance.now();
    let first = begin;
    // `yieldEogToken`: an end-of-text token counts as a token and ends nothing.
    for await (const token of sequence.evaluate(tokens, {temperature: 0, yieldEogToken: true})) {
        if (generated.length === 0) first = performance.now();
        begun();
        generated.push(token);
        if (generated.length === n) break;
    }
    const end = performance.now();
    return {
        tokens: generated.length,
        prompt_tokens: tokens.length,
        prompt_ms: first - begin,
        eval_ms: end - first,
        wall_ms: end - begin,
        text: model.detokenize(generated)
    };
}

// A request in each sequence, each begun when the one before has its first token, with a longer prompt each.
async function many(numbers) {
    const answers = [];
    for (const [k, n] of numbers.entries()) {
        await new Promise((begun) => {
            answers.push(generate(n, sequences[k], prompt.repeat(k + 1), begun));
        });
    }
    const requests = await Promise.all(answers);
    const of = (answer, sequence) => {
        const drafts = sequence.tokenPredictions;
        return {...answer, slot: sequence._sequenceId, drafted: drafts.validated + drafts.refuted, accepted: drafts.validated};
    };
    return {requests: requests.map((answer, k) => of(answer, sequences[k]))};
}

// Evaluates the prompt once and has every second of its tokens output.
async function outputs() {
    await sequence.clearHistory();
    const tokens = model.tokenize(prompt);
    const output = {generateNext: {token: true, options: {temperature: 0}}};
    const results = await sequence.controlledEvaluate(tokens.map((token, i) => (i % 2 === 1 ? [token, output] : token)));
    return {outputs: results.filter((result) => result !== undefined).length, prompt_tokens: tokens.length};
}

// The generation that stays open between two blocks: its tokens are computed one by one, as they are asked for.
let opened;
let position = 0;
async function openGeneration() {
    await opened?.return();
    await sequence.clearHistory();
    const tokens = model.tokenize(prompt);
    opened = sequence.evaluate(tokens, {temperature: 0, yieldEogToken: true});
    await opened.next();
    position = tokens.length;
    return {pos: position};
}

async function block(n) {
    const times = [];
    let before = performance.now();
    for (let k = 0; k < n; k++) {
        const {done} = await opened.next();
        if (done) throw new Error("the generation has ended: is --ctx large enough?");
        const now = performance.now();
        times.push(Math.round((now - before) * 1e3));
        before = now;
    }
    position += n;
    return {pos: position, token_us: times};
}

if (!options.hold) {
    const done = await generate(Number(options["n-predict"]));
    console.log(prompt + done.text);
    const rate = (1e3 * (done.tokens - 1)) / done.eval_ms;
    console.error(
        `engine: ${done.prompt_tokens} prompt tokens in ${done.prompt_ms.toFixed(1)} ms, ` +
        `${done.tokens} tokens, ${rate.toFixed(1)} tokens/s`
    );
    process.exit(0);
}

process.stdout.write(`ready ${process.pid}\n`);
for await (const line of createInterface({input: process.stdin})) {
    const go = /^go ([0-9]+)$/.exec(line.trim());
    if (line.trim() === "quit") break;
    const several = /^many( [0-9]+)+$/.exec(line.trim());
    if (several !== null) {
        const numbers = line.trim().split(" ").slice(1).map(Number);
        process.stdout.write(JSON.stringify(await many(numbers)) + "\n");
        continue;
    }
    const blocks = /^block ([0-9]+)$/.exec(line.trim());
    if (line.trim() === "open" || (blocks !== null && opened !== undefined)) {
        process.stdout.write(JSON.stringify(await (blocks === null ? openGeneration() : block(Number(blocks[1])))) + "\n");
        continue;
    }
    if (go === null && line.trim() !== "outputs") {
        console.error(`generate.mjs: expected \`go N\`, \`many N M …\`, \`outputs\`, \`open\`, then \`block N\`, or \`quit\`, got ${JSON.stringify(line)}`);
        process.exit(2);
    }
    process.stdout.write(JSON.stringify(await (go === null ? outputs() : generate(Number(go[1])))) + "\n");
}
process.exit(0);
