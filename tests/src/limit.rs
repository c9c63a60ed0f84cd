//! A group of processes whose memory is limited by the kernel, of either kind of cgroup.

use std::fs;
use std::path::{Path, PathBuf};

use crate::OrFail;

/// Memory for processes; taken away when dropped, and what is still in it goes back to where this process is.
#[derive(Debug)]
pub struct MemoryLimit {
    folder: PathBuf,
    back: PathBuf,
}

impl MemoryLimit {
    /// A group with so many bytes.
    ///
    /// # Panics
    /// If this machine has no memory controller that can be used.
    #[track_caller]
    pub fn new(bytes: u64) -> MemoryLimit {
        let own = fs::read_to_string("/proc/self/cgroup").or_fail("/proc/self/cgroup");
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let path_of =
            |mark: &str| own.lines().find_map(|l| l.split_once(mark)).map(|(_, path)| path.trim_start_matches('/'));
        let (root, back, file) = if v1.exists() {
            (v1.to_owned(), v1.join(path_of(":memory:").unwrap_or_default()), "memory.limit_in_bytes")
        } else {
            let root = PathBuf::from("/sys/fs/cgroup");
            let back = root.join(path_of("0::").unwrap_or_default());
            // Already the case on most systems; where it is not, the write below tells.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            (root, back, "memory.max")
        };
        let folder = root.join(format!("profinfer-test-{}", std::process::id()));
        fs::create_dir(&folder).or_fail(folder.display());
        let limit = MemoryLimit { folder, back };
        let path = limit.folder.join(file);
        fs::write(&path, bytes.to_string()).or_fail(path.display());
        limit
    }

    /// Puts a process under the limit. Memory that it has already stays with the group that it comes from.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn take(&self, pid: u32) {
        let path = self.folder.join("cgroup.procs");
        fs::write(&path, pid.to_string()).or_fail(path.display());
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        let left = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in left.lines() {
            let _ = fs::write(self.back.join("cgroup.procs"), pid);
        }
        // Processes that have just ended may hold it for a moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
