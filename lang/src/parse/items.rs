//! Items: imports, parameters, definitions, and the layouts of engine descriptions.

use profinfer_grammar::Rule;

use super::build::{Builder, Node, children, documented};
use crate::ast::{
    AggDef, Engine, EnumDef, EnumVariant, FnDef, Ident, Import, ImportPath, Item, ItemKind, Let, Param, ProbeDef,
    StructDef, StructField, TypeRef,
};

impl Builder<'_> {
    /// An item with its docs.
    pub(super) fn item(&mut self, node: Node<'_>) -> Option<Item> {
        let (docs, part) = documented(node)?;
        let span = self.span(&part);
        Some(Item { docs, kind: self.item_kind(part)?, span })
    }

    fn item_kind(&mut self, node: Node<'_>) -> Option<ItemKind> {
        Some(match node.as_rule() {
            Rule::import => ItemKind::Import(self.import(node)?),
            Rule::param_def => ItemKind::Param(self.param_def(node)?),
            Rule::let_def => ItemKind::Let(self.let_def(node)?),
            Rule::fn_def => ItemKind::Fn(self.fn_def(node)?),
            Rule::agg_def => ItemKind::Agg(self.agg_def(node)?),
            Rule::probe_def => ItemKind::Probe(self.probe_def(node)?),
            Rule::clause => ItemKind::Clause(self.clause(node)?),
            Rule::engine => ItemKind::Engine(self.engine(node)?),
            Rule::struct_def => ItemKind::Struct(self.struct_def(node)?),
            Rule::enum_def => ItemKind::Enum(self.enum_def(node)?),
            Rule::point_def => ItemKind::Point(self.point_def(node)?),
            _ => return None,
        })
    }

    fn import(&mut self, node: Node<'_>) -> Option<Import> {
        let mut parts = children(node);
        let from = parts.next()?;
        let from = match from.as_rule() {
            Rule::string => ImportPath::File(self.string(&from)),
            _ => ImportPath::Module(self.path(from)),
        };
        Some(Import { from, alias: parts.next().map(|n| self.ident(&n)) })
    }

    fn param_def(&mut self, node: Node<'_>) -> Option<Param> {
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let ty = self.type_ref(parts.next()?)?;
        let default = parts.next().and_then(|n| self.expr(n));
        Some(Param { name, ty, default })
    }

    /// `let NAME (: TYPE)? = EXPR`
    pub(super) fn let_def(&mut self, node: Node<'_>) -> Option<Let> {
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let next = parts.next()?;
        if next.as_rule() == Rule::type_ref {
            let ty = self.type_ref(next)?;
            return Some(Let { name, ty: Some(ty), value: self.expr(parts.next()?)? });
        }
        Some(Let { name, ty: None, value: self.expr(next)? })
    }

    fn fn_def(&mut self, node: Node<'_>) -> Option<FnDef> {
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let params = self.names(parts.next()?);
        Some(FnDef { name, params, body: self.expr(parts.next()?)? })
    }

    fn agg_def(&mut self, node: Node<'_>) -> Option<AggDef> {
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let params = self.names(parts.next()?);
        Some(AggDef { name, params, columns: self.columns(parts.next()?)? })
    }

    fn probe_def(&mut self, node: Node<'_>) -> Option<ProbeDef> {
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let ats = self.ats(parts.next()?)?;
        let mut probe = ProbeDef { name, ats, filter: None, lets: Vec::new() };
        for part in parts {
            match part.as_rule() {
                Rule::filter => probe.filter = Some(self.expr(children(part).next()?)?),
                Rule::field_let => {
                    let field = children(part).find(|n| n.as_rule() == Rule::let_def)?;
                    probe.lets.push(self.let_def(field)?);
                }
                _ => return None,
            }
        }
        Some(probe)
    }

    /// All names directly within a pair.
    pub(super) fn names(&self, node: Node<'_>) -> Vec<Ident> {
        children(node).map(|n| self.ident(&n)).collect()
    }

    fn engine(&mut self, node: Node<'_>) -> Option<Engine> {
        let mut parts = children(node);
        let name = self.ident(&parts.next()?);
        let description = self.string(&parts.next()?);
        let condition = self.expr(children(parts.next()?).next()?)?;
        Some(Engine { name, description, condition })
    }

    fn struct_def(&mut self, node: Node<'_>) -> Option<StructDef> {
        let mut parts = children(node);
        let mut def = StructDef { name: self.ident(&parts.next()?), size: None, condition: None, fields: Vec::new() };
        for part in parts {
            match part.as_rule() {
                Rule::integer => def.size = self.integer(part),
                Rule::filter => def.condition = self.expr(children(part).next()?),
                Rule::struct_field => {
                    let mut field = children(part).filter(|n| n.as_rule() != Rule::doc);
                    def.fields.push(StructField {
                        name: self.ident(&field.next()?),
                        ty: self.type_ref(field.next()?)?,
                        offset: self.integer(field.next()?)?,
                    });
                }
                _ => return None,
            }
        }
        Some(def)
    }

    fn enum_def(&mut self, node: Node<'_>) -> Option<EnumDef> {
        let mut parts = children(node);
        let mut def = EnumDef { name: self.ident(&parts.next()?), table: None, variants: Vec::new() };
        for part in parts {
            match part.as_rule() {
                Rule::enum_table => def.table = Some(self.string(&children(part).next()?)),
                Rule::variant => {
                    let mut words = children(part).filter(|n| n.as_rule() != Rule::doc);
                    let name = self.ident(&words.next()?);
                    let value = words.next().and_then(|n| self.variant_number(n));
                    def.variants.push(EnumVariant { name, value });
                }
                _ => return None,
            }
        }
        Some(def)
    }

    fn variant_number(&mut self, node: Node<'_>) -> Option<i64> {
        let span = self.span(&node);
        let mut parts = children(node);
        let first = parts.next()?;
        let negative = first.as_rule() == Rule::minus;
        let number = self.integer(if negative { parts.next()? } else { first })?.node;
        let value = i64::try_from(number).ok().map(|n| if negative { -n } else { n });
        if value.is_none() {
            self.diagnostics.push(super::numbers::out_of_range(span));
        }
        value
    }

    /// A type as written, also a lone word in the place of one.
    pub(super) fn type_ref(&mut self, node: Node<'_>) -> Option<TypeRef> {
        let span = self.span(&node);
        let mut parts = children(node);
        let head = parts.next()?;
        let (name, of) = if head.as_rule() == Rule::type_of {
            let mut words = children(head);
            (self.ident(&words.next()?), Some(self.ident(&words.next()?)))
        } else {
            (self.ident(&head), None)
        };
        let len = match parts.next() {
            Some(n) => Some(self.integer(n)?.node),
            None => None,
        };
        Some(TypeRef { name, of, len, span })
    }
}
