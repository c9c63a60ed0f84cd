//! Bounds that the kernel sets on names and logs.

/// Largest verifier log that is asked for, in bytes.
pub const MAX_LOG_BYTES: usize = 16 << 20;

/// Bytes of a name in the kernel, with the NUL.
pub(super) const NAME_BYTES: usize = 16;

/// `name` as the kernel keeps it: at most 15 bytes, anything but letters, digits, `_` and `.` replaced by `_`.
#[must_use]
pub fn kernel_name(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' };
    name.chars().take(NAME_BYTES - 1).map(keep).collect()
}
