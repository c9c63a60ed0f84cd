//! The independent witness: the kernel's own uprobe events, counted one by one out of a trace buffer. Slow and plain,
//! and it shares no line of code with profinfer.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use object::{Object, ObjectSection, ObjectSymbol};
use tempfile::TempDir;

use crate::OrFail;
use crate::system::mapped_code;

/// A function to watch.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Prefix of the symbol's name, unique among the target's libraries; a whole name is its own prefix.
    pub symbol: &'static str,
    /// Fields to record, in the syntax of `uprobe_events`: `ith=+0(%di):s32 op=+80(%si):u32`.
    pub fetch: &'static str,
    /// Which hits to record, in the syntax of an event's `filter`: `ith == 0`.
    pub filter: Option<&'static str>,
}

/// One recorded hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Index into the probes given.
    pub probe: usize,
    /// The thread.
    pub tid: u32,
    /// When, in µs.
    pub at_us: u64,
    /// Its fields, as printed.
    pub fields: BTreeMap<String, String>,
}

/// Probes in place; taken away when dropped.
#[derive(Debug)]
pub struct Watch {
    tracefs: PathBuf,
    group: String,
    events: Vec<String>,
    instance: PathBuf,
    mounted: bool,
    _links: TempDir,
}

impl Watch {
    /// Places probes in the libraries that `pid` has mapped, recording this process and its future threads only.
    ///
    /// # Panics
    /// If the kernel refuses, or a symbol is in none of the libraries.
    #[track_caller]
    pub fn new(pid: u32, probes: &[Probe]) -> Watch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let links = TempDir::new().or_fail("a temporary folder");
        let (tracefs, mounted) = tracefs(links.path());
        let group = format!("pft_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let instance = tracefs.join("instances").join(&group);
        fs::create_dir(&instance).or_fail(instance.display());
        let mut watch = Watch { tracefs, group, events: Vec::new(), instance, mounted, _links: links };
        let libraries = mapped_code(pid);
        for (i, probe) in probes.iter().enumerate() {
            watch.place(i, probe, &libraries);
        }
        watch.set("buffer_size_kb", "32768");
        watch.set("trace_clock", "mono");
        watch.set("options/event-fork", "1");
        let threads = fs::read_dir(format!("/proc/{pid}/task")).or_fail(format_args!("threads of {pid}"));
        let threads: Vec<String> = threads.flatten().map(|t| t.file_name().to_string_lossy().into_owned()).collect();
        watch.set("set_event_pid", &threads.join(" "));
        for (event, probe) in watch.events.iter().zip(probes) {
            let folder = format!("events/{}/{event}", watch.group);
            if let Some(filter) = probe.filter {
                watch.set(&format!("{folder}/filter"), filter);
            }
            watch.set(&format!("{folder}/enable"), "1");
        }
        watch
    }

