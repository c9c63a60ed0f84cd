//! The sites of a plan in a process, as text: which instruction of which function, what a hit of it costs, and why it.

use profinfer_ebpf::SiteSpec;
use profinfer_lang::ast::Edge;

use super::look::base;
use super::page::{Page, Tone, plural};
use crate::session::sites::{Found, Target};
use crate::target::{CostClass, Site};

/// Exits of a function that are listed one by one; more are summed up.
const LISTED: usize = 3;

/// A site specification with what was found for it.
pub(super) struct SiteText {
    /// The functions, or why one cannot be probed.
    found: Result<Vec<Found>, String>,
    /// Where nothing was found: what was looked for.
    wanted: String,
    at: Edge,
    optional: bool,
    /// It is an event of the kernel.
    kernel: bool,
}

impl SiteText {
    /// Looks a site up in a target.
    pub(super) fn find(spec: &SiteSpec, target: &Target) -> SiteText {
        SiteText {
            found: target.find(spec).map_err(|e| e.to_string()),
            wanted: spec.symbols.join(" or "),
            at: spec.at,
            optional: spec.optional,
            kernel: spec.kernel,
        }
    }

    /// Whether all is well: found, or not needed.
    pub(super) fn is_fine(&self) -> bool {
        match &self.found {
            Ok(found) => self.kernel || self.optional || !found.is_empty(),
            Err(_) => false,
        }
    }

    /// Files with one of the functions.
    pub(super) fn found(&self) -> &[Found] {
        self.found.as_deref().unwrap_or_default()
    }

    /// Writes it, a function a paragraph; with `instructions` also where in it and at what cost.
    pub(super) fn write(&self, page: &mut Page, indent: usize, instructions: bool) {
        if self.kernel {
            let note = "(in every process; it leaves at once where that is another one)";
            return page.hang(indent, &[(Tone::Plain, &self.wanted), (Tone::Faint, note)]);
        }
        let found = match &self.found {
            Ok(found) => found,
            Err(why) => return page.line(indent, Tone::Bad, why),
        };
        if found.is_empty() {
            let tone = if self.optional { Tone::Faint } else { Tone::Bad };
            let what = if self.optional { "not there, and not needed" } else { "not there" };
            return page.hang(indent, &[(tone, &self.wanted), (tone, &format!("({what})"))]);
        }
        for f in found {
            let ret = self.at.of();
            let function = format!("{ret}{}", f.symbol);
            let file = format!("in {}", base(f.module.path()));
            page.hang(indent, &[(Tone::Plain, &function), (Tone::Faint, &file)]);
            if !instructions {
                continue;
            }
            if f.sites.is_empty() {
                page.line(indent + 2, Tone::Weak, "it never returns");
            }
            for site in f.sites.iter().take(LISTED) {
                self.site(page, indent + 2, site);
            }
            if let Some(rest) = f.sites.get(LISTED..).filter(|rest| !rest.is_empty()) {
                page.line(indent + 2, Tone::Faint, &format!("and {} like these", plural(rest.len(), "exit")));
            }
        }
    }

    fn site(&self, page: &mut Page, indent: usize, site: &Site) {
        // A cold part may lie before its function.
        let at = match site.at.cast_signed() {
            at if at < 0 => format!("-{:#x}", at.unsigned_abs()),
            at => format!("+{at:#x}"),
        };
        let slow = site.cost == CostClass::Step;
        let (tone, cost) = (if slow { Tone::Weak } else { Tone::Good }, site.cost.ns().1);
        let instruction = format!("`{}`:", site.instruction);
        let (cost, why) = (format!("{cost},"), site.why.as_str());
        let pieces = [(Tone::Plain, instruction.as_str()), (tone, cost.as_str()), (Tone::Faint, why)];
        page.entry(indent, indent + 9, (Tone::Plain, &at), &pieces);
    }
}
