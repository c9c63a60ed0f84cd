//! `profinfer doctor`.
use super::args::DoctorArgs;
pub(super) fn run(_args: &DoctorArgs) -> u8 {
    0
}
