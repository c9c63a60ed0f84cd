//! How many CPUs there are and could be.

use std::{fs, io, path::Path};

use super::error::KernelError;

/// CPUs that could ever be online: a value of a per-CPU map has one copy for each.
///
/// # Errors
/// [`KernelError::File`] where sysfs cannot be read.
pub fn possible_cpus() -> Result<usize, KernelError> {
    Ok(list(Path::new("/sys/devices/system/cpu/possible"))?.len())
}

/// The numbers of the CPUs that are online, ascending.
///
/// # Errors
/// [`KernelError::File`] where sysfs cannot be read.
pub fn online_cpus() -> Result<Vec<i32>, KernelError> {
    list(Path::new("/sys/devices/system/cpu/online"))
}

/// Reads a list such as `0-3,8`; there is always at least one CPU in it.
fn list(path: &Path) -> Result<Vec<i32>, KernelError> {
    let text = fs::read_to_string(path).map_err(|source| KernelError::File { path: path.into(), source })?;
    parse(text.trim()).filter(|cpus| !cpus.is_empty()).ok_or_else(|| KernelError::File {
        path: path.into(),
        source: io::Error::new(io::ErrorKind::InvalidData, "not a list of CPUs"),
    })
}

/// `0-3,8` to numbers.
fn parse(text: &str) -> Option<Vec<i32>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<i32>().ok()?..=last.parse::<i32>().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_of_ranges_and_single_cpus() {
        assert_eq!(parse("0"), Some(vec![0]));
        assert_eq!(parse("0-2,8,10-11"), Some(vec![0, 1, 2, 8, 10, 11]));
        assert_eq!(parse(""), None);
        assert_eq!(parse("0-x"), None);
    }
}
