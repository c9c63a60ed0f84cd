//! Starts that are not needed where a point only encloses others.
//!
//! A graph begins at the scheduler's function and, on the CPU, once more at the CPU's own. The first is followed to behind its
//! calls, which is two traps a graph. A script on operators alone needs to know nothing but that they are in a graph: for that
//! the second is enough.

use profinfer_lang::ast::Edge;

use crate::plan::Point;

/// Takes optional starts that are followed to behind their calls, and those stops, out of points of which nothing is asked but
/// that they enclose others.
pub(crate) fn leave_out(points: &mut [Point]) {
    for id in 0..points.len() {
        let gathered = points.iter().any(|p| p.accums.iter().any(|accum| accum.of == id));
        let p = &mut points[id];
        let only_encloses = !p.wanted && p.captures.is_empty() && p.accums.is_empty() && p.series.is_empty();
        if !p.used || !only_encloses || gathered || p.starts.iter().all(|start| start.optional) {
            continue;
        }
        let followed: Vec<_> = p.stops.iter().filter(|s| s.at == Edge::Behind).map(|s| s.symbols.clone()).collect();
        p.starts.retain(|start| !start.optional || !followed.contains(&start.symbols));
        p.stops.retain(|stop| stop.at != Edge::Behind || p.starts.iter().any(|start| start.symbols == stop.symbols));
    }
}
