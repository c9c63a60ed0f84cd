//! Patterns, as far as they fit what they are held against.

use profinfer_lang::ast;
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use super::{Resolver, Scope};
use crate::faults::HelpNear;
use crate::pattern::{Alt, Pattern};
use crate::typed::{Kind, Typed};
use crate::types::Type;

impl Resolver<'_> {
    /// A pattern that `value` is held against.
    pub fn pattern(&self, p: &ast::Pattern, value: &Typed, scope: Scope<'_>) -> Result<Pattern, Diagnostic> {
        let mut alts = Vec::new();
        for alt in &p.alts {
            alts.push(self.alternative(alt, value, scope)?);
        }
        Ok(Pattern { negated: p.negated, alts })
    }

    pub(super) fn alternative(
        &self,
        alt: &ast::PatternAlt,
        value: &Typed,
        scope: Scope<'_>,
    ) -> Result<Alt, Diagnostic> {
        let usage = match &value.ty {
            Type::Enum(_) => "write its words: ADD | MUL_*",
            Type::Str(_) => "write text with `*`: ffn_* | \"blk.*\"",
            Type::Int => "write a number or a range: 3, 0..15, 4..",
            Type::Duration => "write durations: 1ms..5ms, 10us..",
            Type::Bytes => "write sizes: 4KiB.., 1MB..2MB",
            Type::Bool => "write true or false",
            _ => "patterns are for numbers, texts, words and truth values; put a condition into where ( … )",
        };
        let misfit = |what: &str, span: Span| {
            Diagnostic::error("PI0308", format!("{what} does not fit {}", value.ty))
                .at(span, format!("held against {}", value.ty))
                .help(usage)
        };
        let wrong = |what: &str| Err(misfit(what, alt.span));
        let bound = |e: &ast::Expr| -> Result<i64, Diagnostic> {
            let bound = self.expr(e, Scope::constant(), None)?;
            match bound.kind {
                Kind::Int(n) if bound.ty == value.ty => Ok(n),
                _ => Err(misfit(&bound.ty.to_string(), e.span)),
            }
        };
        let numeric = matches!(value.ty, Type::Int | Type::Duration | Type::Bytes);
        let truth = |b: bool| Alt::Range(i64::from(b), i64::from(b));
        match &alt.kind {
            ast::PatternKind::Range { from, to } if numeric => {
                let lo = from.as_ref().map(bound).transpose()?.unwrap_or(i64::MIN);
                let hi = to.as_ref().map(bound).transpose()?.unwrap_or(i64::MAX);
                if lo > hi {
                    return Err(Diagnostic::error("PI0309", "the range is empty")
                        .at(alt.span, "ends before it begins")
                        .help("write the smaller bound first; both are within the range"));
                }
                Ok(Alt::Range(lo, hi))
            }
            ast::PatternKind::Range { .. } => wrong("a range"),
            ast::PatternKind::Value(e) => {
                let given = self.expr(e, scope, Some(&value.ty))?;
                match (given.kind, &value.ty) {
                    (Kind::Bool(b), Type::Bool) => Ok(truth(b)),
                    (Kind::Int(n), ty) if numeric && given.ty == *ty => Ok(Alt::Range(n, n)),
                    (Kind::Str(s), Type::Str(_) | Type::Enum(_)) => Ok(Alt::Glob(s)),
                    (Kind::Word(of, word), Type::Enum(ty)) if of == *ty => Ok(Alt::Glob(word)),
                    _ => wrong(&given.ty.to_string()),
                }
            }
            ast::PatternKind::Str(s) => match &value.ty {
                Type::Str(_) | Type::Enum(_) => Ok(Alt::Glob(s.clone())),
                _ => wrong("text"),
            },
            ast::PatternKind::Glob(g) => match &value.ty {
                Type::Bool if g == "true" || g == "false" => Ok(truth(g == "true")),
                Type::Enum(of) => {
                    let words = &self.catalogue.enums[of].words;
                    // Of an enum without words only the target knows them: the functions of a point.
                    if !words.is_empty() && !words.keys().any(|w| crate::pattern::glob(g, w)) {
                        return Err(Diagnostic::error("PI0207", format!("`{g}` matches no word of {of}"))
                            .at(alt.span, "unknown")
                            .help_near(
                                g,
                                words.keys().map(String::as_str),
                                "a name newer than profinfer is written in quotes",
                            ));
                    }
                    Ok(Alt::Glob(g.clone()))
                }
                Type::Str(_) => Ok(Alt::Glob(g.clone())),
                _ => wrong("a word"),
            },
        }
    }
}

pub(super) fn misplaced(span: Span) -> Diagnostic {
    Diagnostic::error("PI0308", "a pattern stands only on the right of `=` or `!=`")
        .at(span, "a pattern")
        .help("write (field = pattern)")
}
