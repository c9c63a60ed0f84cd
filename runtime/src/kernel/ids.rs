//! Ids of all BPF objects that the kernel holds, whoever made them: what `profinfer doctor` and the tests count.

use super::{
    error::{Action, KernelError},
    sys::{self, ObjectKind},
};

/// Ids of all maps, ascending.
///
/// # Errors
/// [`KernelError::Denied`] without `CAP_SYS_ADMIN`.
pub fn maps() -> Result<Vec<u32>, KernelError> {
    all(ObjectKind::Map, "maps")
}

/// Ids of all loaded programs, ascending.
///
/// # Errors
/// [`KernelError::Denied`] without `CAP_SYS_ADMIN`.
pub fn programs() -> Result<Vec<u32>, KernelError> {
    all(ObjectKind::Program, "programs")
}

/// Ids of all links, ascending.
///
/// # Errors
/// [`KernelError::Denied`] without `CAP_SYS_ADMIN`.
pub fn links() -> Result<Vec<u32>, KernelError> {
    all(ObjectKind::Link, "links")
}

fn all(kind: ObjectKind, subject: &str) -> Result<Vec<u32>, KernelError> {
    let mut ids = Vec::new();
    let mut last = 0;
    while let Some(id) = sys::next_id(kind, last).map_err(|source| KernelError::new(Action::List, subject, source))? {
        ids.push(id);
        last = id;
    }
    Ok(ids)
}
