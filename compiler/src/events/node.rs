//! `node()`: each event is a node of a graph.

use profinfer_lang::ast::{CallArg, Expr, ExprKind, Ident};
use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use super::Known;
use crate::catalogue::{Functions, NodeDef, applied};
use crate::clauses::{Clauses, without_blanks};
use crate::plan::{Each, Node, PrintPart, Source, Under, Value};
use crate::resolve::Scope;
use crate::texts::{Part, parts};
use crate::typed::{Kind, PointId};

/// Views of views that are followed.
const VIEWS: usize = 4;

const USAGE: &str = "usage: node(), or node(\"{op} {name}\", group = layer, colour = dur, graph = phase, views = false, \
                     leaves = false, expand = \"\"), each of those with names if it is wanted";

impl Clauses<'_> {
    /// `node("{op} {name}", group = layer, colour = dur)`
    pub(super) fn node(&mut self, point: PointId, args: &[CallArg], span: Span, known: &mut Known) -> Option<Each> {
        let resolver = self.resolver;
        let info = &resolver.catalogue().points[point];
        let Some(def) = &info.node else {
            let nodes = resolver.catalogue().points.iter().filter(|p| p.node.is_some()).map(|p| p.name.as_str());
            let nodes: Vec<_> = nodes.collect();
            let d = Diagnostic::error("PI0306", format!("an event of `{}` is no node of a graph", info.name));
            self.errors.push(d.at(span, "nothing says what it computes and of what").help(match nodes.is_empty() {
                true => "a point of the engine description says it with `node (…)`".to_owned(),
                false => format!("points whose events are: {}", nodes.join(", ")),
            }));
            return None;
        };
        let given = Given { args, span };
        given.check().map_err(|d| self.errors.push(d)).ok()?;
        let views = self.flag(&given, "views")?;
        let leaves = self.flag(&given, "leaves")?;
        let expand = self.words(&given, "expand")?;
        let group = self.said(point, &given, "group", known)?;
        let colour = self.said(point, &given, "colour", known)?;
        let graph = self.said(point, &given, "graph", known)?;
        let named = |name: &str| Expr { kind: ExprKind::Name(name.to_owned()), span };
        let pid = self.value(point, "pid", &named("pid"), known)?;
        let takes_time = resolver.expr(&named("dur"), Scope::clause(point), None).is_ok();
        let dur = if takes_time { Some(self.value(point, "dur", &named("dur"), known)?) } else { None };
        let step = self.described(point, "step", &def.step, known)?;
        let result = self.known_value(point, "result", (def, &def.result), &def.result, known)?;
        let mut sources = Vec::new();
        for (i, source) in def.sources.iter().enumerate() {
            sources.push(self.source(point, &format!("src{i}"), (def, source), views, known)?);
        }
        let label = match given.label() {
            Some(label) => self.label(point, label, known)?,
            None => vec![PrintPart::Key(result.name)],
        };
        Some(Each::Node(Box::new(Node {
            pid,
            step,
            result,
            sources,
            dur,
            label,
            group,
            colour,
            graph,
            leaves,
            expand,
        })))
    }

    /// A value that an event computes something of, and what it is a view of.
    fn source(
        &mut self,
        point: PointId,
        name: &str,
        (def, source): (&NodeDef, &Expr),
        views: bool,
        known: &mut Known,
    ) -> Option<Source> {
        let Functions { root, kind, view, under, .. } = &def.of;
        let value = self.known_value(point, name, (def, source), &applied(root, source), known)?;
        let kind = self.described(point, &format!("{name}.kind"), &applied(kind, source), known)?;
        let mut levels = Vec::new();
        let mut at = source.clone();
        for level in 1..=if views { VIEWS } else { 0 } {
            let view = self.described(point, &format!("{name}.view{level}"), &applied(view, &at), known)?;
            at = applied(under, &at);
            let id = self.described(point, &format!("{name}.under{level}"), &address(&at), known)?;
            levels.push(Under { view, id });
        }
        Some(Source { value, kind, under: levels })
    }

    /// A value's number, that of its root, and the name of one of the two.
    fn known_value(
        &mut self,
        point: PointId,
        name: &str,
        (def, value): (&NodeDef, &Expr),
        called: &Expr,
        known: &mut Known,
    ) -> Option<Value> {
        let root = applied(&def.of.root, value);
        Some(Value {
            id: self.described(point, name, &address(value), known)?,
            root: self.described(point, &format!("{name}.root"), &address(&root), known)?,
            name: self.described(point, &format!("{name}.name"), &applied(&def.of.name, called), known)?,
        })
    }

    /// Has what the description says sent with the event.
    fn described(&mut self, point: PointId, name: &str, value: &Expr, known: &mut Known) -> Option<usize> {
        let typed = self.resolver.expr(value, Scope::definition(point), None);
        let typed = self.keep(typed)?;
        self.known(point, name, &typed, known)
    }

    /// Has what the script says of a node sent with the event, where it says so.
    fn said(&mut self, point: PointId, given: &Given<'_>, name: &str, known: &mut Known) -> Option<Option<usize>> {
        let Some(value) = given.get(name) else { return Some(None) };
        let written = without_blanks(self.sources.text(value.span));
        Some(Some(self.value(point, &written, value, known)?))
    }

    /// What is said once for the whole script.
    fn constant(&mut self, given: &Given<'_>, name: &str) -> Option<Option<Kind>> {
        let Some(value) = given.get(name) else { return Some(None) };
        if let Some(parts) = parts(value) {
            let text = parts.iter().map(|p| if let Part::Text(text) = p { Some(*text) } else { None });
            if let Some(text) = text.collect::<Option<String>>() {
                return Some(Some(Kind::Str(text)));
            }
        } else {
            let typed = self.resolver.expr(value, Scope::constant(), None);
            return Some(Some(self.keep(typed)?.kind));
        }
        self.errors.push(given.wrong(value.span, &format!("`{name}` is the same for all events")));
        None
    }

    fn flag(&mut self, given: &Given<'_>, name: &str) -> Option<bool> {
        match self.constant(given, name)? {
            None => Some(false),
            Some(Kind::Bool(flag)) => Some(flag),
            Some(_) => {
                self.errors.push(given.wrong(given.span_of(name), &format!("`{name}` is true or false")));
                None
            }
        }
    }

    fn words(&mut self, given: &Given<'_>, name: &str) -> Option<String> {
        let text = match self.constant(given, name)? {
            None => return Some(String::new()),
            Some(Kind::Str(text)) => text,
            Some(Kind::Int(n)) => n.to_string(),
            Some(_) => String::from("?"),
        };
        let is_number = |s: &str| s.trim().parse::<u32>().is_ok();
        let is_range = |s: &str| s.split_once("..").is_some_and(|(a, b)| is_number(a) && is_number(b));
        let fits = text.trim().is_empty()
            || ["all", "none"].contains(&text.trim())
            || text.split(',').all(|s| is_number(s) || is_range(s));
        if !fits {
            let label = "which groups are drawn each by itself: \"0, 5..7\", \"all\", or \"none\" for a box each";
            self.errors.push(given.wrong(given.span_of(name), label));
            return None;
        }
        Some(text.trim().to_owned())
    }
}

