//! `profinfer list`.
use super::args::ListArgs;
pub(super) fn run(_args: &ListArgs) -> u8 {
    0
}
