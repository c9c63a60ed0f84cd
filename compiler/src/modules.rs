//! Imports: the files that a script is made of, put together to one program.
//!
//! Texts come through a [`Loader`]; nothing is read here. A module's items get its name in front (`latency.of`), in the
//! program and wherever they are named; what comes out knows of no import.

mod load;
mod rename;

use std::collections::{HashMap, HashSet};

use profinfer_lang::ast::{Ident, Import, ImportPath, Item, ItemKind, Program};
use profinfer_lang::diagnostic::{Diagnostic, Severity};
use profinfer_lang::source::SourceMap;
use profinfer_lang::span::Span;

pub use self::load::{Distrust, LoadError, Loaded, Loader};
use self::rename::{Names, Rename};
use crate::faults::twice;
use crate::texts;

/// Files that a script may be made of.
const MAX_FILES: usize = 100;

/// A script with all that it imports, as one program.
#[derive(Debug)]
pub struct Linked {
    /// The items of modules, each before those that use it, then those of the script.
    pub program: Program,
    /// What was found of the imports.
    pub links: Links,
}

/// What was found of the imports of a script.
#[derive(Debug, Default)]
pub struct Links {
    /// Faults of imports, and findings in imported files.
    pub diagnostics: Vec<Diagnostic>,
    /// Names whose fault has been told.
    pub(crate) broken: HashSet<String>,
    /// The names given to modules, where they are given.
    pub(crate) modules: Vec<Ident>,
}

impl Links {
    /// Whether something could not be imported.
    pub fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// For a program that nothing can be imported to: its imports are faults.
    pub(crate) fn none(program: &Program) -> Links {
        let mut links = Links::default();
        for item in &program.items {
            if let ItemKind::Import(import) = &item.kind {
                let name = module_name(import).node;
                links.diagnostics.push(
                    Diagnostic::error("PI0215", format!("there is no module `{}`", written(&import.from)))
                        .at(item.span, "nothing can be imported here"),
                );
                links.broken.insert(name);
            }
        }
        links
    }
}

/// Puts a script and what it imports together. `key` is what the loader knows the script by; imported texts are added to
/// `sources`.
pub fn link(program: Program, key: &str, sources: &mut SourceMap, loader: &dyn Loader) -> Linked {
    // What stands in the texts of `print` names things, too. Faults are told when the script is compiled.
    let program = texts::expand(&program, sources, &mut Vec::new()).into_owned();
    let mut linker = Linker {
        loader,
        sources,
        links: Links::default(),
        modules: Vec::new(),
        open: vec![(key.to_owned(), String::new())],
        items: Vec::new(),
    };
    let Program { doc, edition, items } = program;
    let _names = linker.file(items, key, "");
    let Linker { items, links, .. } = linker;
    Linked { program: Program { doc, edition, items }, links }
}

/// A file that has been imported.
struct Module {
    /// What the loader knows it by.
    key: String,
    /// Its names; none if it has faults, which have been told.
    names: Option<Names>,
}

struct Linker<'l> {
    loader: &'l dyn Loader,
    sources: &'l mut SourceMap,
    links: Links,
    modules: Vec<Module>,
    /// The files that are being read, the script first: each imports the next. With the names they are known by.
    open: Vec<(String, String)>,
    /// Items of files that are done.
    items: Vec<Item>,
}

