//! Holds an engine description against itself: every definition in it is resolved once, so that its faults are told where
//! they stand and not where a script meets them.

use profinfer_lang::diagnostic::Diagnostic;

use crate::catalogue::Catalogue;
use crate::lower::Lowering;
use crate::resolve::Resolver;

/// What is wrong with the definitions of a description.
pub fn faults(catalogue: &Catalogue) -> Vec<Diagnostic> {
    let resolver = Resolver::new(catalogue);
    let mut lowering = Lowering::new(&resolver);
    let mut faults = Vec::new();
    for (id, point) in catalogue.points.iter().enumerate() {
        faults.extend(lowering.need(id).err());
        for (name, field) in &point.fields {
            // Told where the definition stands, which `field` knows only for what it is asked with.
            let inside = crate::resolve::Scope { point: Some(id), inside: true, locals: &[] };
            match resolver.expr(&field.value, inside, field.ty.as_ref()) {
                Ok(_) => faults.extend(resolver.field(id, name, field.value.span).err()),
                Err(d) => faults.push(d),
            }
        }
    }
    faults
}
