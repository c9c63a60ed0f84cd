//! All diagnostic codes. `PI00` is text and limits, `PI01` syntax, `PI02` names and imports, `PI03` types and units, `PI04`
//! what parses and is not supported yet, `PI05` the target.

/// A diagnostic code and its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `PI0102`
    pub code: &'static str,
    /// One line on what it means; the page's heading.
    pub title: &'static str,
    /// The page, in Markdown.
    pub page: &'static str,
}

/// The code named `code`, in capitals or not.
pub fn find(code: &str) -> Option<&'static Code> {
    ALL.iter().find(|c| c.code.eq_ignore_ascii_case(code))
}

/// A new code is one line here and one file in `lang/errors/`.
macro_rules! codes {
    ($($code:ident $title:literal,)*) => {
        /// Every code, in order.
        pub const ALL: &[Code] = &[$(Code {
            code: stringify!($code),
            title: $title,
            page: include_str!(concat!("../errors/", stringify!($code), ".md")),
        }),*];
    };
}

codes! {
    PI0001 "the file is too large",
    PI0002 "unexpected character",
    PI0003 "nested too deep",
    PI0004 "a string is not closed on its line",
    PI0005 "a comment is not closed",
    PI0006 "unknown escape in a string",
    PI0007 "unknown unit",
    PI0008 "the number is out of range",
    PI0009 "not a number",
    PI0101 "unknown item",
    PI0102 "a `where` condition must be in parentheses",
    PI0103 "a clause has no body",
    PI0104 "nothing stands where a group must",
    PI0105 "the body is not closed",
    PI0106 "a condition outside of parentheses",
    PI0107 "an operator of another language",
    PI0108 "a name must be in quotes",
    PI0109 "a word of the language is used as a name",
    PI0110 "`?` is misplaced",
    PI0111 "something is missing behind a word",
    PI0112 "a duration is missing",
    PI0113 "something is said twice",
    PI0114 "something is in the wrong place",
    PI0115 "a bracket is not closed",
    PI0116 "a bracket closes nothing",
    PI0117 "something else was expected",
    PI0118 "a condition in the parentheses of a point",
    PI0119 "a doc comment that documents nothing",
    PI0120 "the syntax of another language",
    PI0121 "the condition goes on behind its parentheses",
    PI0122 "unknown option of `show`",
    PI0123 "unknown statement in a point",
    PI0124 "the edition",
    PI0125 "a field has no offset",
    PI0126 "not a value",
    PI0127 "a parameter has no type",
    PI0128 "a unit stands apart from its number",
    PI0129 "something is missing between two values",
    PI0201 "no such point",
    PI0202 "no such field",
    PI0203 "no such parameter",
    PI0204 "no such table",
    PI0205 "a name is given twice",
    PI0206 "no such function",
    PI0207 "no such word in the enum",
    PI0208 "a parameter's value does not fit",
    PI0209 "the script has no such parameter",
    PI0210 "a description of an engine or a type is wrong",
    PI0211 "a definition needs itself, or too much comes of it",
    PI0212 "the point is never inside of that one",
    PI0213 "not known yet",
    PI0214 "the script measures nothing",
    PI0215 "no such module",
    PI0216 "the module has no such name",
    PI0217 "a file that measures cannot be imported",
    PI0218 "a file imports itself",
    PI0219 "a file that is not to be trusted",
    PI0220 "a module cannot be read",
    PI0221 "a bundle where one column is needed",
    PI0222 "an engine belongs into a file of its own",
    PI0223 "not a function, or not an argument of one",
    PI0224 "reading memory as a script says needs --unsafe",
    PI0225 "not a point of the kernel",
    PI0226 "the fields of a tracepoint cannot be looked up",
    PI0301 "a value of another kind is needed",
    PI0302 "units do not go together",
    PI0303 "an aggregation among the keys",
    PI0304 "an aggregation inside of a value",
    PI0305 "comparisons do not chain",
    PI0306 "a function is given other arguments",
    PI0307 "this cannot be added up",
    PI0308 "the pattern does not fit",
    PI0309 "the range is empty",
    PI0310 "two columns of one name",
    PI0311 "a column needs an aggregation",
    PI0312 "there is no event here to count",
    PI0313 "not a condition",
    PI0314 "an index that is not there",
    PI0315 "a constant cannot be computed",
    PI0316 "a condition would need a row for every event",
    PI0317 "the kernel cannot compute this",
    PI0318 "the point has no event for this word",
    PI0319 "a table's limit is out of range",
    PI0320 "the time is too short",
    PI0321 "no such view",
    PI0322 "the table has no such column",
    PI0323 "a setting is out of range",
    PI0324 "the keys are too large",
    PI0325 "fields of different moments",
    PI0326 "groups that do not go together",
    PI0327 "not a file to write to",
    PI0328 "a table that the view cannot draw",
    PI0329 "a text with braces cannot be read",
    PI0330 "what stands for each event is no part of a table",
    PI0340 "a slice of what has no duration",
}
