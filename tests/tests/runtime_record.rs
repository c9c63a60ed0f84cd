//! Recordings: what is made of one is what the kernel made of the same events, to the byte.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use profinfer_tests::OrFail;
use profinfer_tests::engine::{Engine, Kind, Model, Options};
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, binary, stock, whole};
use profinfer_tests::system::signal;

const TOKENS: u64 = 4;
/// Steps a micro-batch, and products of matrices among them.
const STEPS: u64 = 515;
const PRODUCTS: u64 = 211;

/// Stock scripts, each of which can be recorded.
const STOCK: [&str; 14] = [
    "ops.pi",
    "graphs.pi",
    "tokens.pi",
    "parts.pi",
    "flame.pi",
    "threads.pi",
    "kv.pi",
    "roofline.pi",
    "paging.pi",
    "offload.pi",
    "counters.pi",
    "profile.pi",
    "moe_routing.pi",
    "experts.pi",
];

/// Scripts that have everything in them that a table can be made of.
const SCRIPTS: [&str; 16] = [
    "on ggml_op < n = count(), sum(dur), hist(dur) by op >",
    "on ggml_op where (dur > 20us and not (llama_ubatch.phase = decode)) < count() by op, llama_ubatch.n_tokens >",
    "on ggml_op where (not (layer = 3) and has(src2)) <
       n = count(), avg(if(nth > 1, dur, absent)), stats(dur), distinct(ne[1]), last(dur), slope(dur, ne[0])
       by first(layer, -1), k = ne[0] * 2 - 1 >",
    "on ggml_op < hist(gap(dur)), quantile(dur, 0.5, 0.99), lhist(dur, 0us..100us, width=5us) by op, big = (ne[0] > 1024) >",
    "on ggml_op < n = count(), sum(dur), each = sum(dur) / micro by phase into a >
     on llama_ubatch < micro = count(), hist(dur) by phase into a >",
    "on ggml_op(MUL_MAT, layer = 0..3) < count() by layer, src0.type, src0.name, src1.ne[1] >
     on ggml_op(!MUL_MAT | ADD) < count() by op >",
    "on ggml_op where ((dur > 10us or ne[0] % 7 = 3) and name != \"ffn*\") <
       count(), sum(bytes), sum(flops), share(dur), r = sum(dur) / count() by op >",
    "on ggml_op < count() by dur / ne[0], pid, tid, cpu, comm into a limit 5000 >",
    "on llama_ubatch < print(\"{phase} {n_tokens} {dur} {pos} {step}\"); count() >",
    "on llama_seq < n = count(), sum(interval), max(ttft), sum(gained) by context, seq, phase >",
    "on ggml_work < count(), sum(dur), sum(busy), sum(wait), min(wait) by ith, op >",
    "on span(\"libc:malloc\", size: u64) where (size > 1000) < count(), sum(size), hist(dur), sum(self) by op, phase >",
    "on enter(\"libc:malloc\") < count() by ggml_work.op, ith >",
    "on profile(99hz) < n = count() by op, stack(user) into hot >",
    "on page_fault < n = count(), sum(major), sum(dur) by tensor, file >
     on off_cpu < n = count(), sum(queue), sum(dur) by reason, ggml_work.ith >",
    "on ggml_op < sum(task_clock), sum(page_faults), max(ctx_switches) by op >",
];

/// Records what the arguments say over one generation.
#[track_caller]
fn record(lab: &Lab, engine: &mut Engine, script: &[&str], more: &[&str], tokens: u64) -> (Output, PathBuf) {
    let file = lab.folder().join("run.pirec");
    let _none_before = fs::remove_file(&file);
    let pid = engine.pid().to_string();
    let shown = file.display().to_string();
    let folder = lab.folder().join("live");
    fs::create_dir_all(&folder).or_fail("a folder");
    let to = ["-o", &shown, "--pid", &pid, "--format", "json", "--output-dir", folder.to_str().or_fail("its name")];
    let running = Profinfer::start_attached(["record"].iter().chain(script).chain(&to).chain(more));
    engine.generate(tokens);
    (running.interrupt(), file)
}

#[track_caller]
fn replay(lab: &Lab, file: &Path, more: &[&str]) -> Output {
    let folder = lab.folder().join("again");
    fs::create_dir_all(&folder).or_fail("a folder");
    let folder = folder.display().to_string();
    let file = file.display().to_string();
    Profinfer::run(["replay", &file, "--format", "json", "--output-dir", &folder].iter().chain(more))
}

