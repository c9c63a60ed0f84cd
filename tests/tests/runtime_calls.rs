//! Functions that a script names: every call is counted, by what the kernel's own uprobe events say and by what the
//! program is known to do, in programs without an engine and in engines.

use std::path::PathBuf;

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, whole};
use profinfer_tests::program::{Program, address_of, compile};
use profinfer_tests::tracefs::{Probe, Watch};

/// A server's loop in C. Each round calls each function as often as is said beside it.
const SERVER: &str = r#"
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#define KEPT __attribute__((noipa))
struct buffer { long filled; };
struct request { int id, kind; struct buffer *buffer; char name[16]; };
volatile long sink;
static jmp_buf back;

/* Once; returns -1 where the kind is 2. */
KEPT int handle(struct request *r, int n, long big) {
    for (volatile int i = 0; i < n; i++) sink += i;
    sink += big;
    return r->kind == 2 ? -1 : r->kind;
}
/* 15 times: itself. */
KEPT int fib(int n) {
    if (n < 2) return n;
    int a = fib(n - 1);
    sink = a;
    int b = fib(n - 2);
    sink = b;
    return a + b;
}
/* Once; every third time it does not return. */
KEPT void leap(int i) {
    sink = i;
    if (i % 3 == 0) longjmp(back, 1);
    sink++;
}
/* Once. */
KEPT int before_leap(int i) {
    if (setjmp(back)) return -7;
    leap(i);
    sink += 2;
    return i;
}
/* Once from `jumps`. */
KEPT long lands(long i) { sink = i; return i + 1; }
/* Once: it goes on in `lands`, and returns nothing of its own. */
KEPT long jumps(long i) { sink = i; return lands(i); }

/* Never. Its bytes are no instructions. */
__asm__(".globl garbled\n.type garbled, @function\ngarbled: .byte 0x06, 0x06, 0x06, 0xc3\n.size garbled, . - garbled\n");

static void *worker(void *rounds) {
    prctl(PR_SET_NAME, "worker");
    for (long i = 0; i < (long)rounds; i++) {
        volatile char *p = malloc(100 + i % 7);
        *p = 1;
        free((void *)p);
    }
    return 0;
}

int main(void) {
    char line[64];
    struct buffer buffer;
    struct request r = { .buffer = &buffer };
    strcpy(r.name, "hello");
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        long rounds = atol(line);
        for (int i = 0; i < rounds; i++) {
            r.id = i;
            r.kind = i % 4;
            buffer.filled = 10 * i;
            handle(&r, 200, 1L << 40);
            fib(5);
            before_leap(i);
            jumps(i);
        }
        pthread_t t;
        pthread_create(&t, 0, worker, (void *)rounds);
        pthread_join(t, 0);
        puts("done");
    }
    return 0;
}
"#;

/// Exceptions pass through `passes`, which cleans up on the way, and are caught in `catches`.
const THROWS: &str = r#"
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#define KEPT extern "C" __attribute__((noipa))
volatile int sink;
struct Cleans { ~Cleans() { sink++; } };
KEPT int throws(int i) {
    sink = i;
    if (i % 4 == 1) throw std::runtime_error("x");
    sink++;
    return 2 * i;
}
KEPT int passes(int i) {
    Cleans cleans;
    int a = throws(i);
    sink += a;
    return a + 1;
}
KEPT long catches(int i) {
    long all = 0;
    try { all += passes(i); } catch (std::exception &) { all = -3; }
    all += throws(0);
    sink = all;
    return all;
}
int main() {
    char line[64];
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        int rounds = atoi(line);
        for (int i = 0; i < rounds; i++) catches(i);
        puts("done");
    }
}
"#;

/// Loads its argument when the first round begins, and calls `plug` of it once a round.
const LOADS: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    char line[64];
    int (*plug[2])(int) = { 0, 0 };
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        int rounds = atoi(line);
        for (int k = 1; k < argc && k < 3; k++)
            if (!plug[k - 1]) plug[k - 1] = dlsym(dlopen(argv[k], RTLD_NOW), "plug");
        for (int i = 0; i < rounds; i++)
            for (int k = 0; k < 2; k++)
                if (plug[k]) plug[k](i);
        puts("done");
    }
    return 0;
}
"#;
const PLUG: &str = "volatile int sink; int plug(int i) { sink = i; return i + 1; }";

const ROUNDS: u64 = 120;

fn server(lab: &Lab) -> (PathBuf, Program) {
    let file = compile(lab.folder(), "server", SERVER, false, &["-pthread"]);
    let program = Program::start(&file, &[]);
    (file, program)
}

