//! Why a text is wrong, in the language's own words. The grammar says only where it could not go on; each function here
//! knows one mistake people make and recognises it by the tokens around that place. The first that applies is told.

mod brackets;
mod clauses;
mod expected;
mod expressions;
mod items;
mod near;
mod place;
mod words;

use super::chunks::Chunk;
use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};
use place::Place;

pub(super) use clauses::missing_duration;

/// A mistake that may have been made at a place.
type Mistake = fn(&Place<'_>) -> Option<Diagnostic>;

/// All mistakes, the more particular ones first.
const MISTAKES: [(Mistake, &str); 27] = [
    (items::doc_of_nothing, "a doc comment stops the grammar wherever it stands"),
    (items::edition_misplaced, "before unknown items: its word is one"),
    (items::unknown_item, "before all that reads the inside of an item"),
    (clauses::where_without_parentheses, "before operators: the condition is full of them"),
    (clauses::condition_goes_on, "before operators: `and` behind the parentheses"),
    (clauses::optional_misplaced, "`?` has no other use"),
    (expressions::foreign_operator, "before brackets: `<>` and `=>` hold some"),
    (clauses::empty_group, "before brackets and words: nothing stands there"),
    (clauses::duration_missing, "before missing bodies: `every <`"),
    (clauses::foreign_syntax, "before brackets: `{` as a body"),
    (clauses::word_without_object, "before keywords used as names: `by into`"),
    (clauses::said_twice, "before the order of parts"),
    (clauses::wrong_order, "before comparisons: a closed body followed by `by`"),
    (expressions::compares_in_a_point, "before comparisons elsewhere"),
    (expressions::needs_quotes, "before missing commas: `blk.0`"),
    (expressions::detached_unit, "before missing commas: `10 ms`"),
    (items::field_without_offset, "before missing commas"),
    (items::parameter_without_type, "before comparisons: its `=`"),
    (expressions::compares_outside_parentheses, "before brackets: angle brackets"),
    (words::keyword_as_name, "before what is expected in general"),
    (clauses::body_missing, "before brackets: the end of a clause"),
    (brackets::not_closed, "before bodies that are not closed"),
    (brackets::body_not_closed, "the end of a clause within its body"),
    (brackets::closes_nothing, "after the comparisons, which angle brackets may be"),
    (words::unknown_show_option, "before missing commas"),
    (items::unknown_statement, "before missing commas"),
    (words::comma_missing, "two values side by side"),
];

/// Explains why the grammar could not go on at byte `at` of `chunk`.
pub(super) fn explain(file: FileId, text: &str, chunk: &Chunk<'_>, at: usize) -> Diagnostic {
    let place = Place::new(file, text, chunk, at);
    MISTAKES.iter().find_map(|(mistake, _)| mistake(&place)).unwrap_or_else(|| expected::told(&place))
}

/// A text given as a value that is none.
pub(super) fn not_a_value(span: Span) -> Diagnostic {
    Diagnostic::error("PI0126", "not a value")
        .at(span, "expected one number, string, truth value or word")
        .help("values are written `20`, `1.5ms`, `\"text\"`, `true` or `word`; other text stands in double quotes")
}