/// Tables and what was printed, as they stand there.
fn shown(output: &Output) -> Vec<&str> {
    let is_shown =
        |line: &&str| ["{\"type\":\"table\"", "{\"type\":\"print\""].iter().any(|begin| line.starts_with(begin));
    output.stdout.lines().filter(is_shown).collect()
}

/// Has the kernel fill the tables of a script, and fills them again out of what was recorded meanwhile.
#[track_caller]
fn is_the_same(lab: &Lab, engine: &mut Engine, script: &[&str]) {
    let (live, file) = record(lab, engine, script, &["--show"], TOKENS);
    assert_eq!(live.code, Some(0), "{script:?}: {}", live.stderr);
    let again = replay(lab, &file, &[]);
    assert_eq!(again.code, Some(0), "{script:?}: {}", again.stderr);
    let (live, again) = (shown(&live), shown(&again));
    assert!(!live.is_empty(), "{script:?}");
    assert_eq!(live.len(), again.len(), "{script:?}");
    for (live, again) in live.iter().zip(&again) {
        assert_eq!(live, again, "{script:?}");
    }
}

fn stock_scripts_give_the_same_tables_again(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    for name in STOCK {
        is_the_same(&lab, &mut engine, &[&stock(name).to_string_lossy()]);
    }
}

fn whatever_a_script_computes_is_the_same_again(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    for script in SCRIPTS {
        is_the_same(&lab, &mut engine, &["-e", script]);
    }
}

#[test]
fn experts_are_the_same_again() {
    let lab = Lab::new();
    let mut engine = lab.engine_with(Kind::Xllamacpp, &Options { model: Model::Moe, ..Options::default() });
    for name in ["moe_routing.pi", "experts.pi", "ops.pi"] {
        is_the_same(&lab, &mut engine, &[&stock(name).to_string_lossy()]);
    }
    for script in [
        "on moe_route < count(), avg(weight), min(weight), max(weight), share(weight), hist(weight), quantile(weight, 0.5),
           lhist(weight, 0..1, width=0.1), hist(gap(weight)) by layer, expert >",
        "on moe_route where (weight > 0.3) < count() by bucket(weight, 0.1), layer; lru(expert, layer), pinned(expert, layer) >",
        "on moe_route < print(\"{layer} {expert} {weight} {rank}\") >",
    ] {
        is_the_same(&lab, &mut engine, &["-e", script]);
    }
}

fn other_scripts_run_over_what_was_recorded(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let script = "on ggml_op < print(\"{op} {name} {layer} {llama_ubatch.phase}\") >";
    let (recorded, file) = record(&lab, &mut engine, &["-e", script], &[], TOKENS);
    assert_eq!((recorded.code, recorded.stdout.as_str()), (Some(0), ""), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("recorded "), "{}", recorded.stderr);

    let all = replay(&lab, &file, &["-e", "on ggml_op < n = count(), t = sum(dur) >"]);
    assert_eq!(whole(all.table("ggml_op").only(), "n"), TOKENS * STEPS);
    let products = "on ggml_op(op = MUL_MAT) where (phase = decode) < n = count(), t = sum(dur) by layer >";
    let products = replay(&lab, &file, &["-e", products]);
    assert_eq!(products.table("ggml_op").total("n"), (TOKENS - 1) * PRODUCTS);
    // Of each thirty layers, and the one product that is in none.
    assert_eq!(products.table("ggml_op").rows.len(), 31);

    // Intervals are those of the events, and have all of them.
    let each = "on ggml_op < n = count() into t > every 20ms < show t; clear t > end < show t >";
    let each = replay(&lab, &file, &["-e", each]);
    let tables: Vec<_> = each.records.iter().filter(|r| r["type"] == "table").collect();
    let times: Vec<u64> = tables.iter().map(|t| whole(t, "at_ns")).collect();
    assert!(times.len() > 2);
    assert!(times[..times.len() - 1].iter().enumerate().all(|(i, t)| *t == (i as u64 + 1) * 20_000_000), "{times:?}");
    let counted: u64 = each.tables("t").iter().map(|t| t.total("n")).sum();
    assert_eq!(counted, TOKENS * STEPS);

    let info = Profinfer::run(["replay", "--info", file.to_str().or_fail("its name")]);
    for line in [
        format!("point        ggml_op: {} events\n", TOKENS * STEPS),
        "  field      op: a word of ggml_op\n".to_owned(),
        "  field      llama_ubatch.phase: ".to_owned(),
        "ended        interrupt\n".to_owned(),
        format!("(pid {}", engine.pid()),
        ", build id ".to_owned(),
    ] {
        assert!(info.stdout.contains(&line), "no {line:?} in {}", info.stdout);
    }

    let lacks = replay(&lab, &file, &["-e", "on ggml_op < count() by src0.type, op >"]);
    assert_eq!(lacks.code, Some(1), "{}", lacks.stderr);
    assert!(lacks.stderr.contains("the recording lacks `src0.type` of ggml_op"), "{}", lacks.stderr);
    let other = replay(&lab, &file, &["-e", "on llama_ubatch < count() >"]);
    assert_eq!(other.code, Some(1), "{}", other.stderr);
    assert!(other.stderr.contains("no events of llama_ubatch, only those of ggml_op"), "{}", other.stderr);
}

