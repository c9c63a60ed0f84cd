//! Tests on the real kernel. They need its rights and fail without them: what cannot be tried is not known to work.
//!
//! The target is this test program itself: small functions, found in its own symbol table as those of an engine are.

use std::{
    env, fs,
    hint::black_box,
    os::fd::AsRawFd as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};

use super::{AttachType, LICENSE, Map, MapSpec, ProgramSpec, ProgramType, words};

mod attach;
mod exit;
mod fallback;
mod features;
mod load;
mod maps;
mod ring;
mod storage;
mod swap;
mod toll;
mod tracepoint;

/// This program, by the name that stays right when the file is replaced.
const SELF: &str = "/proc/self/exe";
/// Set in a child that this program starts: a test that finds it set plays the child's part.
const ROLE: &str = "PROFINFER_TEST_ROLE";

/// Makes a function that tests can attach to; each has a body of its own, so that no two become one.
macro_rules! target {
    ($name:ident, $salt:literal) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(value: u64) -> u64 {
            std::hint::black_box(value ^ $salt)
        }
    };
}
use target;

/// Calls a target.
fn call(target: extern "C" fn(u64) -> u64, times: u64) {
    for n in 0..times {
        black_box(target(n));
    }
}

/// Offset of a function in the file of this program.
fn offset_of(symbol: &str) -> u64 {
    let data = fs::read(SELF).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let address = file.symbols().find(|found| found.name() == Ok(symbol)).unwrap().address();
    let segment = file.segments().find(|s| (s.address()..s.address() + s.size()).contains(&address)).unwrap();
    address - segment.address() + segment.file_range().0
}

fn own_file() -> &'static Path {
    Path::new(SELF)
}

/// A hash from cookie to count.
fn counts(name: &str) -> MapSpec {
    MapSpec::hash(name, 8, 8, 64)
}

/// Counts runs by the site's cookie.
fn count_by_cookie(counts: &Map) -> Vec<u64> {
    const MAP_UPDATE: i32 = 2;
    let [map, map_end] = words::map_fd(1, counts.fd().as_raw_fd());
    let no_exist = words::mov_imm(4, 1);
    vec![
        words::call(words::ATTACH_COOKIE),
        words::store64(10, -8, 0),
        words::mov(2, 10),
        words::add_imm(2, -8),
        map,
        map_end,
        words::call(words::MAP_LOOKUP),
        words::mov_imm(1, 1),
        // Not there: make it.
        words::jump_eq(0, 0, 3),
        words::add64(0, 0, 1),
        words::mov_imm(0, 0),
        words::exit(),
        words::store64(10, -16, 1),
        map,
        map_end,
        words::mov(2, 10),
        words::add_imm(2, -8),
        words::mov(3, 10),
        words::add_imm(3, -16),
        no_exist,
        words::call(MAP_UPDATE),
        words::mov_imm(0, 0),
        words::exit(),
    ]
}

/// A program for user code.
fn uprobe<'a>(name: &'a str, expected_attach_type: AttachType, insns: &'a [u64]) -> ProgramSpec<'a> {
    ProgramSpec { name, prog_type: ProgramType::Kprobe, expected_attach_type, insns, license: LICENSE }
}

/// The count of a cookie.
fn count_of(counts: &Map, cookie: u64) -> u64 {
    counts.lookup(&cookie.to_ne_bytes()).unwrap().map_or(0, number)
}

fn number(bytes: impl AsRef<[u8]>) -> u64 {
    u64::from_ne_bytes(bytes.as_ref()[..8].try_into().unwrap())
}

/// Starts this program again for one test, which then finds `role` in [`role`].
fn start(test: &str, role: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([&format!("kernel::tests::{test}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The part that this process has to play, if it is a child.
fn role() -> Option<String> {
    env::var(ROLE).ok()
}
