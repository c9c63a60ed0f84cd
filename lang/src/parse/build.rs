//! From the grammar's pairs to the tree: what all builders share.

use pest::iterators::{Pair, Pairs};
use profinfer_grammar::Rule;

use super::{numbers, strings};
use crate::ast::{Expr, ExprKind, Ident, ItemKind, Path, Program};
use crate::diagnostic::Diagnostic;
use crate::scan::Token;
use crate::span::{FileId, Span, Spanned};

/// A pair of the grammar.
pub(super) type Node<'i> = Pair<'i, Rule>;

/// Builds the tree of one file and keeps what was found on the way. A builder's function is `None` when the pair is not what
/// it expects, which only a grammar that was changed without it can bring about.
pub(super) struct Builder<'t> {
    /// The file.
    pub(super) file: FileId,
    /// The tokens of the file.
    tokens: &'t [Token],
    /// Where the stretch that was parsed begins in the file.
    pub(super) base: usize,
    /// What was found.
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl<'t> Builder<'t> {
    /// A builder for `file`.
    pub(super) fn new(file: FileId, tokens: &'t [Token]) -> Self {
        Self { file, tokens, base: 0, diagnostics: Vec::new() }
    }

    /// Adds the items of `program` or `items`.
    pub(super) fn program(&mut self, pairs: Pairs<'_, Rule>, program: &mut Program) {
        for node in pairs.flat_map(children) {
            match node.as_rule() {
                Rule::file_doc => program.doc.push(doc_text(node.as_str())),
                Rule::edition => program.edition = self.edition(node),
                Rule::item => {
                    let span = self.span(&node);
                    match self.item(node) {
                        Some(item) => {
                            if let ItemKind::Clause(clause) = &item.kind {
                                self.check_clause(clause);
                            }
                            program.items.push(item);
                        }
                        None => self.lost(span),
                    }
                }
                _ => {}
            }
        }
    }

    /// The expression of `expression`.
    pub(super) fn expression(&mut self, pairs: Pairs<'_, Rule>) -> Option<Expr> {
        let node = pairs.flat_map(children).next()?;
        self.expr(node)
    }

    /// The value of `value`.
    pub(super) fn value(&mut self, pairs: Pairs<'_, Rule>) -> Option<Expr> {
        let node = pairs.flat_map(children).next()?;
        if node.as_rule() == Rule::word {
            return Some(Expr { span: self.span(&node), kind: ExprKind::Name(node.as_str().to_owned()) });
        }
        self.primary(node)
    }

    /// `profinfer 1`
    fn edition(&mut self, node: Node<'_>) -> Option<Spanned<u64>> {
        let edition = self.integer(children(node).next()?)?;
        if edition.node != 1 {
            self.diagnostics.push(
                Diagnostic::error("PI0124", format!("edition {} is not known", edition.node))
                    .at(edition.span, "this profinfer reads edition 1")
                    .help("write `profinfer 1`, or use the release that knows this edition"),
            );
        }
        Some(edition)
    }

    /// Text the grammar read and no builder knows: an error, never silence.
    pub(super) fn lost(&mut self, span: Span) {
        self.diagnostics.push(Diagnostic::error("PI0117", "this could be read, but not understood").at(span, "here"));
    }

    /// The place of a pair. The grammar's pairs may hold the blanks and comments behind their last token; places do not.
    pub(super) fn span(&self, node: &Node<'_>) -> Span {
        let span = node.as_span();
        let (start, end) = (self.base + span.start(), self.base + span.end());
        let within = &self.tokens[..self.tokens.partition_point(|t| t.end <= end)];
        let last = within.iter().rev().find(|t| !t.is_comment()).filter(|t| t.end > start);
        Span::new(self.file, start, last.map_or(end, |t| t.end))
    }

    /// A word with its place.
    pub(super) fn ident(&self, node: &Node<'_>) -> Ident {
        Spanned::new(node.as_str().to_owned(), self.span(node))
    }

    /// Dotted words.
    pub(super) fn path(&self, node: Node<'_>) -> Path {
        let span = self.span(&node);
        Path { parts: children(node).map(|n| self.ident(&n)).collect(), span }
    }

    /// A string without its quotes, escapes resolved.
    pub(super) fn string(&mut self, node: &Node<'_>) -> Spanned<String> {
        let span = self.span(node);
        let text = node.as_str();
        let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
        Spanned::new(strings::unescape(inside, span, &mut self.diagnostics), span)
    }

    /// A whole number without a unit.
    pub(super) fn integer(&mut self, node: Node<'_>) -> Option<Spanned<u64>> {
        let span = self.span(&node);
        let value = numbers::integer(node.as_str());
        if value.is_none() {
            self.diagnostics.push(numbers::out_of_range(span));
        }
        // The fault is told; the tree goes on with a number that stands for it.
        Some(Spanned::new(value.unwrap_or(0), span))
    }
}

/// The parts of a pair that carry meaning: not comments, not keywords.
pub(super) fn children(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    node.into_inner().filter(|n| !is_noise(n.as_rule()))
}

/// The `///` lines of a pair, and the first part that is none.
pub(super) fn documented(node: Node<'_>) -> Option<(Vec<String>, Node<'_>)> {
    let mut docs = Vec::new();
    for part in children(node) {
        if part.as_rule() != Rule::doc {
            return Some((docs, part));
        }
        docs.push(doc_text(part.as_str()));
    }
    None
}

/// The text of `/// text` or `//! text`, without the marker and one blank.
fn doc_text(line: &str) -> String {
    let text = line.get(3..).unwrap_or("").trim_end();
    text.strip_prefix(' ').unwrap_or(text).to_owned()
}

/// Pairs that are there for a formatter only, and keywords that no builder asks for.
fn is_noise(rule: Rule) -> bool {
    use Rule as R;
    matches!(
        rule,
        R::COMMENT
            | R::EOI
            | R::bom
            | R::shebang
            | R::kw_profinfer
            | R::kw_import
            | R::kw_param
            | R::kw_let
            | R::kw_fn
            | R::kw_agg
            | R::kw_probe
            | R::kw_on
            | R::kw_every
            | R::kw_after
            | R::kw_engine
            | R::kw_struct
            | R::kw_enum
            | R::kw_point
            | R::kw_where
            | R::kw_by
            | R::kw_into
            | R::kw_limit
            | R::kw_show
            | R::kw_clear
            | R::kw_exit
            | R::kw_as
            | R::kw_top
            | R::kw_sort
            | R::kw_to
            | R::kw_or
            | R::kw_size
            | R::kw_table
            | R::kw_else
            | R::kw_start
            | R::kw_mark
            | R::kw_stop
            | R::kw_state
            | R::kw_only
            | R::kw_within
            | R::kw_lasting
            | R::kw_pattern
            | R::kw_check
            | R::kw_never
            | R::kw_silent
            | R::kw_node
            | R::kw_each
            | R::kw_parts
            | R::kw_team
            | R::kw_variant
    )
}