on_each_engine! {
    stock_scripts_give_the_same_tables_again,
    whatever_a_script_computes_is_the_same_again,
    other_scripts_run_over_what_was_recorded,
}

/// Whoever kills it finds what was written until then, under a name that says so.
#[test]
fn a_recording_that_was_killed_is_replayed_as_far_as_it_goes() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let (file, pid) = (lab.folder().join("run.pirec"), engine.pid().to_string());
    let (shown, partial) = (file.display().to_string(), lab.folder().join("run.pirec.partial"));
    let script = "on ggml_op < n = count() by op >";
    let arguments = ["record", "-e", script, "-o", &shown, "--pid", &pid];
    let running = Profinfer::start_attached(arguments);
    engine.generate(TOKENS);
    // What is kept back is written at the latest after half a second.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(running.kill().code, None);
    assert!(!file.exists() && partial.exists());

    let said = replay(&lab, &file, &[]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(said.stderr.contains("run.pirec.partial, of a recording that was cut off"), "{}", said.stderr);
    let part = replay(&lab, &partial, &[]);
    assert_eq!(part.code, Some(0), "{}", part.stderr);
    assert_eq!(part.table("ggml_op").total("n"), TOKENS * STEPS);
    assert!(part.stderr.contains("it was not ended"), "{}", part.stderr);
    assert_eq!(replay(&lab, &partial, &["--strict"]).code, Some(5));

    // It is not written over.
    let again = Profinfer::run(arguments);
    assert_eq!(again.code, Some(6), "{}", again.stderr);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(replay(&lab, &partial, &[]).table("ggml_op").total("n"), TOKENS * STEPS);

    // Cut anywhere it has fewer events, never others.
    let bytes = fs::read(&partial).or_fail("the part");
    let cut = lab.folder().join("cut.pirec");
    let mut counts = Vec::new();
    for n in (0..=4).map(|i| bytes.len() * i / 4) {
        fs::write(&cut, &bytes[..n]).or_fail("a part of it");
        let part = replay(&lab, &cut, &[]);
        match part.code {
            Some(0) => counts.push(
                part.records.iter().filter(|r| r["type"] == "table").map(|_| part.table("ggml_op").total("n")).sum(),
            ),
            code => assert_eq!(code, Some(3), "{n} bytes: {}", part.stderr),
        }
    }
    assert_eq!(counts.last(), Some(&(TOKENS * STEPS)));
    assert!(counts.is_sorted(), "{counts:?}");
}

/// A file system of so many KiB, which is gone when it is dropped.
struct Small(PathBuf);

