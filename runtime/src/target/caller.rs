//! The user who called us through `sudo`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, fs};

use super::process::field;

/// A user's rights and home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    uid: libc::uid_t,
    gid: libc::gid_t,
    groups: Vec<libc::gid_t>,
    name: Option<OsString>,
    home: Option<OsString>,
}

/// User and group of the caller, if we are root through `sudo` and they are not root themselves.
pub(crate) fn sudo_ids() -> Option<(libc::uid_t, libc::gid_t)> {
    // SAFETY: takes nothing and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
    let uid = number("SUDO_UID").filter(|uid| is_root && *uid != 0)?;
    Some((uid, number("SUDO_GID").unwrap_or(uid)))
}

impl Caller {
    /// The caller, if we are root through `sudo` and they are not root themselves.
    pub(super) fn from_sudo() -> Option<Self> {
        let (uid, gid) = sudo_ids()?;
        Some(Self::new(uid, gid, env::var_os("SUDO_USER")))
    }

    /// Groups and home are best taken from the caller's own shell, one of our ancestors: that needs no user database
    /// (which may be on the network) and is right after `newgrp` too. Without it, from `/etc`.
    fn new(uid: u32, gid: u32, name: Option<OsString>) -> Self {
        let passwd = fs::read("/etc/passwd").unwrap_or_default();
        let entry = passwd.split(|byte| *byte == b'\n').find_map(|line| {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
            (fields.get(2)? == &uid.to_string().as_bytes()).then(|| (os(fields[0]), fields.get(5).map(|home| os(home))))
        });
        let (known_name, known_home) = entry.map_or((None, None), |(name, home)| (Some(name), home));
        let name = name.or(known_name);
        let ancestor = ancestor_of_user(uid);
        let home = ancestor.as_ref().and_then(|pid| variable(*pid, b"HOME")).or(known_home);
        let groups = ancestor
            .and_then(groups_of_process)
            .unwrap_or_else(|| groups_from_file(&fs::read("/etc/group").unwrap_or_default(), gid, name.as_deref()));
        Self { uid, gid, groups, name, home }
    }

    /// Has the command run as this user.
    pub(super) fn apply_to(self, command: &mut Command) {
        for (variable, value) in [("HOME", &self.home), ("USER", &self.name), ("LOGNAME", &self.name)] {
            if let Some(value) = value {
                command.env(variable, value);
            }
        }
        let Self { uid, gid, groups, .. } = self;
        // SAFETY: between fork and exec only system calls are made, on memory that was allocated before.
        unsafe { command.pre_exec(move || become_user(uid, gid, &groups)) };
    }
}

/// Gives up root for good: groups first, the user last, since after that nothing more could be changed.
fn become_user(uid: libc::uid_t, gid: libc::gid_t, groups: &[libc::gid_t]) -> io::Result<()> {
    let check = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: the list is valid for its length.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: takes integers only.
    check(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: takes integers only.
    check(unsafe { libc::setresuid(uid, uid, uid) })
}

/// The nearest ancestor that runs as this user.
fn ancestor_of_user(uid: u32) -> Option<u32> {
    let mut pid = std::process::id();
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let real_uid: u32 = field(&status, "Uid")?.split_ascii_whitespace().next()?.parse().ok()?;
        if real_uid == uid {
            return Some(pid);
        }
        pid = field(&status, "PPid")?.parse().ok().filter(|parent| *parent > 1)?;
    }
}

fn groups_of_process(pid: u32) -> Option<Vec<libc::gid_t>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field(&status, "Groups")?.split_ascii_whitespace().map(|group| group.parse().ok()).collect()
}

fn variable(pid: u32, name: &[u8]) -> Option<OsString> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"=").map(os))
}

/// The main group and those that list the user: `name:password:gid:user,user`.
fn groups_from_file(text: &[u8], gid: libc::gid_t, user: Option<&OsStr>) -> Vec<libc::gid_t> {
    let listed = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let mut members = fields.get(3)?.split(|byte| *byte == b',');
        let user = user?.as_bytes();
        members.any(|member| member == user).then(|| std::str::from_utf8(fields[2]).ok()?.parse().ok()).flatten()
    });
    let mut groups: Vec<libc::gid_t> = std::iter::once(gid).chain(listed).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_user() {
        let text = b"root:x:0:\nvideo:x:44:ann,bob\nrender:x:107:bob\nbob:x:1000:\n";
        assert_eq!(groups_from_file(text, 1000, Some(OsStr::new("bob"))), [44, 107, 1000]);
        assert_eq!(groups_from_file(text, 5, Some(OsStr::new("bo"))), [5]);
        assert_eq!(groups_from_file(text, 5, None), [5]);
    }

    #[test]
    fn what_an_ancestor_tells() {
        // SAFETY: takes nothing and cannot fail.
        let uid = unsafe { libc::getuid() };
        let pid = ancestor_of_user(uid).unwrap();
        assert_eq!(pid, std::process::id(), "we are the nearest that runs as ourselves");
        assert!(groups_of_process(pid).is_some());
        assert_eq!(variable(pid, b"PATH"), env::var_os("PATH"));
        assert_eq!(variable(pid, b"PAT"), None);
    }

    #[test]
    fn root_is_given_up_for_good() {
        // SAFETY: takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("not tested: without root's rights there is nothing to give up");
            return;
        }
        let caller =
            Caller { uid: 4711, gid: 4712, groups: vec![44, 107], name: Some("bob".into()), home: Some("/tmp".into()) };
        let mut command = Command::new("sh");
        command
            .args(["-c", "grep -E '^(Uid|Gid|Groups|CapEff):' /proc/self/status; echo $HOME $USER"])
            .current_dir("/");
        caller.apply_to(&mut command);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let uids = ["Uid:", "4711", "4711", "4711", "4711", "Gid:", "4712", "4712", "4712", "4712"];
        let rest = ["Groups:", "44", "107", "CapEff:", "0000000000000000", "/tmp", "bob"];
        assert_eq!(words, uids.into_iter().chain(rest).collect::<Vec<_>>());
    }
}
