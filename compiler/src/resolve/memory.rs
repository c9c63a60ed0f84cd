//! Parts of what lies in memory: fields of structs, elements of arrays.

use profinfer_lang::ast::{self, ExprKind};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use super::{Resolved, Resolver, Scope};
use crate::faults::{HelpNear, mismatch};
use crate::typed::{Kind, Place, Typed};
use crate::types::{Mem, Type};

impl Resolver<'_> {
    pub(super) fn member(&self, base: &ast::Expr, member: &ast::Ident, span: Span, scope: Scope<'_>) -> Resolved {
        if let (ExprKind::Name(name), Some(point)) = (&base.kind, scope.point) {
            let is_local = scope.locals.iter().any(|(n, _)| n == name)
                || self.has_field(point, name)
                || (scope.inside && self.argument(point, name, span).is_some());
            if !is_local {
                let target = match name.as_str() {
                    "self" => Some(point),
                    _ => self.catalogue.point(name),
                };
                if let Some(target) = target {
                    if target != point && !self.catalogue.points[point].within.contains(&target) {
                        return Err(Diagnostic::error(
                            "PI0212",
                            format!("`{}` is never inside a `{name}`", self.catalogue.points[point].name),
                        )
                        .at(base.span, "does not enclose this point"));
                    }
                    return self
                        .field_or_common(target, &member.node, span)?
                        .ok_or_else(|| self.unknown_field(target, &member.node, member.span));
                }
            }
        }
        let base = self.expr(base, scope, None)?;
        match &base.ty {
            Type::Ptr(of) => {
                let described = &self.catalogue.structs[of];
                let Some(placed) = described.field(&member.node) else {
                    return Err(Diagnostic::error("PI0202", format!("`{of}` has no field `{}`", member.node))
                        .at(member.span, "unknown field")
                        .help_near(&member.node, described.names(), "see the struct in the engine description"));
                };
                let (mem, ty) = (placed.mem, placed.ty.clone());
                let place = Place { field: Some((of.clone(), member.node.clone())), offset: 0 };
                Ok(Typed::new(Kind::Load { base: Box::new(base), place, index: None, mem }, ty, span))
            }
            ty => Err(Diagnostic::error("PI0301", format!("`.{}` needs a struct, this is {ty}", member.node))
                .at(base.span, "not a struct")
                .help("only a field that points to a struct has parts: src0.name, src0.type")),
        }
    }

    pub(super) fn index(&self, base: &ast::Expr, index: &ast::Expr, span: Span, scope: Scope<'_>) -> Resolved {
        let base = self.expr(base, scope, None)?;
        let index = self.expr(index, scope, None)?;
        if index.ty != Type::Int {
            return Err(mismatch(&index, &Type::Int));
        }
        let (elem, mem, len) = match &base.ty {
            Type::Array(elem, mem, len) => ((**elem).clone(), *mem, Some(*len)),
            Type::NumPtr(mem) => (Type::Int, *mem, None),
            Type::PtrPtr => (Type::Address, Mem::WORD, None),
            ty => {
                return Err(Diagnostic::error("PI0301", format!("an index needs an array, this is {ty}"))
                    .at(base.span, "not an array")
                    .help("only an array has elements: ne[0]"));
            }
        };
        if let (Kind::Int(i), Some(len)) = (&index.kind, len)
            && !(0..len as i64).contains(i)
        {
            return Err(Diagnostic::error("PI0314", format!("the index is {i}, the array has {len} elements"))
                .at(index.span, format!("0 to {}", len.saturating_sub(1))));
        }
        let name = format!("{base}[{index}]");
        // An array inside a struct is the struct's memory; a pointer is followed.
        let (pointer, place) = match (len, base.kind) {
            (Some(_), Kind::Load { base, place, index: None, .. }) => (base, place),
            (_, kind) => (Box::new(Typed::new(kind, base.ty.clone(), base.span)), Place::default()),
        };
        let kind = match index.kind {
            Kind::Int(i) => {
                let Some(offset) = i.checked_mul(i64::from(mem.size)).and_then(|n| n.checked_add(place.offset)) else {
                    return Err(Diagnostic::error("PI0314", "the index is out of reach").at(index.span, "past 64 bits"));
                };
                Kind::Load { base: pointer, place: Place { offset, ..place }, index: None, mem: Some(mem) }
            }
            _ if len.is_some() => {
                return Err(Diagnostic::error("PI0314", "an array's index is a number here")
                    .at(index.span, "not a constant")
                    .help("write the number: ne[0]"));
            }
            _ => {
                Kind::Load { base: pointer, place, index: Some((Box::new(index), u32::from(mem.size))), mem: Some(mem) }
            }
        };
        Ok(Typed::new(kind, elem, span).named(name))
    }
}
