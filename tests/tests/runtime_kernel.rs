//! Points of the kernel on a small program: each is held against what the kernel itself counts for the process, or against
//! what the program is known to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use profinfer_tests::OrFail;
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Output, Profinfer, text, whole};
use profinfer_tests::program::{Program, compile};
use profinfer_tests::system::{state, wait_until};

/// What it does is its first argument; the second is a file.
const BUSY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#define KEPT __attribute__((noipa))
#define PAGE 4096
volatile long sink;
static long ns(clockid_t c) { struct timespec t; clock_gettime(c, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }
KEPT void innermost(long until) { while (ns(CLOCK_THREAD_CPUTIME_ID) < until) for (int i = 0; i < 20000; i++) sink++; sink--; }
KEPT void outer(long until) { innermost(until); sink++; }
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static volatile int turn;
static void *other(void *rounds) {
    for (long i = 0; i < (long)rounds; i++) {
        pthread_mutex_lock(&m);
        while (turn != 1) pthread_cond_wait(&c, &m);
        turn = 0;
        pthread_cond_signal(&c);
        pthread_mutex_unlock(&m);
    }
    return 0;
}
int main(int argc, char **argv) {
    char line[64], buffer[65536];
    int fd = argc > 2 ? open(argv[2], O_RDONLY) : -1;
    struct stat st = {0};
    char *file = 0, *memory = mmap(0, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(memory, 64 * PAGE, MADV_NOHUGEPAGE);
    if (fd >= 0 && !fstat(fd, &st)) file = mmap(0, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    setvbuf(stdout, 0, _IONBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        long rounds = atol(line), wall = ns(CLOCK_MONOTONIC), cpu = ns(CLOCK_THREAD_CPUTIME_ID);
        const char *what = argv[1];
        if (!strcmp(what, "touch")) for (long i = 0; i < rounds; i++) {
            madvise(memory, 64 * PAGE, MADV_DONTNEED);
            for (int p = 0; p < 64; p++) memory[p * PAGE] = 1;
        }
        /* One byte of the file, each time anew. */
        if (!strncmp(what, "byte", 4)) for (long i = 0; i < rounds; i++) {
            madvise(file, st.st_size, MADV_DONTNEED);
            sink += file[atol(what + 4)];
        }
        if (!strcmp(what, "read")) {
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            lseek(fd, 0, SEEK_SET);
            while (read(fd, buffer, sizeof buffer) > 0) {}
        }
        if (!strcmp(what, "wait")) {
            pthread_t t;
            pthread_create(&t, 0, other, (void *)rounds);
            for (long i = 0; i < rounds; i++) {
                struct timespec some = {0, 2000000};
                nanosleep(&some, 0);
                pthread_mutex_lock(&m);
                turn = 1;
                pthread_cond_signal(&c);
                while (turn != 0) pthread_cond_wait(&c, &m);
                pthread_mutex_unlock(&m);
                outer(ns(CLOCK_THREAD_CPUTIME_ID) + 1000000);
                sched_yield();
            }
            pthread_join(t, 0);
        }
        if (!strcmp(what, "burn")) outer(ns(CLOCK_THREAD_CPUTIME_ID) + rounds * 1000000);
        if (!strcmp(what, "call")) for (long i = 0; i < rounds; i++) {
            syscall(SYS_getppid);
            prctl(PR_SET_NAME, i % 2 ? "odd" : "even");
        }
        fprintf(stderr, "%ld %ld\n", ns(CLOCK_MONOTONIC) - wall, ns(CLOCK_THREAD_CPUTIME_ID) - cpu);
        puts("done");
    }
    return 0;
}
"#;

fn busy(lab: &Lab) -> PathBuf {
    compile(lab.folder(), "busy", BUSY, false, &["-fno-omit-frame-pointer", "-lpthread"])
}

/// Counts with `script` while the program does so many rounds.
fn traced(program: &mut Program, script: &str, rounds: u64) -> Output {
    let running = Profinfer::attach(program.pid(), script);
    // What lies in memory is looked at every 100 ms.
    std::thread::sleep(Duration::from_millis(300));
    program.go(rounds);
    idle(program);
    let output = running.interrupt();
    output.succeeded();
    output
}

/// Waits until the program waits for us.
fn idle(program: &Program) {
    wait_until("the program waits", Duration::from_secs(10), || state(program.pid()) == Some('S'));
}

/// Numbers of `/proc/PID/stat` behind the name, by their places there.
fn stat(pid: u32, places: [usize; 2]) -> [u64; 2] {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).or_fail("stat");
    let rest = text.rsplit(')').next().or_fail("a name");
    let words: Vec<&str> = rest.split_whitespace().collect();
    places.map(|p| words[p].parse().or_fail("a number"))
}

/// A number behind a word in a file of `/proc/PID`.
fn number(pid: u32, file: &str, word: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).or_fail(file);
    let found = text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    found.or_fail(format_args!("{word} in {file}"))
}

/// Faults are those that the kernel counts for the process, small and large.
#[test]
fn faults_are_those_of_the_kernel() {
    let lab = Lab::new();
    let file = lab.write("some.bin", &"x".repeat(1 << 20));
    let mut program = Program::start(&busy(&lab), &["touch", &file.display().to_string()]);
    let running =
        Profinfer::attach(program.pid(), "on page_fault < n = count(), sum(dur), min(dur) by major into faults >");
    idle(&program);
    let before = stat(program.pid(), [7, 9]);
    program.go(20);
    idle(&program);
    let after = stat(program.pid(), [7, 9]);
    let output = running.interrupt();
    output.succeeded();
    let table = output.table("faults");
    let of = |major: &str| table.rows.iter().filter(|r| text(r, "major") == major).map(|r| whole(r, "n")).sum::<u64>();
    assert_eq!([of("false"), of("true")], [after[0] - before[0], after[1] - before[1]]);
    assert!(of("false") >= 20 * 64, "64 pages a round: {table:?}");
    assert!(table.rows.iter().all(|r| whole(r, "min(dur)") > 0), "every fault takes time: {table:?}");
    program.quit();
}

/// A file's name, the offset in it, and in a model the tensor, are those of the byte that was touched.
#[test]
fn a_fault_is_in_its_file_and_tensor() {
    let lab = Lab::new();
    let (file, tensors) = model(lab.folder());
    for (touched, tensor) in [(tensors + 64 * 4096 - 1, "first"), (tensors + 64 * 4096, "second"), (100, "-")] {
        let what = format!("byte{touched}");
        let mut program = Program::start(&busy(&lab), &[&what, &file.display().to_string()]);
        let script = "on page_fault(file = \"*.gguf\") < n = count() by file, offset, tensor into faults >";
        let output = traced(&mut program, script, 7);
        let table = output.table("faults");
        let row = table.only();
        assert_eq!(text(row, "file"), "tiny.gguf");
        assert_eq!((whole(row, "offset"), whole(row, "n")), (touched, 7), "{table:?}");
        assert_eq!(row["tensor"].as_str().unwrap_or("-"), tensor, "byte {touched}: {table:?}");
        program.quit();
    }
}

/// A model of two tensors of 64 pages, made by hand; where its data begins.
fn model(folder: &Path) -> (PathBuf, u64) {
    let text = |into: &mut Vec<u8>, text: &str| {
        into.extend((text.len() as u64).to_le_bytes());
        into.extend(text.as_bytes());
    };
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend(2u64.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    text(&mut bytes, "general.alignment");
    bytes.extend(4u32.to_le_bytes());
    bytes.extend(4096u32.to_le_bytes());
    for (name, offset) in [("first", 0u64), ("second", 64 * 4096)] {
        text(&mut bytes, name);
        bytes.extend(1u32.to_le_bytes());
        bytes.extend((64u64 * 1024).to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }
    let data = bytes.len().next_multiple_of(4096);
    bytes.resize(data + 128 * 4096, 1);
    let file = folder.join("tiny.gguf");
    fs::write(&file, bytes).or_fail(file.display());
    (file, data as u64)
}

/// A file that is called like a model and is none has no tensors, and does no harm.
#[test]
fn what_is_no_model_has_no_tensors() {
    let lab = Lab::new();
    for (n, bytes) in [b"GGUF".to_vec(), [&b"GGUF"[..], &[0xff; 5000]].concat(), vec![7; 5000]].iter().enumerate() {
        let file = lab.folder().join(format!("bad{n}.gguf"));
        fs::write(&file, bytes).or_fail(file.display());
        let mut program = Program::start(&busy(&lab), &["byte0", &file.display().to_string()]);
        let script = "on page_fault(file = \"bad*\") < n = count() by file, tensor into faults >";
        let output = traced(&mut program, script, 3);
        let table = output.table("faults");
        let row = table.only();
        assert_eq!((whole(row, "n"), row["tensor"].is_null()), (3, true), "{table:?}");
        program.quit();
    }
}

/// Reads are what the kernel counts as `read_bytes` of the process.
#[test]
fn reads_are_those_of_the_kernel() {
    let lab = Lab::new();
    let file = lab.write("large.bin", &"y".repeat(8 << 20));
    fs::File::open(&file).and_then(|f| f.sync_all()).or_fail("written to the disk");
    let mut program = Program::start(&busy(&lab), &["read", &file.display().to_string()]);
    let running =
        Profinfer::attach(program.pid(), "on disk_read < n = count(), total = sum(bytes), max(bytes) into reads >");
    let before = number(program.pid(), "io", "read_bytes:");
    program.go(1);
    idle(&program);
    let after = number(program.pid(), "io", "read_bytes:");
    let output = running.interrupt();
    output.succeeded();
    let table = output.table("reads");
    assert_eq!(whole(table.only(), "total"), after - before);
    assert!(after - before >= 8 << 20, "nothing was read from a disk: is the folder in memory?");
    program.quit();
}

/// Every time off the CPU is an event: as many as the kernel counts context switches of the thread, and together with the
/// time on the CPU they are the time that passed.
#[test]
fn time_off_the_cpu_is_whole() {
    let lab = Lab::new();
    let mut program = Program::start(&busy(&lab), &["wait"]);
    let pid = program.pid();
    let script = format!(
        "on off_cpu where (tid = {pid}) < n = count(), total = sum(dur), queue = sum(queue), longest = max(dur) by reason into off >"
    );
    let running = Profinfer::attach(pid, &script);
    idle(&program);
    let switches = || {
        let of = |word| number(pid, &format!("task/{pid}/status"), word);
        [of("voluntary_ctxt_switches:"), of("nonvoluntary_ctxt_switches:")]
    };
    let on_cpu = || {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).or_fail("schedstat");
        text.split_whitespace().map(|n| n.parse::<u64>().or_fail("a number")).collect::<Vec<_>>()
    };
    let (before, cpu_before) = (switches(), on_cpu());
    let began = std::time::Instant::now();
    program.go(100);
    idle(&program);
    let wall = began.elapsed().as_nanos() as u64;
    let (after, cpu_after) = (switches(), on_cpu());
    let output = running.interrupt();
    output.succeeded();
    let table = output.table("off");
    let sum = |column: &str, reasons: &[&str]| -> u64 {
        table.rows.iter().filter(|r| reasons.contains(&text(r, "reason").as_str())).map(|r| whole(r, column)).sum()
    };
    let voluntary = ["futex", "sleep", "wait", "fault", "io", "stopped"];
    let forced = ["preempted", "yielded"];
    // The last one is still open: the thread waits for us.
    assert_eq!(sum("n", &voluntary), after[0] - before[0] - 1, "voluntary switches: {table:?}");
    assert_eq!(sum("n", &forced), after[1] - before[1], "the others: {table:?}");
    assert!(output.end()["open"].as_u64().or_fail("open") >= 1, "the thread is off the CPU at the end");
    // A sleep of 2 ms a round; where the thread is preempted on its way there, it may not come to it.
    assert!((90..=100).contains(&sum("n", &["sleep"])), "{table:?}");
    assert!(sum("total", &["sleep"]) >= 90 * 2_000_000, "{table:?}");
    assert!(sum("n", &["futex"]) > 0, "{table:?}");
    let off = sum("total", &voluntary) + sum("total", &forced);
    let on = cpu_after[0] - cpu_before[0];
    let (low, high) = (wall * 97 / 100 - 2_000_000, wall * 103 / 100 + 2_000_000);
    assert!((low..=high).contains(&(on + off)), "on the CPU {on}, off {off}, together not {wall} ns: {table:?}");
    // What the scheduler itself counts as waiting for a CPU.
    let queued = cpu_after[1] - cpu_before[1];
    let seen = sum("queue", &voluntary) + sum("queue", &forced);
    assert!(seen.abs_diff(queued) <= queued / 10 + 10_000_000, "in the queue {queued} ns, seen {seen}: {table:?}");
    program.quit();
}

/// Samples are as many a second of running time as was asked for, and their stacks are those of the program.
#[test]
fn samples_come_at_their_rate() {
    let lab = Lab::new();
    let mut program = Program::start(&busy(&lab), &["burn"]);
    let script =
        "on profile(99hz) < n = count() into all >\non profile(997hz) < n = count() by stack(user) into stacks >";
    let output = traced(&mut program, script, 3_000);
    let all = output.table("all").total("n");
    assert!((252..=342).contains(&all), "99 a second for 3 s are 297: {all}");
    let stacks = output.table("stacks");
    let n = stacks.total("n");
    assert!((2540..=3440).contains(&n), "997 a second for 3 s are 2,991: {n}");
    let within: u64 = stacks
        .rows
        .iter()
        .filter(|r| r["stack(user)"].as_str().is_some_and(|s| s.contains("main;outer;innermost")))
        .map(|r| whole(r, "n"))
        .sum();
    assert!(within * 10 >= n * 9, "{within} of {n} are in innermost, called from outer, called from main: {stacks:?}");
    program.quit();
}

/// Hits of a tracepoint are those of the process, whatever others do; its fields are numbers and texts.
#[test]
fn tracepoints_have_their_own_fields() {
    let lab = Lab::new();
    let file = busy(&lab);
    let mut program = Program::start(&file, &["call"]);
    let mut other = Program::start(&file, &["call"]);
    let script = "on tracepoint(\"syscalls:sys_enter_getppid\") < n = count() by pid into calls >\n\
                  on tracepoint(\"task:task_rename\") < n = count() by newcomm, oldcomm into names >\n\
                  on tracepoint(\"task:task_rename\", newcomm = \"od*\") < n = count() into odd >";
    let running = Profinfer::attach(program.pid(), script);
    program.go(1_000);
    other.go(500);
    let output = running.interrupt();
    output.succeeded();
    let calls = output.table("calls");
    assert_eq!(whole(calls.row_of("pid", program.pid().into()), "n"), 1_000);
    assert_eq!(calls.total("n"), 1_000, "{calls:?}");
    let names = output.table("names");
    assert_eq!(names.row("newcomm", "odd")["n"], 500, "{names:?}");
    assert_eq!(names.rows.iter().filter(|r| r["oldcomm"] == "odd").map(|r| whole(r, "n")).sum::<u64>(), 499);
    assert_eq!(output.table("odd").total("n"), 500);
    program.quit();
    other.quit();
}

/// What the kernel or a tracepoint lacks is told, with what was near.
#[test]
fn what_is_not_there_is_told() {
    let run = |script: &str| Profinfer::run(["check", "-e", script]);
    run("on tracepoint(\"sched:sched_swich\") < count() >").failed(1, &["PI0225", "sched:sched_switch"]);
    run("on tracepoint(\"sched\") < count() >").failed(1, &["PI0225", "no category and name"]);
    run("on tracepoint(\"sched:sched_switch\") < count() by nextpid >").failed(1, &["PI0202", "next_pid"]);
    run("on profile(99) < count() >").failed(1, &["PI0225", "profile(99hz)"]);
    run("on page_faul < count() >").failed(1, &["PI0201", "page_fault"]);
}

/// Nothing is left behind, whatever way a run ends.
#[test]
fn nothing_is_left_behind() {
    let lab = Lab::new();
    let mut program = Program::start(&busy(&lab), &["wait"]);
    let script =
        "on off_cpu < count() by reason >\non page_fault < count() >\non profile(99hz) < count() by stack(user) >";
    let running = Profinfer::attach(program.pid(), script);
    program.go(5);
    let names = || -> Vec<String> {
        let text = std::process::Command::new("bpftool").args(["prog", "list"]).output().or_fail("bpftool");
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        text.lines().filter(|l| l.contains("name pi_") && l.contains("off_c")).map(str::to_owned).collect()
    };
    assert!(!names().is_empty(), "the programs are there");
    drop(running.kill());
    wait_until("the programs are gone", Duration::from_secs(5), || names().is_empty());
    program.go(5);
    program.quit();
}