/// What a script says of nodes.
struct Given<'a> {
    args: &'a [CallArg],
    span: Span,
}

impl Given<'_> {
    fn wrong(&self, at: Span, label: &str) -> Diagnostic {
        Diagnostic::error("PI0306", "`node` is told how its nodes are drawn").at(at, label).help(USAGE)
    }

    /// Whether all arguments are known, and none is said twice.
    fn check(&self) -> Result<(), Diagnostic> {
        let known = ["group", "colour", "graph", "views", "leaves", "expand"];
        for (i, arg) in self.args.iter().enumerate() {
            let Some(name) = &arg.name else {
                match i {
                    0 if is_text(&arg.value) => continue,
                    0 => return Err(self.wrong(arg.value.span, "what stands in a node's box is a text")),
                    _ => return Err(self.wrong(arg.value.span, "what of it? write its name before it")),
                }
            };
            if !known.contains(&name.node.as_str()) {
                return Err(self.wrong(name.span, "unknown"));
            }
            if self.args[..i].iter().any(|a| a.name.as_ref().is_some_and(|n| n.node == name.node)) {
                return Err(self.wrong(name.span, "said twice"));
            }
        }
        Ok(())
    }

    /// What stands in a node's box.
    fn label(&self) -> Option<&Expr> {
        self.args.iter().find(|a| a.name.is_none()).map(|a| &a.value)
    }

    fn get(&self, name: &str) -> Option<&Expr> {
        self.args.iter().find(|a| a.name.as_ref().is_some_and(|n| n.node == name)).map(|a| &a.value)
    }

    fn span_of(&self, name: &str) -> Span {
        self.get(name).map_or(self.span, |value| value.span)
    }
}

fn address(value: &Expr) -> Expr {
    applied(&Ident::new("address".to_owned(), value.span), value)
}

/// Whether it is a text, read or not.
fn is_text(value: &Expr) -> bool {
    matches!(value.kind, ExprKind::Str(_)) || parts(value).is_some()
}
