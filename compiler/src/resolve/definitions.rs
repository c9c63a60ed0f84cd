//! Definitions, which are put in the places of their names: fields of points, and how much may come of it.

use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use super::{Resolved, Resolver, Scope};
use crate::faults::{consequence, mismatch, told_at};
use crate::typed::{PointId, Typed};
use crate::types::Type;

/// How deep expressions may nest once definitions are put in their places.
const MAX_DEPTH: usize = 128;

/// How much may be copied while definitions are put in their places, in nodes of expressions.
const MAX_COPIED: usize = 200_000;

impl Resolver<'_> {
    /// The value of a point's field, down to the point's arguments.
    pub fn field(&self, point: PointId, name: &str, span: Span) -> Resolved {
        if let Some(known) = self.fields.borrow().get(&(point, name.to_owned())) {
            return self.copy(known, span).map(|copy| copy.at(span));
        }
        if !self.has_field(point, name) {
            return Err(self.unknown_field(point, name, span));
        }
        let is_circular = || self.circular.borrow().contains(&self.full_name(point, name));
        if self.describing && is_circular() {
            return Err(consequence(span));
        }
        let value = self.own_field(point, name, span).map_err(|d| match self.describing {
            false => told_at(d, span, &format!("`{name}`")),
            // A circle is told where it was met, or no definition in it would be.
            true if is_circular() => d,
            true => consequence(span),
        });
        let value = value?.named(name);
        self.fields.borrow_mut().insert((point, name.to_owned()), value.clone());
        Ok(value.at(span))
    }

    /// As [`field`](Self::field), with faults at their places in the definition.
    pub(crate) fn own_field(&self, point: PointId, name: &str, span: Span) -> Resolved {
        let Some(field) = self.catalogue.points[point].fields.get(name) else {
            return Err(self.unknown_field(point, name, span));
        };
        self.define(&self.full_name(point, name), span, || {
            let value = self.expr(&field.value, Scope::definition(point), field.ty.as_ref())?;
            let Some(ty) = &field.ty else { return Ok(value) };
            match value.ty.unify(ty).or_else(|| int_as(&value.ty, ty)) {
                Some(ty) => Ok(Typed { ty, ..value }),
                None => Err(mismatch(&value, ty)),
            }
        })
    }

    /// `ggml_op.layer`
    fn full_name(&self, point: PointId, name: &str) -> String {
        format!("{}.{name}", self.catalogue.points[point].name)
    }

    /// Runs `f` for the definition called `name`, which must not need itself.
    pub(crate) fn define<T>(
        &self,
        name: &str,
        span: Span,
        f: impl FnOnce() -> Result<T, Diagnostic>,
    ) -> Result<T, Diagnostic> {
        let first = self.open.borrow().iter().position(|n| n == name);
        if let Some(first) = first {
            self.circular.borrow_mut().extend(self.open.borrow()[first..].iter().cloned());
            return Err(Diagnostic::error("PI0211", format!("the definition of `{name}` needs itself"))
                .at(span, "goes round in a circle")
                .help("definitions are put in the places of their names: they can use only what does not use them"));
        }
        self.open.borrow_mut().push(name.to_owned());
        let result = f();
        self.open.borrow_mut().pop();
        result
    }

    pub(super) fn deeper<T>(&self, span: Span, f: impl FnOnce() -> Result<T, Diagnostic>) -> Result<T, Diagnostic> {
        if self.depth.get() > MAX_DEPTH {
            return Err(too_much(span));
        }
        self.depth.set(self.depth.get() + 1);
        let result = f();
        self.depth.set(self.depth.get() - 1);
        result
    }

    /// What a name stands for, to be put at its place; there is a limit to how much that may come to.
    pub(super) fn copy(&self, value: &Typed, span: Span) -> Resolved {
        self.spend(value.size(), span)?;
        Ok(Typed { span, ..value.clone() })
    }

    /// Counts what is copied, in nodes of expressions.
    pub(crate) fn spend(&self, nodes: usize, span: Span) -> Result<(), Diagnostic> {
        self.copied.set(self.copied.get().saturating_add(nodes));
        if self.copied.get() > MAX_COPIED { Err(too_much(span)) } else { Ok(()) }
    }
}

pub(super) fn int_as(have: &Type, want: &Type) -> Option<Type> {
    (have.is_kernel_number() && *want == Type::Int && *have == Type::Bool).then_some(Type::Int)
}

pub(crate) fn too_much(span: Span) -> Diagnostic {
    Diagnostic::error("PI0211", "too much comes of the definitions used here")
        .at(span, "nested too deep, or too long, once they are put in place")
        .help("use fewer functions and constants inside of each other")
}
