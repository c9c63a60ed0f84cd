//! `profinfer explain PI0102`: the page of a diagnostic.

use profinfer_compiler::resolve::near;
use profinfer_lang::codes;

use super::{exit, fail, say};

/// Prints the page of a code; the exit code.
pub(super) fn run(code: &str) -> u8 {
    let wanted = code.to_uppercase();
    match codes::ALL.iter().find(|c| c.code == wanted) {
        Some(c) => say::out(&format!("{}\n", c.page.trim_end())).err().unwrap_or(0),
        None => {
            let hint = near(&wanted, codes::ALL.iter().map(|c| c.code)).map(|c| format!(" (did you mean {c}?)"));
            fail(exit::USAGE, format!("no diagnostic has the code {code}{}", hint.unwrap_or_default()))
        }
    }
}
