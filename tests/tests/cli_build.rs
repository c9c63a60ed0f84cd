//! `profinfer build`: object files that other tools read, and that a loader of others loads into the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::profinfer::{Profinfer, stock};

/// Tables that are cleared (a map of maps), fine histograms, streamed tables, long names that begin alike.
const SCRIPT: &str = "
    on ggml_op < n = count(), quantile(dur, 0.5) by op into a_long_name_of_a_table; n = count() by layer
      into a_long_name_of_another >
    on ggml_op < distinct(nth) by op into streamed >
    every 1s < show a_long_name_of_a_table; clear a_long_name_of_a_table >
    end < show a_long_name_of_a_table; show a_long_name_of_another; show streamed >
";

/// Programs pinned in a file system of the kernel's, gone again in the end.
struct Pins(PathBuf);

impl Pins {
    #[track_caller]
    fn load(object: &Path, name: &str) -> Pins {
        let pins = Pins(Path::new("/sys/fs/bpf").join(format!("profinfer-test-{}-{name}", std::process::id())));
        // bpftool mounts it if it is not mounted.
        let output = bpftool().args(["prog", "loadall"]).arg(object).arg(&pins.0).output().or_fail("bpftool");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        pins
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.0).or_fail("pins").count()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn bpftool() -> Command {
    let usual = Path::new("/usr/sbin/bpftool");
    Command::new(if usual.exists() { usual } else { Path::new("bpftool") })
}

/// How many programs `plan` says there are.
#[track_caller]
fn planned(arguments: &[&str]) -> usize {
    let plan = Profinfer::run([&["plan", "-v"], arguments].concat());
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
    plan.stdout.lines().filter(|l| l.starts_with("; ") && l.ends_with(" instructions")).count()
}

#[track_caller]
fn built(folder: &Path, arguments: &[&str]) -> PathBuf {
    let file = folder.join("x.bpf.o");
    let output = Profinfer::run([&["build", "-o", &*file.to_string_lossy()], arguments].concat());
    assert_eq!((output.code, &*output.stdout), (Some(0), ""), "{}", output.stderr);
    let left: Vec<_> = fs::read_dir(folder).or_fail("the folder").map(|e| e.or_fail("an entry").file_name()).collect();
    assert_eq!(left, ["x.bpf.o"], "nothing is left beside it");
    file
}

/// Every kind of event of the kernel.
const KERNEL: &str = "on profile(99hz) < count() by stack(user) >\n\
                      on tracepoint(\"sched:sched_switch\") < count() by next_comm, next_pid >\n\
                      on page_fault < count() by file, tensor >\n\
                      on off_cpu < sum(queue) by reason, op >\n\
                      on disk_read < sum(bytes) by op >";

#[test]
fn a_loader_of_others_loads_what_is_built() {
    let folder = tempfile::tempdir().or_fail("a folder");
    let scripts = ["ops.pi", "threads.pi", "paging.pi", "moe_routing.pi", "tokens.pi"].map(stock);
    let scripts = scripts.iter().map(|path| vec![path.to_string_lossy().into_owned()]);
    for (n, script) in scripts.chain([SCRIPT, KERNEL].map(|text| vec!["-e".to_owned(), text.to_owned()])).enumerate() {
        let script: Vec<&str> = script.iter().map(String::as_str).collect();
        let file = built(folder.path(), &script);
        let pins = Pins::load(&file, &n.to_string());
        assert!(pins.count() >= 3);
        assert_eq!(pins.count(), planned(&script), "programs of {script:?}");
        let skeleton = bpftool().args(["gen", "skeleton"]).arg(&file).output().or_fail("bpftool");
        assert!(skeleton.status.success(), "{}", String::from_utf8_lossy(&skeleton.stderr));
        let skeleton = String::from_utf8_lossy(&skeleton.stdout).into_owned();
        assert!(skeleton.contains("pi_counters") && skeleton.contains("pi_threads"), "{skeleton}");
    }
}

#[test]
fn it_is_for_the_engine_of_a_process() {
    let lab = Lab::new();
    let engine = lab.engine(Kind::Xllamacpp);
    let folder = tempfile::tempdir().or_fail("a folder");
    let script = ["-e", "on llama_decode < count() > on ggml_op(MUL_MAT) < count() >"];
    let pid = engine.pid().to_string();
    let own = fs::read(built(folder.path(), &[&script[..], &["--pid", &pid]].concat())).or_fail("the file");
    let pins = Pins::load(&folder.path().join("x.bpf.o"), "engine");
    assert!(pins.count() >= 3);
    let stdout = Command::new(profinfer_tests::profinfer::binary())
        .args(["build", "-o", "-", "--pid", &pid])
        .args(script)
        .output()
        .or_fail("profinfer");
    assert!(stdout.status.success() && stdout.stdout == own, "the same on stdout");
}

#[test]
fn what_cannot_be_built_or_written_is_told() {
    let folder = tempfile::tempdir().or_fail("a folder");
    let file = folder.path().join("x.o");
    let path = file.to_string_lossy();
    let script = ["-e", "on ggml_op < count() >"];
    let build = |arguments: &[&str]| Profinfer::run([&["build"], arguments].concat());
    build(&script).failed(2, &["--output"]);
    build(&["-o", &path, "-e", "on ggml_opp < count() >"]).failed(1, &["PI0201"]);
    build(&[&script[..], &["-o", &path, "--pid", "4194999"]].concat()).failed(3, &["4194999"]);
    build(&[&script[..], &["-o", &format!("{path}/x.o")]].concat()).failed(6, &["x.o"]);
    build(&[&script[..], &["-o", &folder.path().to_string_lossy()]].concat()).failed(6, &["a folder"]);
    assert_eq!(fs::read_dir(folder.path()).or_fail("the folder").count(), 0, "nothing is left behind");
}
