//! `std.cuda` on a library that has functions of the CUDA runtime and nothing else, called from within a real engine: there is no
//! GPU here. What is tried is that calls are counted, their arguments read, and that they belong to the operator in progress.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Model};
use profinfer_tests::lab::Lab;
use profinfer_tests::offload::driver;
use profinfer_tests::profinfer::{text, whole};

const TOKENS: u64 = 4;
const LAYERS: u64 = 30;

/// The functions as NVIDIA's header declares them.
const RUNTIME: &str = "
    #include <stddef.h>
    typedef struct { unsigned x, y, z; } dim3;
    volatile int done;
    int cudaLaunchKernel(const void *f, dim3 grid, dim3 block, void **args, size_t shared, void *stream) { return done++ < 0; }
    int cudaGraphLaunch(void *graph, void *stream) { return done++ < 0; }
    int cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, void *stream) { return done++ < 0; }
    int cudaStreamSynchronize(void *stream) { return done++ < 0; }
";

/// Calls them in two operators of the engine: a launch and two copies in each attention, a wait in each activation.
const CALLER: &str = "
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <stddef.h>
    typedef struct { unsigned x, y, z; } dim3;
    int cudaLaunchKernel(const void *f, dim3 grid, dim3 block, void **args, size_t shared, void *stream);
    int cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, void *stream);
    int cudaStreamSynchronize(void *stream);
    void ggml_compute_forward_flash_attn_ext(const int *params, void *t) {
        static void (*real)(const int *, void *);
        if (!real) real = (void (*)(const int *, void *))dlsym(RTLD_NEXT, \"ggml_compute_forward_flash_attn_ext\");
        if (*params == 0) {
            cudaLaunchKernel(&real, (dim3){ 7, 3, 2 }, (dim3){ 256, 1, 1 }, NULL, 0, NULL);
            cudaMemcpyAsync(&real, t, 1000, 1, NULL);
            cudaMemcpyAsync(t, &real, 24, 2, NULL);
        }
        real(params, t);
    }
    void ggml_compute_forward_glu(const int *params, void *t) {
        static void (*real)(const int *, void *);
        if (!real) real = (void (*)(const int *, void *))dlsym(RTLD_NEXT, \"ggml_compute_forward_glu\");
        real(params, t);
        if (*params == 0) cudaStreamSynchronize(NULL);
    }
";

fn library(folder: &Path, name: &str, source: &str, flags: &[&str]) -> String {
    let (text, made) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&text, source).or_fail(text.display());
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&made).arg(&text).args(flags);
    let output = gcc.output().or_fail("this test needs gcc (apt-get install gcc)");
    assert!(output.status.success(), "{gcc:?}: {}", String::from_utf8_lossy(&output.stderr));
    made.display().to_string()
}

#[test]
fn engine_llama_cpp_calls_of_cuda_belong_to_the_operator_in_progress() {
    let lab = Lab::new();
    let folder = lab.folder();
    let runtime = library(folder, "libcudart.so.12", RUNTIME, &["-Wl,-soname,libcudart.so.12"]);
    let caller = library(folder, "libcaller.so", CALLER, &[&runtime, "-Wl,-rpath,$ORIGIN"]);
    let mut command = Command::new(driver(lab.cache(), folder));
    command.arg(Model::Dense.file(lab.cache())).args(["--threads", "1"]).env("LD_PRELOAD", caller);
    let mut engine = Engine::start_command(None, &mut command);
    let script = "
        import std.cuda
        on cuda.launch < n = count(), x = max(blocks_x), threads = min(threads_x) by op, backend into launches >
        on cuda.launch < n = count() by layer into layers >
        on cuda.copy < n = count(), bytes = sum(bytes) by op, way into copies >
        on cuda.wait < n = count() by op, phase into waits >
        on cuda.graph_launch < n = count() into graphs >
    ";
    let report = lab.trace(&mut engine, script, TOKENS);
    let table = report.table("launches");
    let row = table.only();
    assert_eq!((text(row, "op"), text(row, "backend")), ("FLASH_ATTN_EXT".into(), "CPU".into()));
    assert_eq!((whole(row, "n"), whole(row, "x"), whole(row, "threads")), (LAYERS * TOKENS, 7, 256));
    let layers = report.table("layers").by("layer", "n");
    assert_eq!(layers.len() as u64, LAYERS, "{layers:?}");
    assert!(layers.values().all(|n| *n == TOKENS), "{layers:?}");
    let copies = report.table("copies");
    let copies: BTreeMap<_, _> =
        copies.rows.iter().map(|r| (text(r, "way"), (text(r, "op"), whole(r, "n"), whole(r, "bytes")))).collect();
    let one = |bytes: u64| ("FLASH_ATTN_EXT".to_owned(), LAYERS * TOKENS, bytes * LAYERS * TOKENS);
    assert_eq!(copies, [("device_to_host".to_owned(), one(24)), ("host_to_device".to_owned(), one(1000))].into());
    let waits = report.table("waits");
    let waits: BTreeMap<_, _> = waits.rows.iter().map(|r| ((text(r, "op"), text(r, "phase")), whole(r, "n"))).collect();
    let glu = |phase: &str, n: u64| (("GLU".to_owned(), phase.to_owned()), LAYERS * n);
    assert_eq!(waits, [glu("decode", TOKENS - 1), glu("prefill", 1)].into());
    assert_eq!(report.table("graphs").rows.len(), 0, "nobody calls it");
}
