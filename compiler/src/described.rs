//! Holds an engine description against itself: every definition in it is resolved once, so that its faults are told where
//! they stand and not where a script meets them.

use std::collections::HashSet;

use profinfer_lang::diagnostic::Diagnostic;

use crate::catalogue::{Catalogue, Point};
use crate::faults::is_consequence;
use crate::lower::Lowering;
use crate::resolve::Resolver;
use crate::typed::PointId;

/// What is wrong with the definitions of a description, in the order of their places. What only follows from a fault told
/// elsewhere is not told: neither the fields that use a wrong one, nor each use of what a struct lacks.
pub fn faults(catalogue: &Catalogue) -> Vec<Diagnostic> {
    let resolver = Resolver::describing(catalogue);
    let mut lowering = Lowering::new(&resolver);
    let mut faults = Vec::new();
    for (id, point) in catalogue.points.iter().enumerate() {
        of_point(&resolver, &mut lowering, id, point, &mut faults);
    }
    faults.retain(|d| !is_consequence(d));
    faults.sort_by_key(|d| d.labels.first().map_or(0, |l| l.span.start));
    let mut missing = HashSet::new();
    faults.retain(|d| d.code != "PI0202" || missing.insert(d.message.clone()));
    faults
}

/// As [`faults`], of a point that a script describes.
pub(crate) fn faults_of(resolver: &Resolver<'_>, id: PointId, point: &Point) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    of_point(resolver, &mut Lowering::new(resolver), id, point, &mut faults);
    faults
}

fn of_point(
    resolver: &Resolver<'_>,
    lowering: &mut Lowering<'_>,
    id: PointId,
    point: &Point,
    faults: &mut Vec<Diagnostic>,
) {
    for (name, field) in &point.fields {
        faults.extend(resolver.own_field(id, name, field.value.span).err());
    }
    if let Some(node) = &point.node {
        faults.extend(node.faults(resolver, id));
    }
    faults.extend(lowering.need(id).err());
}