/// Runs a script on a program for some rounds.
#[track_caller]
fn observe(program: &mut Program, script: &str, more: &[&str]) -> Output {
    let running = Profinfer::attach_with(program.pid(), script, more);
    program.go(ROUNDS);
    let report = running.interrupt();
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    report
}

fn dropped(report: &Output) -> serde_json::Value {
    report.end()["dropped"].clone()
}

/// Both see each call at the same time: the witness and we.
#[test]
fn every_call_is_counted_as_the_kernel_counts() {
    let lab = Lab::new();
    let (_, mut program) = server(&lab);
    let plain = |symbol| Probe { symbol, fetch: "", filter: None };
    let malloc = Probe { symbol: "malloc", fetch: "size=%di:u64 comm=$comm", filter: None };
    let witness = Watch::new(program.pid(), &[plain("handle"), plain("fib"), plain("leap"), malloc]);
    let script = "
        on enter(\"exe:handle\") < n = count() into e0 >
        on span(\"exe:handle\") < n = count(), t = sum(dur), s = sum(self) into s0 >
        on enter(\"exe:fib\") < n = count() into e1 >
        on span(\"exe:fib\") < n = count() into s1 >
        on enter(\"exe:leap\") < n = count() into e2 >
        on span(\"exe:leap\") < n = count() into s2 >
        on enter(\"libc:malloc\", size: u64) < n = count() by size, comm into e3 >
        on span(\"libc.so.6:malloc\", size: u64, ret: ptr) where (comm = \"worker\" and has(ret)) < n = count() by size, tid into s3 >
    ";
    let report = observe(&mut program, script, &[]);
    let hits = witness.hits();
    program.quit();
    let seen = |probe: usize| hits.iter().filter(|h| h.probe == probe).count() as u64;
    let total = |table: &str| report.table(table).total("n");
    assert_eq!([seen(0), seen(1), seen(2)], [ROUNDS, 15 * ROUNDS, ROUNDS], "the witness");
    assert_eq!([total("e0"), total("e1"), total("e2")], [seen(0), seen(1), seen(2)], "enter");
    // Of those that leap every third one never returns.
    assert_eq!([total("s0"), total("s1"), total("s2")], [seen(0), seen(1), seen(2) - ROUNDS / 3], "span");
    let never = dropped(&report)["cut"].as_u64().unwrap_or(0) + report.end()["open"].as_u64().unwrap_or(0);
    assert_eq!(never, ROUNDS / 3, "what did not return is told: {}", report.end());
    let row = report.table("s0").only().clone();
    assert_eq!(whole(&row, "t"), whole(&row, "s"), "it calls nothing of its own");

    for size in 100..107u64 {
        let of_worker = |h: &&profinfer_tests::tracefs::Hit| {
            h.probe == 3 && h.fields["comm"] == "worker" && h.fields["size"] == size.to_string()
        };
        let seen = hits.iter().filter(of_worker).count() as u64;
        assert!(seen >= ROUNDS / 7, "the witness sees {seen} of {size} bytes");
        let rows = report.table("e3").rows;
        let entered = rows.iter().find(|r| r["size"] == size && r["comm"] == "worker").or_fail("a row");
        assert_eq!(whole(entered, "n"), seen, "{entered}");
        assert_eq!(whole(report.table("s3").row_of("size", size), "n"), seen, "{size} bytes");
    }
}

#[test]
fn arguments_and_results_are_read_right() {
    let lab = Lab::new();
    let (_, mut program) = server(&lab);
    let script = "
        struct buffer { filled: i64 @ 0 }
        struct request { id: i32 @ 0 kind: i32 @ 4 buffer: ptr(buffer) @ 8 name: str[16] @ 16 }
        on span(\"exe:handle\", r: ptr(request), n: i32, big: i64, ret: i32)
          < calls = count(), filled = sum(r.buffer.filled), results = sum(ret), lo = min(r.id), hi = max(r.id)
            by r.kind, ret, r.name, n, big, arg1, func, comm into kinds >
        on enter(\"exe:jumps\", i: i64) where (i = 10..19) < n = count(), i = sum(arg0) into some >
        on span(\"exe:jumps\", i: i64) < n = count(), absent = sum(not has(ret)) into jumps >
        on span(\"exe:lands\", i: i64) where (ret = i + 1) < n = count() into lands >
        on span(\"exe:fib\", n: i32, ret: i32) < calls = count() by n, ret into fib >
        point own : span { start \"handle\" (r: ptr(request), n: i32) let kind = r.kind let n = n }
        on own(kind = 1..2) < calls = count(), sum(n) into own >
    ";
    Profinfer::run(["-e", script, "--pid", &program.pid().to_string()]).failed(1, &["PI0224", "--unsafe"]);
    let report = observe(&mut program, script, &["--unsafe"]);
    program.quit();
    assert_eq!(dropped(&report), serde_json::json!({}));
    let kinds = report.table("kinds");
    assert_eq!(kinds.rows.len(), 4, "{kinds:?}");
    for kind in 0..4u64 {
        let row = kinds.row_of("r.kind", kind);
        let ids: Vec<u64> = (0..ROUNDS).filter(|i| i % 4 == kind).collect();
        let result = if kind == 2 { -1 } else { kind as i64 };
        assert_eq!(row["ret"], result, "{row}");
        assert_eq!(row["results"], result * ids.len() as i64, "{row}");
        assert_eq!(whole(row, "calls"), ids.len() as u64);
        assert_eq!(whole(row, "filled"), 10 * ids.iter().sum::<u64>(), "by way of two pointers: {row}");
        assert_eq!((whole(row, "lo"), whole(row, "hi")), (ids[0], ids[ids.len() - 1]));
        assert_eq!((whole(row, "n"), whole(row, "arg1"), whole(row, "big")), (200, 200, 1 << 40));
        assert_eq!((&row["r.name"], &row["func"], &row["comm"]), (&"hello".into(), &"handle".into(), &"server".into()));
    }
    let row = report.table("own").only().clone();
    assert_eq!((whole(&row, "calls"), whole(&row, "sum(n)")), (ROUNDS / 2, 200 * ROUNDS / 2));
    let row = report.table("some").only().clone();
    assert_eq!((whole(&row, "n"), whole(&row, "i")), (10, (10..20).sum()));
    let row = report.table("jumps").only().clone();
    assert_eq!((whole(&row, "n"), whole(&row, "absent")), (ROUNDS, ROUNDS), "another function returns in its place");
    assert_eq!(whole(report.table("lands").only(), "n"), ROUNDS);
    let fib = report.table("fib");
    for (n, value, calls) in [(0, 0, 3), (1, 1, 5), (2, 1, 3), (3, 2, 2), (4, 3, 1), (5, 5, 1)] {
        let row = fib.row_of("n", n);
        assert_eq!((whole(row, "ret"), whole(row, "calls")), (value, calls * ROUNDS), "{row}");
    }
    assert_eq!(report.end()["layout"], "unchecked", "the layout is what the script says");
}

/// What the calls from within take is no time of a call's own: over a whole tree of calls the own times are its duration.
#[test]
fn own_times_of_a_recursion_are_its_duration() {
    let lab = Lab::new();
    let (_, mut program) = server(&lab);
    let script = "on span(\"exe:fib\", n: i32) < dur = sum(dur), own = sum(self), calls = count() by n into fib >";
    let report = observe(&mut program, script, &["--strict"]);
    program.quit();
    let fib = report.table("fib");
    assert_eq!(fib.total("own"), whole(fib.row_of("n", 5), "dur"), "to the nanosecond: {fib:?}");
    for n in 2..=5 {
        let row = fib.row_of("n", n);
        assert!(whole(row, "own") < whole(row, "dur"), "{row}");
    }
    for n in 0..=1 {
        let row = fib.row_of("n", n);
        assert_eq!(whole(row, "own"), whole(row, "dur"), "it calls nothing: {row}");
    }
}

#[test]
fn exceptions_pass_unharmed_and_are_counted() {
    let lab = Lab::new();
    let file = compile(lab.folder(), "throws", THROWS, true, &[]);
    let mut program = Program::start(&file, &[]);
    let script = "
        on enter(\"exe:*s\") < n = count() by func into entered >
        on span(\"exe:throws\") < n = count() into throws >
        on span(\"exe:passes\", ret: i32) < n = count(), ret = sum(ret) into passes >
        on span(\"exe:catches\", i: i32, ret: i64) < n = count(), caught = sum((ret = -3)) into catches >
        on span(\"exe:*es\") < n = count(), own = sum(has(self)) by func into all >
    ";
    let report = observe(&mut program, script, &[]);
    // A second time: nothing of the first has stayed behind in the process.
    program.go(ROUNDS);
    program.quit();
    let thrown = ROUNDS / 4;
    let entered = report.table("entered").by("func", "n");
    assert_eq!((entered["throws"], entered["passes"], entered["catches"]), (2 * ROUNDS, ROUNDS, ROUNDS));
    let n = |table: &str| whole(report.table(table).only(), "n");
    assert_eq!((n("throws"), n("passes"), n("catches")), (2 * ROUNDS - thrown, ROUNDS - thrown, ROUNDS));
    assert_eq!(whole(report.table("catches").only(), "caught"), thrown);
    let all = report.table("all");
    let row = all.row("func", "passes");
    assert_eq!((whole(row, "n"), whole(row, "own")), (ROUNDS - thrown, ROUNDS - thrown));
    // How long what it called and never saw return took is not known.
    let row = all.row("func", "catches");
    assert_eq!((whole(row, "n"), whole(row, "own")), (ROUNDS, ROUNDS - thrown));
    let open = report.end()["open"].as_u64().unwrap_or(0);
    assert_eq!(dropped(&report)["cut"].as_u64().unwrap_or(0) + open, 3 * thrown, "each once: {}", report.end());
}

#[test]
fn a_function_is_found_by_its_address_or_a_glob() {
    let lab = Lab::new();
    let (file, mut program) = server(&lab);
    let address = address_of(&file, "handle");
    let script = format!(
        "on span(\"server:+{address:#x}\", ret: i32) < n = count(), r = sum((ret = -1)) by func into one >
         on enter(\"ser*:l*\", func = leap | \"lan?s\") < n = count() by func into some >
         on enter(\"exe:*\") where (func = jumps) < n = count() by func into other >
         on enter(\"exe:nothing\")? < count() into nothing >
         on enter(\"libnone.so:f\")? < count() into none >"
    );
    let report = observe(&mut program, &script, &["--strict"]);
    let row = report.table("one").only().clone();
    assert_eq!((&row["func"], whole(&row, "n"), whole(&row, "r")), (&"handle".into(), ROUNDS, ROUNDS / 4));
    let some = report.table("some").by("func", "n");
    assert_eq!(some, [("lands".to_owned(), ROUNDS), ("leap".to_owned(), ROUNDS)].into());
    assert_eq!(report.table("other").by("func", "n"), [("jumps".to_owned(), ROUNDS)].into());
    assert_eq!(report.end()["layout"], "none", "nothing is read that has a layout");

    let pid = program.pid().to_string();
    let refused = |at: &str, words: &[&str]| {
        let script = format!("on {at} < count() >");
        Profinfer::run(["-e", &script, "--pid", &pid]).failed(3, words);
    };
    refused("enter(\"exe:handel\")", &["no function handel", "server", "handle", "`?`"]);
    refused("span(\"exe:han\")", &["no function han", "there is handle"]);
    refused("span(\"exe:garbled\")", &["garbled", "cannot be probed"]);
    refused("span(\"exe:garbled\")?", &["garbled", "cannot be probed"]);
    // The program calls it, and has it from another file.
    refused("enter(\"exe:fgets\")", &["no function fgets"]);
    refused("enter(\"libnone.so:f\")", &["no file", "libnone.so", "libc.so.6"]);
    refused("enter(\"libcc:malloc\")", &["no file", "libcc", "libc.so.6"]);
    refused(&format!("enter(\"exe:+{:#x}\")", address + 1), &["no function begins at"]);
    refused("enter(\"libc:memcpy\")", &["memcpy", "chosen", "when the program starts"]);
    refused("enter(\"libc:*\")?", &["functions", "1000", "narrower"]);
    refused("ggml_op", &["engine"]);
    refused("enter(\"exe:handle\")< count() by phase > on llama_ubatch", &["engine"]);
    program.quit();
}

#[test]
fn what_cannot_be_probed_of_a_glob_is_told() {
    let lab = Lab::new();
    let (_, mut program) = server(&lab);
    let report = observe(&mut program, "on span(\"exe:*a*\") < n = count() by func into a >", &[]);
    let counted = report.table("a").by("func", "n");
    assert_eq!(counted["handle"], ROUNDS, "{counted:?}");
    assert!(!counted.contains_key("garbled") && report.stderr.contains("goes without garbled"), "{}", report.stderr);
    program.quit();
}

#[test]
fn list_plan_and_doctor_tell_of_functions() {
    let lab = Lab::new();
    let (file, program) = server(&lab);
    let pid = program.pid().to_string();
    let says = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = Profinfer::run(arguments.iter().copied().chain(["--pid", &pid]));
        assert_eq!(output.code, Some(code), "{arguments:?}: {}{}", output.stdout, output.stderr);
        let said = output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        words.iter().for_each(|word| assert!(said.contains(word), "no {word:?} in {said}"));
    };
    let handle = format!("handle at {:#x} in server", address_of(&file, "handle"));
    says(&["list", "span(\"exe:h*\")"], 0, &["stands for 1 function in server", &handle, "self duration", "ret int"]);
    says(&["list", "enter(\"libc.so:maloc\")"], 0, &["missing", "no function maloc in libc.so.6; there is malloc"]);
    let script = "on span(\"exe:fib\", n: i32) < sum(self) by n >";
    says(&["plan", "-e", script], 0, &["the script needs none", "fib in server", "return of fib in server", "`ret`:"]);
    says(&["plan", "-e", "on span(\"exe:fob\") < count() >"], 3, &["no function fob in server; there is fib"]);
    says(&["plan", "-e", "on span(\"exe:fob\")? < count() >"], 0, &["the script goes on without"]);
    says(&["doctor"], 3, &["enter and span can name", "points only needs no engine"]);
    program.quit();
}

#[test]
fn a_library_that_is_loaded_later_is_counted_from_its_first_call() {
    let lab = Lab::new();
    let loads = compile(lab.folder(), "loads", LOADS, false, &["-ldl"]);
    let plugs = ["libplug.so", "libplus.so"];
    let plugs = plugs.map(|name| compile(lab.folder(), name, PLUG, false, &["-shared", "-fPIC"]));
    let plugs = plugs.each_ref().map(|p| p.to_str().or_fail("a path"));
    let script = "on span(\"libplu*.so:plug\", i: i32, ret: i32) where (ret = i + 1) < n = count(), i = sum(i) by func into plug >";

    // A process that waits for what it loads.
    let mut program = Program::start(&loads, &plugs);
    let pid = program.pid().to_string();
    Profinfer::run(["-e", script, "--pid", &pid]).failed(3, &["libplu*.so"]);
    let mut running = Profinfer::start(["-e", script, "--pid", &pid, "--wait", "--format", "json"]);
    profinfer_tests::system::wait_until("it to wait", std::time::Duration::from_secs(30), || {
        running.said().contains("waiting for what the script names")
    });
    program.go(0);
    running.wait_attached();
    program.go(ROUNDS);
    let report = running.interrupt();
    program.quit();
    report.succeeded();
    let table = report.table("plug");
    for name in ["libplug.so:plug", "libplus.so:plug"] {
        let row = table.row("func", name);
        assert_eq!((whole(row, "n"), whole(row, "i")), (ROUNDS, (0..ROUNDS).sum()), "{row}");
    }
}

#[test]
fn a_command_is_counted_from_its_first_call() {
    let lab = Lab::new();
    let loads = compile(lab.folder(), "loads", LOADS, false, &["-ldl"]);
    let plug = compile(lab.folder(), "libplug.so", PLUG, false, &["-shared", "-fPIC"]);
    let input = lab.write("input", &format!("{ROUNDS}\n"));
    let out = lab.folder().join("report.json");
    let run = |script: &str| {
        let shell = format!("exec {} {} < {}", loads.display(), plug.display(), input.display());
        let arguments = ["-e", script, "--format", "json", "-o", &out.to_string_lossy(), "--", "sh", "-c", &shell];
        let mut report = Profinfer::run(arguments);
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        report.records = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
        report
    };
    let report = run("on span(\"libplug.so:plug\", i: i32) < n = count(), i = sum(i) into plug >");
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    let row = report.table("plug").only().clone();
    assert_eq!((whole(&row, "n"), whole(&row, "i")), (ROUNDS, (0..ROUNDS).sum()), "from the first call on");
    // What is never loaded is told, with what was there instead.
    run("on span(\"libplug.so:plog\") < count() >").failed(3, &["no function plog", "libplug.so"]);
    run("on span(\"libnone.so:plug\") < count() >").failed(3, &["no file", "libnone.so"]);
}

/// The graph of an engine: as its own point sees it, and as the kernel counts.
fn functions_of_an_engine_are_as_its_points(kind: Kind) {
    const TOKENS: u64 = 6;
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let library = match kind {
        Kind::Xllamacpp => "xllamacpp*",
        Kind::Node => "libggml-cpu*",
    };
    let script = format!(
        "struct graph {{ n_nodes: i32 @ 4 }}
         on span(\"{library}:ggml_graph_compute\", g: ptr(graph), ret: i32)
           < n = count(), t = sum(dur), s = sum(self), bad = sum((ret != 0)) by nodes = g.n_nodes, phase into named >
         on ggml_graph < n = count(), t = sum(dur) by nodes = n_nodes, phase into points >
         point mine : span {{ start \"ggml_graph_compute\" (g: ptr(graph)) within llama_ubatch let nodes = g.n_nodes }}
         on mine < n = count() by nodes, phase into mine >
         on enter(\"{library}:ggml_barrier\") < n = count() by tid into barriers >
         on enter(\"{library}:ggml_barrier\") < n = count() by op into first >
         on enter(\"{library}:ggml_barrier\") < n = count() by op = ggml_work.op, ith = ggml_work.ith into each >
         on ggml_op < n = count() by op into ops >
         on enter(\"libc.so:malloc\") < n = count() by inside = has(phase), outside = (not has(phase)) into mallocs >"
    );
    let plain = |symbol| Probe { symbol, fetch: "", filter: None };
    let witness = Watch::new(engine.pid(), &[plain("ggml_graph_compute"), plain("ggml_barrier")]);
    let running = Profinfer::attach_with(engine.pid(), &script, &["--unsafe"]);
    engine.generate(TOKENS);
    let report = running.interrupt();
    report.succeeded();
    let hits = witness.hits();
    let seen = |probe: usize| hits.iter().filter(|h| h.probe == probe).count() as u64;
    assert_eq!(seen(0), TOKENS, "the witness");
    let (named, points) = (report.table("named"), report.table("points"));
    // A point of the script's own stands beside the engine's.
    for (a, b) in report.table("mine").rows.iter().zip(&points.rows) {
        assert_eq!((&a["nodes"], &a["phase"], &a["n"]), (&b["nodes"], &b["phase"], &b["n"]));
    }
    assert_eq!(report.table("mine").total("n"), TOKENS);
    assert_eq!(named.total("n"), seen(0));
    assert_eq!(named.total("bad"), 0, "it succeeds");
    assert_eq!(named.rows.len(), points.rows.len(), "{named:?} {points:?}");
    for (a, b) in named.rows.iter().zip(&points.rows) {
        assert_eq!((&a["nodes"], &a["phase"], &a["n"]), (&b["nodes"], &b["phase"], &b["n"]));
        assert!(whole(a, "nodes") > 500 && a["phase"] != serde_json::Value::Null, "{a}");
        assert_eq!(whole(a, "t"), whole(a, "s"));
        // The engine's point has the planning of the graph as well, which comes before the function.
        let (t, p) = (whole(a, "t") as f64, whole(b, "t") as f64);
        assert!((-0.005..=0.05).contains(&(p / t - 1.0)), "{t} and {p} ns");
    }
    let mallocs = report.table("mallocs").by("inside", "n");
    assert_eq!(report.table("mallocs").rows.len(), 2, "either inside or outside: {mallocs:?}");
    assert!(mallocs["true"] > 0 && mallocs["false"] > 0, "inside of micro-batches and outside: {mallocs:?}");
    // Each thread comes to as many barriers as the kernel says, each inside of a step or at the graph's edges.
    let barriers = report.table("barriers").by("tid", "n");
    let mut expected = std::collections::BTreeMap::new();
    for hit in hits.iter().filter(|h| h.probe == 1) {
        *expected.entry(hit.tid.to_string()).or_insert(0u64) += 1;
    }
    assert_eq!(barriers, expected);
    // By operator: those of the first thread, and of each thread by its part of it.
    let (first, ops) = (report.table("first").by("op", "n"), report.table("ops").by("op", "n"));
    let mut of_thread_0 = std::collections::BTreeMap::new();
    let mut of_thread_1 = std::collections::BTreeMap::new();
    for row in &report.table("each").rows {
        let of = match row["ith"].as_u64() {
            Some(0) => &mut of_thread_0,
            Some(1) => &mut of_thread_1,
            _ => continue,
        };
        of.insert(profinfer_tests::profinfer::text(row, "op"), whole(row, "n"));
    }
    for (op, n) in &ops {
        assert!(first[op] >= *n, "a step has a barrier at its end at least: {op}: {} of {n}", first[op]);
        assert_eq!(of_thread_0[op], first[op], "{op}");
        assert_eq!(of_thread_1[op], first[op], "both come to each: {op}");
    }
}

on_each_engine! { functions_of_an_engine_are_as_its_points }
