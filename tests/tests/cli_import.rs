//! Imports as a user meets them: where files are found, what is refused, what is said of what is wrong in them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use profinfer_tests::OrFail;
use profinfer_tests::profinfer::binary;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with files; each lies where its name says.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().or_fail("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().or_fail(name)).or_fail(name);
        std::fs::write(&path, text).or_fail(name);
    }
    folder
}

/// Runs profinfer with a home of its own and `PROFINFER_PATH` as given, in that folder.
fn run(folder: &Path, path: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1");
    command.env("HOME", folder.join("home")).env("PROFINFER_PATH", path).env_remove("XDG_DATA_HOME");
    command.output().or_fail(format_args!("{command:?}"))
}

/// The code, file and line of each fault.
fn faults(output: &Output) -> Vec<(String, String, u64)> {
    let text = String::from_utf8_lossy(&output.stdout);
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).or_fail(line));
    let fault = |r: Value| {
        let text = |name: &str| r[name].as_str().unwrap_or_default().to_owned();
        (text("code"), text("file"), r["line"].as_u64().unwrap_or_default())
    };
    records.map(fault).collect()
}

#[track_caller]
fn fine(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

const LIB: &str = "/// How long.\nparam over: duration = 1ms\nlet twice = 2 * $over\nagg n(x) = count(), sum(x)\n";
const SCRIPT: &str = "import \"./lib.pi\"\non ggml_op where (dur > lib.twice) < lib.n(dur) by op >\n";

#[test]
fn a_file_beside_the_script_is_imported_from_any_folder() {
    let folder = folder(&[("scripts/script.pi", SCRIPT), ("scripts/lib.pi", LIB)]);
    fine(&run(folder.path(), "", &["check", "scripts/script.pi"]));
    fine(&run(&folder.path().join("scripts"), "", &["check", "script.pi", "-P", "lib.over=3ms"]));
    fine(&run(&folder.path().join("scripts"), "", &["check", "-e", SCRIPT]));
    assert_eq!(run(folder.path(), "", &["check", "-e", SCRIPT]).status.code(), Some(1));
    let help = run(folder.path(), "", &["scripts/script.pi", "--help"]);
    fine(&help);
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(text.contains("lib.over: duration") && text.contains("How long."), "{text}");
}

#[test]
fn shared_modules_are_searched_in_order() {
    let twice = |n: u32| format!("let lines = {n}\n");
    let (first, second, home) = (twice(1), twice(2), twice(3));
    let folder = folder(&[
        ("first/team/lib.pi", &first),
        ("second/team/lib.pi", &second),
        ("second/only.pi", &second),
        ("home/.local/share/profinfer/lib/team/lib.pi", &home),
    ]);
    let root = folder.path();
    let script = "import team.lib\non ggml_op where (nth = lib.lines) < count() >";
    let path = format!("{0}/first:{0}/second", root.display());
    let plan = |path: &str| {
        let output = run(root, path, &["plan", "-e", script]);
        fine(&output);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(plan(&path).contains("p.nth = 1"));
    assert!(plan(&format!("{}/second", root.display())).contains("p.nth = 2"));
    assert!(plan("").contains("p.nth = 3"));
    // A relative folder would be another one in another place.
    assert!(plan("first").contains("p.nth = 3"));
    fine(&run(root, &path, &["check", "-e", "import \"only.pi\"\non ggml_op where (nth = only.lines) < count() >"]));

    let missing = run(root, &path, &["check", "-e", "import team.gone\non ggml_op < count() >"]);
    let said = String::from_utf8_lossy(&missing.stderr);
    for place in ["first/team/gone.pi", "second/team/gone.pi", "home/.local/share/profinfer/lib/team/gone.pi"] {
        assert!(said.contains("PI0215") && said.contains(place), "no {place} in:\n{said}");
    }
}

#[test]
fn faults_in_an_imported_file_are_told_with_its_name() {
    let folder = folder(&[
        ("script.pi", "import \"./lib/broken.pi\"\non ggml_op < count(), sum(op) >\n"),
        ("lib/broken.pi", "let fine = 3\nlet a = 3ms + 1\n"),
        ("clause.pi", "import \"./lib/on.pi\"\non ggml_op < count() >\n"),
        ("lib/on.pi", "let fine = 3\n\non ggml_op < count() >\n"),
    ]);
    let check = |script| {
        let output = run(folder.path(), "", &["check", "--json", script]);
        assert_eq!(output.status.code(), Some(1));
        faults(&output)
    };
    let fault = |code: &str, file: &str, line| (code.to_owned(), file.to_owned(), line);
    assert_eq!(check("script.pi"), [fault("PI0307", "script.pi", 2), fault("PI0302", "lib/broken.pi", 2)]);
    assert_eq!(check("clause.pi"), [fault("PI0217", "lib/on.pi", 3)]);
}

#[test]
fn what_everybody_may_write_is_not_imported() {
    let folder = folder(&[("script.pi", SCRIPT), ("lib.pi", LIB)]);
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).or_fail("chmod");
    let lib = folder.path().join("lib.pi");
    for (path, open, closed) in [(lib.as_path(), 0o666, 0o644), (folder.path(), 0o777, 0o755)] {
        mode(path, open);
        let output = run(folder.path(), "", &["check", "script.pi"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("PI0219") && said.contains(&path.display().to_string()), "{said}");
        assert_eq!(said.matches("error[").count(), 1, "nothing that follows from it is told:\n{said}");
        mode(path, closed);
        fine(&run(folder.path(), "", &["check", "script.pi"]));
    }
}

#[test]
fn files_that_import_each_other_are_told() {
    let folder = folder(&[
        ("script.pi", "import \"./a.pi\"\non ggml_op < count() >\n"),
        ("a.pi", "import \"./b.pi\"\n"),
        ("b.pi", "import \"./deep/../a.pi\"\n"),
        ("deep/c.pi", ""),
    ]);
    let output = run(folder.path(), "", &["check", "--json", "script.pi"]);
    assert_eq!(faults(&output), [("PI0218".to_owned(), "b.pi".to_owned(), 1)]);
}
