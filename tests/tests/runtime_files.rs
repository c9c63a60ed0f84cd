//! The files behind `to`: written whole, below the output folder only, replaced by `every`, owned by who called `sudo`.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use profinfer_tests::OrFail;
use profinfer_tests::engine::Kind;
use profinfer_tests::lab::Lab;
use profinfer_tests::on_each_engine;
use profinfer_tests::profinfer::{Output, Profinfer, binary};
use profinfer_tests::system::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
/// No engine, no events: what is written is a table without rows.
const NOTHING: [&str; 2] = ["--", "true"];

/// An output folder in a folder with a file that nothing may touch.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().or_fail("a temporary folder");
        fs::create_dir(folder.path().join("out")).or_fail("the output folder");
        fs::write(folder.path().join("secret.csv"), "untouched").or_fail("a file beside it");
        Place { folder }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// What is in the output folder, by name.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.out()).or_fail("the output folder");
        let mut names: Vec<String> =
            entries.map(|e| e.or_fail("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn run(&self, script: &str) -> Output {
        let out = self.out().display().to_string();
        Profinfer::run(["-e", script, "--format", "json", "--output-dir", &out].into_iter().chain(NOTHING))
    }

    #[track_caller]
    fn untouched(&self) {
        let text = fs::read_to_string(self.folder.path().join("secret.csv")).or_fail("the file beside it");
        assert_eq!(text, "untouched");
    }
}

fn to(file: &str) -> String {
    format!("on ggml_op < count() by layer, op into t > end < show t to {file:?} >")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).or_fail(path.display())
}

#[test]
fn the_name_tells_the_format() {
    let place = Place::new();
    fs::create_dir(place.out().join("run")).or_fail("a folder in it");
    for (file, begin) in [
        ("t.html", "<!doctype html>"),
        ("t.csv", "table,at_ns,layer,op,count()\n"),
        ("t.txt", "t  at "),
        ("run/t.json", "{\"type\":\"table\",\"v\":1,\"name\":\"t\""),
    ] {
        let report = place.run(&to(file));
        report.succeeded();
        let text = read(&place.out().join(file));
        assert!(text.starts_with(begin), "{file}:\n{text}");
        assert!(report.stderr.contains(&format!("profinfer: t is in {file}\n")), "{}", report.stderr);
        assert!(report.records.iter().all(|r| r["type"] != "table"), "not shown as well:\n{}", report.stdout);
    }
    assert_eq!(place.names(), ["run", "t.csv", "t.html", "t.txt"], "and nothing beside them");
}

#[test]
fn without_an_output_folder_it_is_the_current_one() {
    let place = Place::new();
    let mut profinfer = Command::new(binary());
    profinfer.args(["-e", &to("here.csv")]).args(NOTHING).current_dir(place.out()).stdin(Stdio::null());
    let output = profinfer.output().or_fail(format_args!("{profinfer:?}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(place.names(), ["here.csv"]);
}

#[test]
fn a_script_that_leaves_the_output_folder_is_not_run() {
    let place = Place::new();
    for file in ["../secret.csv", "/tmp/profinfer-attack.csv", "run/../../secret.csv"] {
        place.run(&to(file)).failed(1, &["PI0327", "leaves the output folder", "--output-dir"]);
    }
    place.untouched();
    assert!(!Path::new("/tmp/profinfer-attack.csv").exists());
}

#[test]
fn links_are_neither_followed_nor_replaced() {
    let place = Place::new();
    symlink("../secret.csv", place.out().join("file.csv")).or_fail("a link");
    symlink("..", place.out().join("up")).or_fail("a link");
    let before = place.names();
    for (file, words) in [
        ("file.csv", ["out/file.csv: there is a symbolic link of that name", "remove it"]),
        ("up/secret.csv", ["out/up/secret.csv: a folder on the way there is a symbolic link", "not followed"]),
    ] {
        place.run(&to(file)).failed(6, &words);
        place.untouched();
        assert_eq!(place.names(), before);
    }
}

#[test]
fn what_cannot_be_written_is_told_with_its_cure() {
    let place = Place::new();
    fs::create_dir(place.out().join("t.csv")).or_fail("a folder");
    place.run(&to("t.csv")).failed(6, &["out/t.csv: there is a folder of that name", "name another file"]);
    place.run(&to("none/t.csv")).failed(6, &["there is no folder", "out/none; make it first"]);
    let missing = place.folder.path().join("missing").display().to_string();
    let report = Profinfer::run(["-e", &to("t.csv"), "--output-dir", &missing].into_iter().chain(NOTHING));
    report.failed(2, &[&missing, "as the output folder", "--output-dir"]);
    // A script without files needs no folder.
    let script = "on ggml_op < count() by op >";
    Profinfer::run(["-e", script, "--format", "json", "--output-dir", &missing].into_iter().chain(NOTHING)).succeeded();
}

#[test]
fn a_file_belongs_to_who_called_sudo() {
    let place = Place::new();
    let mut profinfer = Command::new(binary());
    profinfer.args(["-e", &to("t.csv"), "--output-dir"]).arg(place.out()).args(NOTHING);
    // `true` is run as that user too.
    profinfer.env("SUDO_UID", "4711").env("SUDO_GID", "4712").env("SUDO_USER", "bob").stdin(Stdio::null());
    let output = profinfer.output().or_fail(format_args!("{profinfer:?}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let meta = fs::metadata(place.out().join("t.csv")).or_fail("the file");
    assert_eq!((meta.uid(), meta.gid()), (4711, 4712));
}

/// While it is read all the time: whoever opens it sees a whole page, whichever it is.
fn a_file_is_replaced_whole(kind: Kind) {
    let lab = Lab::new();
    let mut engine = lab.engine(kind);
    let place = Place::new();
    let script = "on ggml_op < count() by layer, op into t >
        every 20ms < show t as heatmap to \"t.html\" >
        end < show t as heatmap to \"t.html\"; show t to \"t.csv\"; show t >";
    let running = Profinfer::attach_with(engine.pid(), script, &["--output-dir", &place.out().display().to_string()]);
    let page = place.out().join("t.html");
    wait_until("the first page", PATIENCE, || page.exists());
    let (mut seen, mut times) = (0, HashSet::new());
    let reader = {
        let page = page.clone();
        let (send, stop) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            while stop.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let text = read(&page);
                assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"), "half a page:\n{text}");
                times.insert(text.lines().find(|l| l.starts_with("<h1>")).or_fail("a heading").to_owned());
                seen += 1;
            }
            (seen, times)
        });
        (send, thread)
    };
    // Long enough for many pages.
    engine.generate(64);
    drop(reader.0);
    let (seen, times) = reader.1.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
    assert!(seen > 10 && times.len() > 2, "{seen} reads of {} pages", times.len());
    let report = running.interrupt();
    report.succeeded();
    let table = report.table("t");
    let csv = read(&place.out().join("t.csv"));
    assert_eq!(csv.lines().count(), table.rows.len() + 1, "a line for each row of the same table:\n{csv}");
    let html = read(&page);
    assert_eq!(html.matches("<td style=\"background:#").count(), table.rows.len(), "a coloured cell for each row");
    assert!(html.contains("title=\"layer 3, op MUL_MAT: count() "), "{html}");
    let written: Vec<_> = report.records.iter().filter(|r| r["kind"] == "written").collect();
    assert_eq!(written.len(), 2, "each file is told of once: {written:?}");
    assert_eq!(place.names(), ["t.csv", "t.html"], "and no temporary file is left");
}

on_each_engine!(a_file_is_replaced_whole);
