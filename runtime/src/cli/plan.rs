//! `profinfer plan`.
use super::args::PlanArgs;
pub(super) fn run(_args: &PlanArgs) -> u8 {
    0
}
