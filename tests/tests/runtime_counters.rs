//! Counters: what a thread counts during an event is its own, by what the kernel says of the thread elsewhere (rusage,
//! `/proc`), and by what a program is known to do.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::perf::{Event, ThreadCounter, threads};
use profinfer_tests::profinfer::{Output, Profinfer, number, stock, whole};
use profinfer_tests::program::{Program, compile};

/// Each round calls each function once with a number above one, and says in a file what the kernel says of the thread between the
/// first and the last line of the functions: for each function a line of time on a CPU (ns, by a counter of the thread alone),
/// minor faults, major faults, and switches (by rusage).
const COUNTS: &str = r#"
#define _GNU_SOURCE
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
#define KEPT __attribute__((noipa))
enum { FUNCTIONS = 5 };
static long truth[FUNCTIONS][4];
static int clock_of_thread;
static struct rusage r0;
volatile long sink;
static long t0;
static long now(void) { long t; if (read(clock_of_thread, &t, sizeof t) != sizeof t) abort(); return t; }
static void begins(void) { getrusage(RUSAGE_THREAD, &r0); t0 = now(); }
static void ends(long *sums) {
    struct rusage r1;
    long t1 = now();
    getrusage(RUSAGE_THREAD, &r1);
    sums[0] += t1 - t0;
    sums[1] += r1.ru_minflt - r0.ru_minflt;
    sums[2] += r1.ru_majflt - r0.ru_majflt;
    sums[3] += r1.ru_nvcsw - r0.ru_nvcsw + r1.ru_nivcsw - r0.ru_nivcsw;
}
static void on(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) abort();
}
/* Touches n pages that nobody has touched. */
KEPT void touches(long n, char *fresh) { begins(); for (long i = 0; i < n; i++) fresh[4096 * i] = 1; ends(truth[0]); }
/* Leaves its CPU n times. */
KEPT void sleeps(long n) {
    struct timespec t = { 0, 200000 };
    begins();
    for (long i = 0; i < n; i++) nanosleep(&t, 0);
    ends(truth[1]);
}
/* Goes over to the other CPU n times. */
KEPT void hops(long n) { begins(); for (long i = 0; i < n; i++) on((i + 1) % 2); ends(truth[2]); }
/* Stays on a CPU for some n million turns. */
KEPT void spins(long n) { begins(); for (long i = 0; i < n * 1000000; i++) sink += i; ends(truth[3]); }
/* Reads the first bytes of n pages of a file that is in no memory. */
KEPT void loads(long n, const char *file) { begins(); for (long i = 0; i < n; i++) sink += file[4096 * 64 * i]; ends(truth[4]); }

static void round_of(long n, const char *path) {
    char *fresh = mmap(0, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(fresh, n * 4096, MADV_NOHUGEPAGE);
    touches(n, fresh);
    munmap(fresh, n * 4096);
    sleeps(n);
    on(0);
    hops(n);
    on(0);
    spins(n);
    int fd = open(path, O_RDONLY);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    char *file = mmap(0, n * 4096 * 64, PROT_READ, MAP_SHARED, fd, 0);
    madvise(file, n * 4096 * 64, MADV_RANDOM);
    if (fd < 0 || file == MAP_FAILED) abort();
    loads(n, file);
    munmap(file, n * 4096 * 64);
    close(fd);
}

int main(int argc, char **argv) {
    char line[64];
    struct perf_event_attr task_clock = { .size = sizeof task_clock, .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_TASK_CLOCK };
    clock_of_thread = syscall(SYS_perf_event_open, &task_clock, 0, -1, -1, 0);
    if (clock_of_thread < 0) abort();
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        /* What happens in a function for the first time is not to be known. */
        round_of(1, argv[2]);
        for (int f = 0; f < FUNCTIONS; f++) for (int i = 0; i < 4; i++) truth[f][i] = 0;
        for (long i = 0; i < atol(line); i++) round_of(7 + i, argv[2]);
        FILE *out = fopen(argv[1], "w");
        for (int f = 0; f < FUNCTIONS; f++)
            fprintf(out, "%ld %ld %ld %ld\n", truth[f][0], truth[f][1], truth[f][2], truth[f][3]);
        fclose(out);
        puts("done");
    }
    return 0;
}
"#;

const FUNCTIONS: [&str; 5] = ["touches", "sleeps", "hops", "spins", "loads"];
const ROUNDS: u64 = 12;
/// Of the numbers that the functions are called with.
const TURNS: u64 = 7 * ROUNDS + ROUNDS * (ROUNDS - 1) / 2;