impl Small {
    fn new(folder: PathBuf, kib: u32) -> Small {
        fs::create_dir(&folder).or_fail("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(&folder);
        assert!(mount.status().or_fail("mount").success(), "{mount:?}");
        Small(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn what_cannot_be_written_is_said() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let pid = engine.pid().to_string();
    let script = "on ggml_op < print(\"{op} {name} {src0.name} {src1.name} {ne[0]} {cpu}\") >";

    // Before anything is attached to.
    let folder = lab.folder().display().to_string();
    for (to, why) in [("/no/such/folder/x.pirec", "No such file"), (&*folder, "is a folder")] {
        let failed = Profinfer::run(["record", "-e", script, "-o", to, "--pid", &pid]);
        assert_eq!(failed.code, Some(6), "{}", failed.stderr);
        assert!(failed.stderr.contains(why) && !failed.stderr.contains("attached"), "{}", failed.stderr);
    }

    // Nothing is left of what was never begun.
    let file = lab.folder().join("none.pirec").display().to_string();
    let failed = Profinfer::run(["record", "-e", "on span(\"libnone:f\") < count() >", "-o", &file, "--pid", &pid]);
    assert_eq!(failed.code, Some(3), "{}", failed.stderr);
    assert!(!Path::new(&format!("{file}.partial")).exists());

    let small = Small::new(lab.folder().join("small"), 64);
    let file = small.0.join("run.pirec");
    let running = Profinfer::start_attached(["record", "-e", script, "-o", &file.display().to_string(), "--pid", &pid]);
    engine.generate(40);
    let failed = running.interrupt();
    assert_eq!(failed.code, Some(6), "{}", failed.stderr);
    assert!(failed.stderr.contains("No space left"), "{}", failed.stderr);
    assert!(failed.stderr.contains("what was recorded until then is in"), "{}", failed.stderr);
    let partial = small.0.join("run.pirec.partial");
    let part = replay(&lab, &partial, &["-e", "on ggml_op < n = count() >"]);
    let n = whole(part.table("ggml_op").only(), "n");
    assert!(n > 100 && n < 40 * STEPS, "{n} events on 64 KiB");

    // Whoever closes a pipe has read enough.
    let piped = format!(
        "{} record -e 'on ggml_op < count() by name >' -o - --pid {pid} -d 20s | head -c 100 > /dev/null; exit ${{PIPESTATUS[0]}}",
        binary().display()
    );
    let mut shell = Command::new("bash").args(["-c", &piped]).spawn().or_fail("bash");
    std::thread::sleep(std::time::Duration::from_secs(3));
    engine.generate(40);
    assert_eq!(shell.wait().or_fail("bash").code(), Some(0));
}

/// A recording has all that its script is made of.
#[test]
fn a_replay_needs_no_file_of_the_script() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    lab.write("inner.pi", "fn half(x) = x / 2\n");
    let inner = "import \"./inner.pi\"\nparam over: duration = 1ns\nfn slow(t) = (inner.half(t) > $over)\n";
    let library = lab.write("slow.pi", inner);
    let text = "import \"./slow.pi\"\nimport std.latency\n
                on ggml_op < n = count(), latency.latency(dur) by slow = slow.slow(dur) into t >";
    let script = lab.write("x.pi", text);
    let name = script.to_str().or_fail("its name").to_owned();
    let (live, file) = record(&lab, &mut engine, &[&name, "-P", "slow.over=20us"], &["--show"], TOKENS);
    assert_eq!(live.code, Some(0), "{}", live.stderr);
    for gone in [&script, &library, &lab.folder().join("inner.pi")] {
        fs::remove_file(gone).or_fail(gone.display());
    }
    let again = replay(&lab, &file, &[]);
    assert_eq!((again.code, shown(&again)), (Some(0), shown(&live)), "{}", again.stderr);
    assert_eq!(again.table("t").rows.len(), 2, "both shorter and longer than 40 us");
    let all = replay(&lab, &file, &["-P", "slow.over=1h"]);
    assert_eq!(whole(all.table("t").only(), "n"), TOKENS * STEPS);
}

/// A pipe between the two.
#[test]
fn a_recording_goes_through_a_pipe() {
    let lab = Lab::new();
    let mut engine = lab.engine(Kind::Xllamacpp);
    let pid = engine.pid().to_string();
    let mut record = Command::new(binary());
    record.args(["record", "-e", "on ggml_op < n = count() >", "-o", "-", "--pid", &pid]);
    let mut record = record.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().or_fail("record");
    let out = record.stdout.take().or_fail("its stdout");
    let replay =
        Command::new(binary()).args(["replay", "-", "--format", "csv"]).stdin(out).stdout(Stdio::piped()).spawn();
    let replay = replay.or_fail("replay");
    let mut said = BufReader::new(record.stderr.take().or_fail("its stderr")).lines();
    assert!(said.by_ref().map_while(Result::ok).any(|line| line.contains("attached")));
    engine.generate(TOKENS);
    signal(record.id(), libc::SIGINT);
    let output = replay.wait_with_output().or_fail("replay");
    drop(said);
    assert!(record.wait().or_fail("record").success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.lines().any(|line| line.ends_with(&format!(",{}", TOKENS * STEPS))), "{text}");
}
