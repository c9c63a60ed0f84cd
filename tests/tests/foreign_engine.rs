//! An engine for another kind of machine, as an emulator maps it: it is told, and not measured.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use profinfer_tests::cache::Cache;
use profinfer_tests::profinfer::Profinfer;

const MAP: &str = "
import mmap, sys
file = open(sys.argv[1], 'rb')
memory = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
print('ready', flush=True)
sys.stdin.read()
";

mod engine_xllamacpp {
    use super::*;

    #[test]
    fn for_another_machine_is_told() {
        let cache = Cache::of_tests();
        let library = cache.xllamacpp_arm64().join("xllamacpp/xllamacpp.abi3.so");
        let mut process = Command::new(cache.python())
            .args(["-c", MAP])
            .arg(&library)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "cargo xtask fetch");
        let pid = process.id().to_string();
        let script = "on ggml_op < count() >";
        for arguments in
            [&["doctor", "--pid", &pid][..], &["plan", "-e", script, "--pid", &pid], &["-e", script, "--pid", &pid]]
        {
            let run = Profinfer::run(arguments);
            let said = format!("{} {}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(run.code != Some(0), "{arguments:?}: {said}");
            let expected = "xllamacpp.abi3.so is one for aarch64 machines, and this machine is x86_64";
            assert!(said.contains(expected), "{arguments:?}: {said}");
        }
        drop(process.stdin.take());
        process.wait().unwrap();
    }
}
