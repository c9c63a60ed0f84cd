//! Formats that draw one kind of record, and scripts without it.

use profinfer_compiler::plan::{Each, Plan};

use super::args::Format;

/// A format that has nothing to draw.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NothingToDraw {
    #[error("the format {format} draws graphs, and the script has no `node()`: try profinfer dag.pi")]
    Graph { format: &'static str },
    #[error(
        "the format {format} shows slices and gauges, and the script has none: take timeline.pi, or add `on ggml_op < slice(op) >`"
    )]
    Timeline { format: &'static str },
}

/// Whether a script has what a format draws.
pub(super) fn has_what_it_draws(format: Format, plan: &Plan) -> Result<(), NothingToDraw> {
    let has = |is: fn(&Each) -> bool| plan.tables.iter().filter_map(|t| t.each.as_ref()).any(is);
    let name = format.name();
    match format {
        Format::Svg | Format::Dot if !has(|each| matches!(each, Each::Node(_))) => {
            Err(NothingToDraw::Graph { format: name })
        }
        Format::Perfetto | Format::Trace if !has(|each| matches!(each, Each::Slice(_) | Each::Gauge(_))) => {
            Err(NothingToDraw::Timeline { format: name })
        }
        _ => Ok(()),
    }
}
