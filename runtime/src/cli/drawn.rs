//! Formats that draw one kind of record, and scripts without it.

use profinfer_compiler::plan::{Each, Plan};

use super::args::Format;

/// A format that has nothing to draw.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format {format} draws graphs, and the script has no `node()`: try profinfer dag.pi")]
pub(super) struct NothingToDraw {
    format: &'static str,
}

/// Whether a script has what a format draws.
pub(super) fn has_what_it_draws(format: Format, plan: &Plan) -> Result<(), NothingToDraw> {
    let has_nodes = plan.tables.iter().any(|t| matches!(t.each, Some(Each::Node(_))));
    match format {
        Format::Svg | Format::Dot if !has_nodes => Err(NothingToDraw { format: format.name() }),
        _ => Ok(()),
    }
}
