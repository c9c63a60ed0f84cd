//! The fields of the tracepoints that a script names, as tracefs lists them.

use std::borrow::Cow;

use profinfer_compiler::catalogue::{Catalogue, Format, TraceField, TraceKind};
use profinfer_compiler::kernel::tracepoints;
use profinfer_compiler::resolve::near;
use profinfer_compiler::types::Mem;
use profinfer_lang::ast::Program;

use crate::kernel::{KernelError, Tracefs};

/// Names that are compared with one that is not there: a kernel has some two thousand.
const MOST_NAMES: usize = 20_000;

/// A description with the tracepoints that a script names.
pub(crate) fn with_formats<'c>(catalogue: &'c Catalogue, program: &Program) -> Cow<'c, Catalogue> {
    let wanted = tracepoints(program);
    let mut catalogue = Cow::Borrowed(catalogue);
    if !wanted.is_empty() {
        let tracefs = Tracefs::open().map_err(|e| e.to_string());
        for name in wanted {
            let format = match &tracefs {
                Ok(tracefs) => format_of(tracefs, &name),
                Err(why) => Format::Unreadable(why.clone()),
            };
            catalogue.to_mut().tracepoints.insert(name, format);
        }
    }
    catalogue
}

fn format_of(tracefs: &Tracefs, full: &str) -> Format {
    let Some((category, name)) = full.split_once(':') else { return Format::Missing(Vec::new()) };
    match tracefs.tracepoint_format(category, name) {
        Ok(text) => Format::Fields(text.lines().filter_map(field).collect()),
        Err(KernelError::Tracepoint { .. }) => {
            let names = tracefs.names().unwrap_or_default();
            let names = names.iter().take(MOST_NAMES).map(String::as_str);
            Format::Missing(near(full, names).map(str::to_owned).into_iter().collect())
        }
        Err(why) => Format::Unreadable(why.to_string()),
    }
}

/// A field of a tracepoint's own, if it is one that can be had: `field:pid_t next_pid; offset:56; size:4; signed:1;`.
fn field(line: &str) -> Option<TraceField> {
    let (declared, rest) = line.trim().strip_prefix("field:")?.split_once(';')?;
    let value = |key: &str| -> Option<u16> {
        let text = rest.split(';').find_map(|part| part.trim().strip_prefix(key))?;
        text.parse().ok()
    };
    let (offset, size, signed) = (value("offset:")?, value("size:")?, value("signed:")? != 0);
    let word = declared.trim().rsplit(' ').next()?;
    let (name, is_array) = match word.split_once('[') {
        Some((name, _)) => (name, true),
        None => (word, false),
    };
    // The first eight bytes are the kernel's own.
    if name.starts_with("common_") || offset < 8 || name.is_empty() {
        return None;
    }
    let is_text = declared.split([' ', '[']).any(|word| word == "char");
    let kind = match (is_array, size) {
        _ if declared.starts_with("__data_loc") => match is_text {
            true => TraceKind::Behind,
            false => return None,
        },
        _ if declared.starts_with("__rel_loc") => return None,
        (true, size) if is_text => TraceKind::Text(size),
        (false, 1 | 2 | 4 | 8) => TraceKind::Number(Mem { size: size as u8, signed }),
        _ => return None,
    };
    Some(TraceField { name: name.trim_start_matches('*').to_owned(), offset, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_out_of_formats() {
        let number = |size, signed| TraceKind::Number(Mem { size, signed });
        for (line, expected) in [
            ("\tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;", Some(("next_pid", 56, number(4, true)))),
            ("\tfield:sector_t sector;\toffset:16;\tsize:8;\tsigned:0;", Some(("sector", 16, number(8, false)))),
            ("\tfield:char rwbs[10];\toffset:28;\tsize:10;\tsigned:0;", Some(("rwbs", 28, TraceKind::Text(10)))),
            ("\tfield:__data_loc char[] name;\toffset:8;\tsize:4;\tsigned:0;", Some(("name", 8, TraceKind::Behind))),
            (
                "\tfield:const char * filename;\toffset:16;\tsize:8;\tsigned:0;",
                Some(("filename", 16, number(8, false))),
            ),
            ("\tfield:unsigned long args[6];\toffset:16;\tsize:48;\tsigned:0;", None),
            ("\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;", None),
            ("\tfield:int x;\toffset:99999;\tsize:4;\tsigned:1;", None),
            ("print fmt: \"x\"", None),
            ("\tfield:;", None),
        ] {
            let found = field(line);
            let found = found.as_ref().map(|f| (f.name.as_str(), f.offset, f.kind));
            assert_eq!(found, expected, "{line}");
        }
    }
}
