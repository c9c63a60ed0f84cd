use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::{Process, executable_files};
use super::*;

fn command(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn spawn(words: &[&str]) -> Result<Held, TargetError> {
    Held::spawn(&command(words), LaunchOptions::default())
}

#[test]
fn nothing_runs_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let mut held = spawn(&["sh", "-c", &format!("echo ran > {}; exit 7", trace.display())]).unwrap();
    assert!(held.is_held() && held.try_wait().unwrap().is_none());
    let process = Process::open(held.pid()).unwrap();
    assert!(process.is_stopped());
    let mappings = process.mappings().unwrap();
    let files: Vec<_> = executable_files(&mappings).iter().map(|mapping| mapping.path.clone()).collect();
    assert_eq!(files.len(), 2, "the program and the loader, no library yet: {files:?}");
    thread::sleep(Duration::from_millis(50));
    assert!(!trace.exists());
    assert!(matches!(held.wait(), Err(TargetError::Hold { action: "wait for", .. })));

    held.release().unwrap();
    assert_eq!(held.wait().unwrap().code(), Some(7));
    assert_eq!(fs::read_to_string(trace).unwrap(), "ran\n");
    assert!(!process.is_alive());
    assert_eq!(held.try_wait().unwrap().unwrap().code(), Some(7));
    held.release().unwrap();
}

#[test]
fn it_is_released_from_another_thread() {
    let mut held = spawn(&["true"]).unwrap();
    let status = thread::spawn(move || {
        held.release().unwrap();
        held.wait().unwrap()
    });
    assert!(status.join().unwrap().success());
}

#[test]
fn dropping_it_kills_it_unless_it_was_released() {
    let held = spawn(&["sleep", "1000"]).unwrap();
    let process = Process::open(held.pid()).unwrap();
    drop(held);
    assert!(!process.is_alive());

    let mut held = spawn(&["sleep", "1000"]).unwrap();
    held.release().unwrap();
    let process = Process::open(held.pid()).unwrap();
    drop(held);
    assert!(process.is_alive());
    // SAFETY: takes integers only; the process is our child and has not been waited for.
    unsafe { libc::kill(raw(process.pid()), libc::SIGKILL) };
}

/// Set for the process that is to die with a command held.
const DIE: &str = "PROFINFER_TEST_DIE";

#[test]
fn it_does_not_outlive_us_while_it_is_held() {
    const SECONDS: u64 = 20;
    if std::env::var_os(DIE).is_some() {
        let _held = spawn(&["sleep", &SECONDS.to_string()]).unwrap();
        // SAFETY: takes integers only, and ends nothing but this process.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    let (_, this_module) = module_path!().split_once("::").unwrap();
    let this_test = format!("{this_module}::it_does_not_outlive_us_while_it_is_held");
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &this_test, "--nocapture"]).env(DIE, "1");
    let start = Instant::now();
    // The output ends when the last process that holds it is gone, the command included.
    let output = again.output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{output:?}");
    assert!(start.elapsed() < Duration::from_secs(SECONDS / 2), "the command lived on");
}

#[test]
fn killed_while_it_is_held() {
    let mut held = spawn(&["sleep", "1000"]).unwrap();
    // SAFETY: takes integers only; the process is our child and has not been waited for.
    unsafe { libc::kill(raw(held.pid()), libc::SIGKILL) };
    let process = Process::open(held.pid());
    let deadline = Instant::now() + Duration::from_secs(5);
    while process.as_ref().is_ok_and(Process::is_alive) && Instant::now() < deadline {
        thread::sleep(POLL);
    }
    assert!(matches!(held.release(), Err(TargetError::Hold { action: "release", .. })));
    assert_eq!(held.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn commands_that_cannot_be_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let missing = spawn(&["no-such-command-anywhere"]).unwrap_err();
    assert!(matches!(missing, TargetError::CommandNotFound { exit_code: 127, .. }));
    assert!(missing.to_string().contains("no-such-command-anywhere"));
    assert_eq!(missing.exit_code(), Some(127));
    assert_eq!(spawn(&["/no/such/file"]).unwrap_err().exit_code(), Some(127));
    assert_eq!(spawn(&[&file("plain", "hello", 0o644)]).unwrap_err().exit_code(), Some(126));
    let no_interpreter = spawn(&[&file("script", "#!/no/such/interpreter\n", 0o755)]).unwrap_err();
    assert!(matches!(no_interpreter, TargetError::CommandNotExecutable { exit_code: 126, .. }), "{no_interpreter}");
    assert!(matches!(spawn(&[]), Err(TargetError::NoCommand)));
}

#[test]
fn output_can_be_sent_to_standard_error() {
    let options = LaunchOptions { stdout_to_stderr: true, ..LaunchOptions::default() };
    let same_file = "[ /proc/$$/fd/1 -ef /proc/$$/fd/2 ]";
    let mut held = Held::spawn(&command(&["bash", "-c", same_file]), options).unwrap();
    held.release().unwrap();
    assert!(held.wait().unwrap().success());
}

#[test]
fn a_stopped_process_is_resumed() {
    let mut held = spawn(&["sh", "-c", "kill -STOP $$; exit 3"]).unwrap();
    assert!(!wait_stopped(held.pid(), Duration::from_millis(20)), "held is not stopped by a signal");
    held.release().unwrap();
    assert!(wait_stopped(held.pid(), Duration::from_secs(5)));
    assert!(Process::open(held.pid()).unwrap().is_stopped());
    assert!(held.try_wait().unwrap().is_none(), "a stop is not taken for the end");
    resume(held.pid()).unwrap();
    assert_eq!(held.wait().unwrap().code(), Some(3));
    assert!(!wait_stopped(held.pid(), Duration::from_secs(5)), "gone: told at once");
    assert!(matches!(resume(held.pid()), Err(TargetError::NoSuchProcess { .. })));
}