    /// All hits so far, oldest first.
    ///
    /// # Panics
    /// If the kernel lost any.
    #[track_caller]
    pub fn hits(&self) -> Vec<Hit> {
        self.set("tracing_on", "0");
        let cpus = fs::read_dir(self.instance.join("per_cpu")).or_fail("per_cpu");
        for cpu in cpus.flatten() {
            let stats = fs::read_to_string(cpu.path().join("stats")).or_fail("stats of a CPU");
            for line in stats.lines().filter(|l| l.contains("overrun") || l.contains("dropped")) {
                assert!(line.ends_with(": 0"), "the trace buffer lost hits: {line}");
            }
        }
        let text = fs::read(self.instance.join("trace")).or_fail("the trace buffer");
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|l| !l.starts_with('#')).map(|line| self.parse(line)).collect()
    }

    fn place(&mut self, i: usize, probe: &Probe, libraries: &[String]) {
        let (library, offset) = libraries
            .iter()
            .find_map(|path| Some((path, file_offset(Path::new(path), probe.symbol)?)))
            .or_fail(format_args!("{} is in no library of the target: {libraries:#?}", probe.symbol));
        // `uprobe_events` splits its lines at blanks; a link without any stands in for the path.
        let link = self._links.path().join(format!("lib{i}"));
        std::os::unix::fs::symlink(library, &link).or_fail(link.display());
        let event = format!("p{i}");
        let line = format!("p:{}/{event} {}:{offset:#x} {}", self.group, link.display(), probe.fetch);
        append(&self.tracefs.join("uprobe_events"), &line);
        self.events.push(event);
    }

    fn set(&self, file: &str, value: &str) {
        let path = self.instance.join(file);
        fs::write(&path, value).or_fail(format_args!("{} = {value:?}", path.display()));
    }

    /// `  python3-6216    [001] .....  5432.123456: p0: (0x7f…) ith=0 name="Qcur-0"`
    fn parse(&self, line: &str) -> Hit {
        let parsed = (|| {
            let (head, rest) = line.split_once(" [")?;
            let tid = head.rsplit_once('-')?.1.trim().parse().ok()?;
            let (when, rest) = rest.split_once(": p")?;
            let (seconds, us) = when.rsplit_once(' ')?.1.split_once('.')?;
            let at_us = seconds.parse::<u64>().ok()? * 1_000_000 + us.parse::<u64>().ok()?;
            let (event, rest) = rest.split_once(": (")?;
            let (_, mut rest) = rest.split_once(')')?;
            let mut fields = BTreeMap::new();
            while let Some((name, value)) = rest.split_once('=') {
                let (value, after) = match value.strip_prefix('"') {
                    Some(text) => text.split_once('"')?,
                    None => value.split_once(' ').unwrap_or((value, "")),
                };
                fields.insert(name.trim().to_owned(), value.to_owned());
                rest = after;
            }
            Some(Hit { probe: event.parse().ok()?, tid, at_us, fields })
        })();
        parsed.or_fail(format_args!("a line of the trace buffer: {line:?}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for event in &self.events {
            let _ = fs::write(self.instance.join(format!("events/{}/{event}/enable", self.group)), "0");
        }
        let _ = fs::remove_dir(&self.instance);
        for event in &self.events {
            // A file of commands: it must be appended to, since opening it otherwise removes everyone's probes.
            if let Ok(mut file) = fs::OpenOptions::new().append(true).open(self.tracefs.join("uprobe_events")) {
                let _ = std::io::Write::write_all(&mut file, format!("-:{}/{event}\n", self.group).as_bytes());
            }
        }
        if self.mounted {
            let target = CString::new(self.tracefs.as_os_str().as_encoded_bytes()).unwrap_or_default();
            // SAFETY: `target` is a NUL-terminated path that lives across the call.
            unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

/// Where tracefs is, mounting it below `folder` if it is nowhere; true if it was mounted.
fn tracefs(folder: &Path) -> (PathBuf, bool) {
    for known in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        if Path::new(known).join("uprobe_events").exists() {
            return (known.into(), false);
        }
    }
    let target = folder.join("tracing");
    fs::create_dir(&target).or_fail(target.display());
    let path = CString::new(target.as_os_str().as_encoded_bytes()).or_fail("a path with NUL");
    // SAFETY: all strings are NUL-terminated and live across the call; tracefs takes no data.
    let done = unsafe { libc::mount(c"tracefs".as_ptr(), path.as_ptr(), c"tracefs".as_ptr(), 0, std::ptr::null()) };
    assert_eq!(done, 0, "tracefs cannot be mounted: {}", std::io::Error::last_os_error());
    assert!(target.join("uprobe_events").exists(), "this kernel has no uprobe events (CONFIG_UPROBE_EVENTS)");
    (target, true)
}

fn append(path: &Path, line: &str) {
    let file = fs::OpenOptions::new().append(true).open(path);
    let mut file = file.or_fail(path.display());
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).or_fail(format_args!("{line:?}"));
}

/// Whether one of the libraries that a process has mapped exports a symbol.
///
/// # Panics
/// If the process is gone.
#[track_caller]
pub fn exports(pid: u32, symbol: &str) -> bool {
    mapped_code(pid).iter().any(|path| file_offset(Path::new(path), symbol).is_some())
}

/// Offset in the file of the function whose exported name begins with `prefix`; a whole name wins.
fn file_offset(path: &Path, prefix: &str) -> Option<u64> {
    let data = fs::read(path).ok()?;
    let elf = object::File::parse(&*data).ok()?;
    let named = |whole: bool| {
        elf.dynamic_symbols().find(|s| {
            let name = s.name().unwrap_or_default();
            s.is_definition() && if whole { name == prefix } else { name.starts_with(prefix) }
        })
    };
    let symbol = named(true).or_else(|| named(false))?;
    let section = elf.section_by_index(symbol.section_index()?).ok()?;
    Some(section.file_range()?.0 + (symbol.address() - section.address()))
}