const SUMS: &str =
    "n = count(), there = sum(has(task_clock)), time = sum(task_clock), wall = sum(dur), faults = sum(page_faults),
    major = sum(major_faults), switches = sum(ctx_switches), moves = sum(migrations)";

/// Something that takes all the time of a CPU; ends with the value.
struct Hog(Child);

impl Hog {
    fn on(cpu: u32) -> Hog {
        let cpu = cpu.to_string();
        Hog(Command::new("taskset").args(["-c", &cpu, "sh", "-c", "while :; do :; done"]).spawn().or_fail("taskset"))
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the program says of itself, and what we say of it. A machine may have tasks that leave a CPU without the kernel telling;
/// an event over that has no counters, which is told: then once more.
#[track_caller]
fn counts(lab: &Lab) -> (Vec<[u64; 4]>, Output) {
    for _ in 0..8 {
        let (truth, report) = counts_once(lab);
        let dropped = report.end()["dropped"].as_object().or_fail("what was lost").clone();
        if dropped.is_empty() {
            return (truth, report);
        }
        assert!(dropped.keys().all(|cause| cause == "uncounted"), "{dropped:?}");
    }
    panic!("in eight runs of a tenth of a second each a switch was not seen");
}

fn counts_once(lab: &Lab) -> (Vec<[u64; 4]>, Output) {
    let file = compile(lab.folder(), "counts", COUNTS, false, &["-O1"]);
    // On a disk: a temporary file system has no major faults.
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("counters.data");
    fs::write(&data, vec![7u8; 4096 * 64 * 32]).or_fail("a file");
    fs::File::open(&data).and_then(|f| f.sync_all()).or_fail("on the disk");
    let truth = lab.folder().join("truth");
    let arguments = [truth.to_str().or_fail("a path"), data.to_str().or_fail("a path")];
    let mut program = Program::start(&file, &arguments);
    let script: String =
        FUNCTIONS.map(|f| format!("on span(\"exe:{f}\", turns: i64) where (turns > 1) < {SUMS} into {f} >\n")).concat();
    let running = Profinfer::attach_with(program.pid(), &script, &[]);
    program.go(ROUNDS);
    let report = running.interrupt();
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    program.quit();
    let _ = fs::remove_file(&data);
    let text = fs::read_to_string(&truth).or_fail("what the program says");
    let line = |l: &str| -> [u64; 4] {
        let all: Vec<u64> = l.split(' ').map(|n| n.parse().or_fail("a number")).collect();
        all.try_into().ok().or_fail("four numbers")
    };
    (text.lines().map(line).collect(), report)
}

/// Both sides see the same thread; the kernel's own words are read within the function, so they miss its first and last moments.
#[track_caller]
fn agree(truth: &[[u64; 4]], report: &Output) {
    for (name, [time, minor, major, switches]) in FUNCTIONS.iter().zip(truth) {
        let row = report.table(name).only().clone();
        assert_eq!((whole(&row, "n"), whole(&row, "there")), (ROUNDS, ROUNDS), "{name}");
        let ours = whole(&row, "time");
        // At a switch the kernel's own counter goes on for a moment after ours has been read, or begins before.
        assert!(ours + switches * 1_000 >= *time, "{name}: on a CPU for {ours} ns, {time} by the thread's own counter");
        // The probes' own time and the calls that read the others: some microseconds a call, and at each switch.
        let slack = ROUNDS * 150_000 + switches * 10_000 + time / 50;
        assert!(ours < time + slack, "{name}: on a CPU for {ours} ns, {time} by the thread's own counter");
        // The clock is read before the counters are, at both ends; that takes some microseconds out of cold memory.
        assert!(ours <= whole(&row, "wall") + ROUNDS * 20_000, "{name}: {row}");
        assert_eq!(whole(&row, "faults"), minor + major, "{name}: faults by rusage");
        assert_eq!(whole(&row, "major"), *major, "{name}: major faults by rusage");
        let seen = whole(&row, "switches");
        // It may be switched away between the probe and the first line.
        assert!(seen >= *switches && seen - switches <= 4, "{name}: {seen} switches, {switches} by rusage");
    }
}

#[test]
fn a_threads_counters_are_what_the_kernel_says_of_the_thread() {
    let lab = Lab::new();
    let (truth, report) = counts(&lab);
    agree(&truth, &report);
    let row = |name: &str| report.table(name).only().clone();
    assert_eq!(whole(&row("touches"), "faults"), TURNS, "a fault for each page");
    assert_eq!(whole(&row("loads"), "major"), TURNS, "a read for each page");
    let switches = whole(&row("sleeps"), "switches");
    assert!((TURNS..TURNS + TURNS / 4).contains(&switches), "it sleeps {TURNS} times and is switched {switches} times");
    assert_eq!(whole(&row("hops"), "moves"), TURNS, "it goes to another CPU as often as it says");
    for name in ["spins", "touches"] {
        assert_eq!(whole(&row(name), "moves"), 0, "{name} stays on one CPU");
    }
    let end = report.end();
    let hops = end["counted"].as_object().or_fail("what is to be known of counters");
    let hops = hops.iter().find(|(name, _)| name.contains("hops")).or_fail("the function").1;
    // Odd numbers of turns end on the other CPU; so does the first call, which is left out of the table.
    assert_eq!((whole(hops, "moved"), whole(hops, "uncounted")), (ROUNDS / 2 + 1, 0), "{end}");
}

/// Other tasks on the same CPUs: the wall time of an event grows, what its thread counts does not.
#[test]
fn other_tasks_are_not_counted() {
    let lab = Lab::new();
    let hogs = [0, 0, 1, 1].map(Hog::on);
    let (truth, report) = counts(&lab);
    drop(hogs);
    agree(&truth, &report);
    let row = report.table("spins").only().clone();
    let (time, wall) = (whole(&row, "time"), whole(&row, "wall"));
    // With two others on its CPU it has a third of it.
    assert!(wall > 2 * time, "it was on a CPU for {time} ns of {wall}");
    assert!(whole(&row, "switches") > 0, "{row}");
}

/// Each counter of what encloses is no less than the sum of what is inside, and all is no more than what the kernel's own counter
/// of that thread says, nor switches than what `/proc` says.
fn counters_of_enclosing_events_hold_those_inside(kind: Kind) {
    const EVENTS: [Event; 4] = [Event::TaskClock, Event::PageFaults, Event::ContextSwitches, Event::CpuMigrations];
    const POINTS: [&str; 5] = ["ggml_op", "ggml_graph", "llama_ubatch", "llama_decode", "ggml_work"];
    const COLUMNS: [&str; 4] = ["time", "faults", "switches", "moves"];
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    engine.generate(2);
    let columns = "n = count(), there = sum(has(task_clock)), time = sum(first(task_clock, 0ns)),
                   faults = sum(first(page_faults, 0)), switches = sum(first(ctx_switches, 0)),
                   moves = sum(first(migrations, 0))";
    let script = POINTS.map(|point| format!("on {point} < {columns} by tid into {point} >\n")).concat();
    let running = Profinfer::attach_with(engine.pid(), &script, &[]);
    let witness = |tid| (tid, (EVENTS.map(|event| ThreadCounter::new(tid, event)), switches(engine.pid(), tid)));
    let mut witnesses: HashMap<u32, _> = threads(engine.pid()).into_iter().map(witness).collect();
    let pid = engine.pid();
    engine.generate(6);
    let report = running.interrupt();
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    let said: HashMap<u64, [u64; 4]> = witnesses
        .iter_mut()
        .map(|(tid, (all, _))| (u64::from(*tid), all.each_mut().map(ThreadCounter::read)))
        .collect();
    let all = ["ggml_op", "ggml_graph", "llama_ubatch", "llama_decode"].map(|point| report.table(point));
    let work = report.table("ggml_work");
    let mut uncounted = 0;
    for (point, table) in POINTS.iter().zip(all.iter().chain([&work])) {
        let told = whole(&report.end()["counted"][point], "uncounted");
        assert_eq!(table.total("n"), table.total("there") + told, "{point}: {table:?}, {}", report.end());
        assert!(100 * told <= table.total("n") || *point != "ggml_op", "{point}: {told} without counters");
        uncounted += told;
    }
    let dropped = if uncounted > 0 { serde_json::json!({ "uncounted": uncounted }) } else { serde_json::json!({}) };
    assert_eq!(report.end()["dropped"], dropped, "nothing else is lost");
    // A micro-batch over an unseen switch has no counters, but its operators have.
    let enclosing = all.iter().skip(1).all(|table| table.total("n") == table.total("there"));
    for column in COLUMNS.into_iter().filter(|_| enclosing) {
        let sums = all.each_ref().map(|table| table.total(column));
        assert!(sums.is_sorted(), "{column} of {sums:?}, from the innermost on");
    }
    let (ops, graphs) = (all[0].total("time"), all[1].total("time"));
    assert!(!enclosing || 10 * ops > 8 * graphs, "operators take {ops} ns of {graphs} ns");
    assert!(work.rows.len() > 1, "a pool has several threads: {work:?}");
    let mut compared = 0;
    for row in all.iter().chain([&work]).flat_map(|table| &table.rows) {
        // Threads that are made for a graph are not known before.
        let Some(said) = said.get(&whole(row, "tid")) else { continue };
        let ours = COLUMNS.map(|column| whole(row, column));
        // The kernel stops the thread's own clock a little before it tells of the switch, and starts it a little after.
        let slack = [said[2] * 10_000, 0, 0, 0];
        assert!((0..4).all(|i| ours[i] <= said[i] + slack[i]), "{row}: {ours:?} of {said:?}");
        compared += 1;
    }
    assert!(compared >= 4, "threads that live on");
    let decode = &all[3];
    for row in &decode.rows {
        let tid = whole(row, "tid") as u32;
        let before = witnesses[&tid].1;
        assert!(whole(row, "switches") <= switches(pid, tid) - before, "{row}, by /proc");
    }
    let said: u64 = decode.rows.iter().map(|row| said[&whole(row, "tid")][0]).sum();
    assert!(
        !enclosing || decode.total("time") * 10 > said * 6,
        "most of what its threads do: {decode:?}, by the kernel {said} ns"
    );
}

/// How often a thread was switched away, by `/proc`.
#[track_caller]
fn switches(pid: u32, tid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).or_fail("a thread");
    let number = |text: &str| text.trim().parse::<u64>().or_fail("a number");
    status.lines().filter_map(|line| line.split_once("ctxt_switches:")).map(|(_, n)| number(n)).sum()
}

#[test]
fn what_the_machine_cannot_count_is_told_at_once() {
    let lab = Lab::new();
    let has_pmu = Path::new("/sys/bus/event_source/devices/cpu").exists();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let pid = engine.pid().to_string();
    if !has_pmu {
        let words = ["ggml_op.cycles", "os error 2", "virtual machine", "task_clock", "`?`", "doctor"];
        let script = "on ggml_op < sum(cycles) by op >";
        Profinfer::run(["-e", script, "--pid", &pid]).failed(4, &words);
        let script = "on llama_ubatch < sum(pmu(0xc0)), sum(task_clock) >";
        Profinfer::run(["-e", script, "--pid", &pid]).failed(4, &["llama_ubatch.pmu(0xc0)", "os error 2"]);
    }
    let script = "on llama_ubatch? < n = count(), c = sum(cycles), has = sum(has(cycles)), ipc = sum(instructions) / sum(cycles), t = sum(task_clock) into u >";
    let running = Profinfer::attach(engine.pid(), script);
    engine.generate(3);
    let report = running.interrupt();
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    let row = report.table("u").only().clone();
    assert_eq!((whole(&row, "n"), whole(&row, "t") > 0), (3, true), "{row}");
    if has_pmu {
        assert_eq!(whole(&row, "has"), 3, "{row}");
    } else {
        assert_eq!((whole(&row, "has"), &row["ipc"]), (0, &serde_json::Value::Null), "{row}");
        assert!(
            report.stderr.contains("absent, with what is made of it: cycles, instructions: cannot count"),
            "{}",
            report.stderr
        );
    }
}

/// The stock script runs with the counters of the processor and without them.
fn the_stock_script_has_what_the_machine_has(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let (script, pid) = (stock("counters.pi"), engine.pid().to_string());
    let script = script.to_string_lossy();
    let arguments = [&*script, "--pid", &pid, "--format", "json", "-P", "top=1000"];
    let running = Profinfer::start_attached(arguments);
    engine.generate(4);
    let report = running.interrupt();
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    let (operators, layers) = (report.table("operators"), report.table("layers"));
    assert_eq!(operators.total("calls"), report.hits("ggml_op"), "each step once");
    assert_eq!(layers.rows.len(), 30, "layers of the model");
    let has_pmu = Path::new("/sys/bus/event_source/devices/cpu").exists();
    for row in operators.rows.iter().chain(&layers.rows) {
        let on_cpu = number(row, "on_cpu");
        // The clock of the thread and that of the event are read one after the other.
        assert!(on_cpu > 0.0 && on_cpu < 1.05, "{row}");
        assert_eq!(row["ipc"].is_null(), !has_pmu, "{row}");
    }
}

on_each_engine! {
    counters_of_enclosing_events_hold_those_inside,
    the_stock_script_has_what_the_machine_has,
}