impl Linker<'_> {
    /// Adds the items of a file, and before them those of its imports. `prefix` is its name with a dot behind it, of a script
    /// nothing.
    fn file(&mut self, mut items: Vec<Item>, key: &str, prefix: &str) -> Names {
        let names = Names::of(&items, prefix);
        let mut modules: HashMap<String, Option<Names>> = HashMap::new();
        for item in &items {
            let ItemKind::Import(import) = &item.kind else { continue };
            let name = module_name(import);
            if let Some(at) = names.place(&name.node) {
                self.error(twice(&name.node, name.span).note(at, "the first one"), name.node);
                continue;
            }
            if modules.contains_key(&name.node) {
                self.error(twice(&name.node, name.span).help("`as` gives a module another name"), name.node);
                continue;
            }
            let module = self.import(import, item.span, key, &format!("{prefix}{}.", name.node));
            if module.is_none() {
                self.links.broken.insert(name.node.clone());
            }
            self.links.modules.push(name.clone());
            modules.insert(name.node, module);
        }
        items.retain(|item| !matches!(item.kind, ItemKind::Import(_)));
        let mut rename = Rename { names: &names, modules: &modules, links: &mut self.links };
        items.iter_mut().for_each(|item| rename.item(item));
        self.items.extend(items);
        names
    }

    fn error(&mut self, d: Diagnostic, broken: String) {
        self.links.diagnostics.push(d);
        self.links.broken.insert(broken);
    }

    /// The names of the module that `import` at `span` asks for; none if it has a fault, which has been told.
    fn import(&mut self, import: &Import, span: Span, from: &str, prefix: &str) -> Option<Names> {
        let loaded = match self.loader.load(&import.from, from) {
            Ok(loaded) => loaded,
            Err(e) => {
                self.links.diagnostics.push(e.told(&written(&import.from), place(&import.from)));
                return None;
            }
        };
        if let Some(first) = self.open.iter().position(|(key, _)| *key == loaded.key) {
            let way: Vec<&str> = self.open[first + 1..].iter().map(|(_, name)| name.as_str()).collect();
            let way = if way.is_empty() { String::new() } else { format!(", by way of {}", way.join(", ")) };
            self.links.diagnostics.push(
                Diagnostic::error("PI0218", format!("`{}` imports itself{way}", loaded.name))
                    .at(place(&import.from), "goes round in a circle")
                    .help("put what both need into a third file"),
            );
            return None;
        }
        if let Some(known) = self.modules.iter().find(|m| m.key == loaded.key) {
            return known.names.clone();
        }
        let key = loaded.key.clone();
        let names = self.module(loaded, span, place(&import.from), prefix);
        self.modules.push(Module { key, names: names.clone() });
        names
    }

    /// Reads a module that has not been read; none if it has a fault, which has been told.
    fn module(&mut self, loaded: Loaded, import: Span, path: Span, prefix: &str) -> Option<Names> {
        let Loaded { key, name, text } = loaded;
        if self.sources.files().len() >= MAX_FILES {
            let d = LoadError::TooMany(MAX_FILES).told(&name, path);
            self.links.diagnostics.push(d);
            return None;
        }
        let file = self.sources.add(name.clone(), text);
        let parsed = profinfer_lang::parse(self.sources, file);
        let whole = parsed.is_ok();
        self.links.diagnostics.extend(parsed.diagnostics);
        let clause = parsed.program.items.iter().find(|item| matches!(item.kind, ItemKind::Clause(_)));
        if let Some(clause) = clause {
            self.links.diagnostics.push(
                Diagnostic::error("PI0217", format!("`{name}` measures something by itself: it cannot be imported"))
                    .at(clause.span, "a clause")
                    .note(import, "imported here")
                    .help("only `import param let fn agg probe struct enum point` can be shared: move them to a file of their own"),
            );
        }
        if !whole || clause.is_some() {
            return None;
        }
        self.open.push((key.clone(), name));
        let names = self.file(parsed.program.items, &key, prefix);
        self.open.pop();
        Some(names)
    }
}

/// The name under which an import's items are to be had: that behind `as`, else the last part of the path.
pub(crate) fn module_name(import: &Import) -> Ident {
    match (&import.alias, &import.from) {
        (Some(alias), _) => alias.clone(),
        (None, ImportPath::Module(path)) => {
            path.parts.last().cloned().unwrap_or_else(|| Ident::new(String::new(), path.span))
        }
        (None, ImportPath::File(file)) => {
            let name = file.node.rsplit('/').next().unwrap_or_default();
            Ident::new(name.strip_suffix(".pi").unwrap_or(name).to_owned(), file.span)
        }
    }
}

/// What an import names, as it is written.
fn written(from: &ImportPath) -> String {
    match from {
        ImportPath::File(file) => file.node.clone(),
        ImportPath::Module(path) => path.text(),
    }
}

/// Where it is written.
fn place(from: &ImportPath) -> Span {
    match from {
        ImportPath::File(file) => file.span,
        ImportPath::Module(path) => path.span,
    }
}
