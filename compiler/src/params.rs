//! Parameters of a script: declared with a type and a default, set with `-P name=value`.

use profinfer_lang::ast::{self, ExprKind, ItemKind};
use profinfer_lang::diagnostic::Diagnostic;

use crate::catalogue::Catalogue;
use crate::faults::{HelpNear, twice};
use crate::resolve::{Resolver, Scope};
use crate::typed::{Kind, Typed};
use crate::types::Type;

/// The words for types of parameters, beside those of enums.
const TYPES: &[&str] = &["int", "duration", "bytes", "string", "bool", "ratio"];

/// A declared parameter, for `--help`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name without `$`.
    pub name: String,
    /// Its type's word: `duration`, of an enum its name.
    pub ty: String,
    /// Its default as text; none if it must be given.
    pub default: Option<String>,
    /// Its `///` lines joined.
    pub help: String,
}

/// The parameters that a script declares.
pub fn declared(program: &ast::Program, text_of: &dyn Fn(&ast::Expr) -> String) -> Vec<Declared> {
    program
        .items
        .iter()
        .filter_map(|item| match &item.kind {
            ItemKind::Param(p) => Some(Declared {
                name: p.name.node.clone(),
                ty: p
                    .ty
                    .of
                    .as_ref()
                    .map_or_else(|| p.ty.name.node.clone(), |of| format!("{}({})", p.ty.name.node, of.node)),
                default: p.default.as_ref().map(text_of),
                help: item.docs.join(" "),
            }),
            _ => None,
        })
        .collect()
}

/// Gives every declared parameter its value; settings that fit none are errors.
pub(crate) fn declare(
    program: &ast::Program,
    settings: &[(String, String)],
    resolver: &mut Resolver<'_>,
    errors: &mut Vec<Diagnostic>,
) {
    for item in &program.items {
        let ItemKind::Param(p) = &item.kind else { continue };
        match value_of(p, settings, resolver) {
            Ok(value) => {
                if resolver.params.insert(p.name.node.clone(), value).is_some() {
                    errors.push(twice(&format!("${}", p.name.node), p.name.span));
                }
            }
            Err(d) => {
                resolver.broken.insert(format!("${}", p.name.node));
                errors.push(d);
            }
        }
    }
    for (name, _) in settings {
        let is_declared =
            program.items.iter().any(|item| matches!(&item.kind, ItemKind::Param(p) if p.name.node == *name));
        if !is_declared {
            let names: Vec<&str> = resolver.params.keys().map(String::as_str).collect();
            let all = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(" ")) };
            errors.push(Diagnostic::error("PI0209", format!("the script has no parameter `{name}`")).help_near(
                name,
                names.iter().copied(),
                &all,
            ));
        }
    }
}

fn value_of(p: &ast::Param, settings: &[(String, String)], resolver: &Resolver<'_>) -> Result<Typed, Diagnostic> {
    let ty = param_type(p, resolver.catalogue())?;
    let given = settings.iter().rev().find(|(name, _)| *name == p.name.node);
    let Some((name, text)) = given else {
        let Some(default) = &p.default else {
            return Err(Diagnostic::error("PI0208", format!("the parameter `{}` has no value", p.name.node))
                .at(p.name.span, "has no default")
                .help(format!("give it one: -P {}=…", p.name.node)));
        };
        let value = resolver.expr(default, Scope::constant(), Some(&ty))?;
        return fit(value, &ty).ok_or_else(|| {
            let d = Diagnostic::error("PI0208", format!("the default of `{}` is not {ty}", p.name.node))
                .at(default.span, format!("not {ty}"));
            value_help(d, &ty)
        });
    };
    let refused = || {
        let d = Diagnostic::error("PI0208", format!("-P {name}={text}: this is not {ty}"))
            .note(p.name.span, format!("declared here as {}", p.ty.name.node));
        value_help(d, &ty)
    };
    if matches!(ty, Type::Str(_)) {
        return Ok(Typed::new(Kind::Str(text.clone()), ty, p.name.span));
    }
    let mut value = profinfer_lang::parse_value(text).map_err(|_| refused())?;
    respan(&mut value, p.name.span);
    let value = resolver.expr(&value, Scope::constant(), Some(&ty)).map_err(|_| refused())?;
    fit(value, &ty).ok_or_else(refused)
}

/// How a value of a type is written.
fn value_help(d: Diagnostic, ty: &Type) -> Diagnostic {
    d.help(match ty {
        Type::Duration => "write a unit: 10us, 1.5ms, 2s".to_owned(),
        Type::Bytes => "write a size: 4096, 64KiB, 1MB".to_owned(),
        Type::Bool => "write true or false".to_owned(),
        Type::Str(_) => "write it in quotes: \"ffn_*\"".to_owned(),
        Type::Enum(of) => format!("`profinfer list {of}` prints its words"),
        _ => "write a number: 20, 0.5".to_owned(),
    })
}

fn param_type(p: &ast::Param, catalogue: &Catalogue) -> Result<Type, Diagnostic> {
    let word = p.ty.name.node.as_str();
    if p.ty.of.is_none() && catalogue.enums.contains_key(word) {
        return Ok(Type::Enum(word.to_owned()));
    }
    let ty = catalogue.type_of(&p.ty).ok().filter(|_| (TYPES.contains(&word) || word == "enum") && p.ty.len.is_none());
    ty.ok_or_else(|| {
        Diagnostic::error("PI0208", format!("`{word}` is no type of a parameter"))
            .at(p.ty.span, "not a type")
            .help_near(
                word,
                TYPES.iter().copied().chain(catalogue.enums.keys().map(String::as_str)),
                "types: int duration bytes string bool ratio enum(E)",
            )
    })
}

/// The value with the declared type, if it has one that fits.
fn fit(value: Typed, ty: &Type) -> Option<Typed> {
    let fits = value.ty == *ty
        || (*ty == Type::Ratio && value.ty == Type::Int)
        || (*ty == Type::Bytes && value.ty == Type::Int)
        || matches!((&value.ty, ty), (Type::Str(_), Type::Str(_)));
    fits.then(|| Typed { ty: ty.clone(), ..value })
}

/// A value from the command line has no place in the script: it takes the parameter's.
fn respan(e: &mut ast::Expr, span: profinfer_lang::span::Span) {
    e.span = span;
    match &mut e.kind {
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => respan(inner, span),
        _ => {}
    }
}
