/* Generates text with the llama.cpp that is built from its sources, some or all of it on an RPC server. The lines are those of
 * generate.py:
 *
 *     generate MODEL.gguf [--threads N] [--ubatch N] [--ctx N] [--ngl N] [--rpc HOST:PORT] [--on-cpu REGEX] [--prompt TEXT]
 *
 *     prints   ready PID         the model is loaded, nothing has been computed
 *     reads    go N              generates exactly N tokens, always from the same prompt, never from a cache
 *     prints   {"tokens":N,…}    one line of JSON: counts, the timings in ms, the text
 *     reads    open              begins a generation that stays open: the prompt, and the first token
 *     prints   {"pos":P}         how many tokens are behind
 *     reads    block N           generates N further tokens of it
 *     prints   {"pos":P,"token_us":[…]}   and how long each of them took, in microseconds by ggml's clock
 *     reads    quit              (or end of input) ends it
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ggml-backend.h"
#include "ggml-rpc.h"
#include "llama.h"

static void quiet(enum ggml_log_level level, const char *text, void *data) {
    (void)data;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void fail(const char *what) {
    fprintf(stderr, "generate: %s\n", what);
    exit(1);
}

static void print_escaped(const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') printf("\\%c", *c);
        else if (*c < 32) printf("\\u%04x", *c);
        else putchar(*c);
    }
}

static void generate(struct llama_context *ctx, const struct llama_vocab *vocab, const char *prompt, int n) {
    static char text[1 << 16];
    llama_token tokens[2048];
    int n_prompt = llama_tokenize(vocab, prompt, (int32_t)strlen(prompt), tokens, 2048, true, true);
    if (n_prompt <= 0) fail("the prompt is too long");
    struct llama_sampler *sampler = llama_sampler_init_greedy();
    llama_memory_clear(llama_get_memory(ctx), true);
    size_t length = 0;
    int64_t begin = ggml_time_us(), first = begin;
    struct llama_batch batch = llama_batch_get_one(tokens, n_prompt);
    llama_token token;
    for (int i = 0; i < n; i++) {
        if (llama_decode(ctx, batch)) fail("llama_decode failed");
        token = llama_sampler_sample(sampler, ctx, -1);
        if (i == 0) first = ggml_time_us();
        int32_t piece = llama_token_to_piece(vocab, token, text + length, (int32_t)(sizeof text - length - 1), 0, true);
        length += piece > 0 ? (size_t)piece : 0;
        batch = llama_batch_get_one(&token, 1);
    }
    int64_t end = ggml_time_us();
    text[length] = 0;
    llama_sampler_free(sampler);
    printf("{\"tokens\":%d,\"prompt_tokens\":%d,\"prompt_ms\":%.3f,\"eval_ms\":%.3f,\"text\":\"", n, n_prompt,
           (double)(first - begin) / 1e3, (double)(end - first) / 1e3);
    print_escaped(text);
    printf("\"}\n");
    fflush(stdout);
}

/* What stays open between two `block`s. */
static struct llama_sampler *open_sampler;
static llama_token open_token;
static int open_pos;

static void open_generation(struct llama_context *ctx, const struct llama_vocab *vocab, const char *prompt) {
    static llama_token tokens[2048];
    int n_prompt = llama_tokenize(vocab, prompt, (int32_t)strlen(prompt), tokens, 2048, true, true);
    if (n_prompt <= 0) fail("the prompt is too long");
    if (!open_sampler) open_sampler = llama_sampler_init_greedy();
    llama_memory_clear(llama_get_memory(ctx), true);
    if (llama_decode(ctx, llama_batch_get_one(tokens, n_prompt))) fail("llama_decode failed");
    open_token = llama_sampler_sample(open_sampler, ctx, -1);
    open_pos = n_prompt;
    printf("{\"pos\":%d}\n", open_pos);
    fflush(stdout);
}

static void block(struct llama_context *ctx, int n) {
    static int64_t ends[1 << 16];
    if (!open_sampler) fail("`block` needs `open` before it");
    if (n > 1 << 16) fail("a block has at most 65536 tokens");
    int64_t begin = ggml_time_us();
    for (int i = 0; i < n; i++) {
        if (llama_decode(ctx, llama_batch_get_one(&open_token, 1))) fail("llama_decode failed: is --ctx large enough?");
        open_token = llama_sampler_sample(open_sampler, ctx, -1);
        ends[i] = ggml_time_us();
    }
    open_pos += n;
    printf("{\"pos\":%d,\"token_us\":[", open_pos);
    for (int i = 0; i < n; i++) printf("%s%lld", i ? "," : "", (long long)(ends[i] - (i ? ends[i - 1] : begin)));
    printf("]}\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc < 2) fail("which model?");
    int threads = 2, ubatch = 512, ngl = 0, n_ctx = 2048;
    const char *prompt = "The three primary colors of light are red, green and";
    const char *on_cpu = NULL;
    ggml_backend_dev_t devices[2] = { NULL, NULL };
    llama_log_set(quiet, NULL);
    ggml_backend_load_all();
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--threads")) threads = atoi(value);
        else if (!strcmp(argv[i], "--ubatch")) ubatch = atoi(value);
        else if (!strcmp(argv[i], "--ctx")) n_ctx = atoi(value);
        else if (!strcmp(argv[i], "--ngl")) ngl = atoi(value);
        else if (!strcmp(argv[i], "--prompt")) prompt = value;
        else if (!strcmp(argv[i], "--on-cpu")) on_cpu = value;
        else if (!strcmp(argv[i], "--rpc")) {
            ggml_backend_reg_t server = ggml_backend_rpc_add_server(value);
            if (!server || !ggml_backend_reg_dev_count(server)) fail("no RPC server there");
            ggml_backend_register(server);
            devices[0] = ggml_backend_reg_dev_get(server, 0);
        } else fail("unknown option");
    }
    struct llama_model_tensor_buft_override overrides[2] = { { on_cpu, ggml_backend_cpu_buffer_type() }, { NULL, NULL } };
    struct llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = ngl;
    if (devices[0]) model_params.devices = devices;
    if (on_cpu) model_params.tensor_buft_overrides = overrides;
    struct llama_model *model = llama_model_load_from_file(argv[1], model_params);
    if (!model) fail("the model cannot be loaded");
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)n_ctx;
    params.n_batch = ubatch > 512 ? (uint32_t)ubatch : 512;
    params.n_ubatch = (uint32_t)ubatch;
    params.n_threads = params.n_threads_batch = threads;
    struct llama_context *ctx = llama_init_from_model(model, params);
    if (!ctx) fail("no context can be made");
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    char line[64];
    int n;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "go %d", &n) == 1 && n > 0) generate(ctx, llama_model_get_vocab(model), prompt, n);
        else if (sscanf(line, "block %d", &n) == 1 && n > 0) block(ctx, n);
        else if (!strcmp(line, "open\n")) open_generation(ctx, llama_model_get_vocab(model), prompt);
        else break;
    }
    if (open_sampler) llama_sampler_free(open_sampler);
    llama_free(ctx);
    llama_model_free(model);
    return 0;
}
