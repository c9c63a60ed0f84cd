//! The tree as indented text, one node a line: what golden tests compare.

use crate::ast::{
    At, AtArg, CallArg, Clause, ClauseHead, Column, Expr, ExprKind, Group, GroupKind, Ident, ImportPath, Item,
    ItemKind, Let, Number, Pattern, PatternKind, PointStmt, PointStmtKind, Program, ShowOption, TypeRef, UnaryOp, Unit,
};
use crate::span::{Span, Spanned};

/// The tree of `program`, without places.
pub fn tree(program: &Program) -> String {
    print(program, false)
}

/// The tree of `program`, each node with its byte range (`@12..20`).
pub fn tree_with_spans(program: &Program) -> String {
    print(program, true)
}

/// The text of one expression, as a list in parentheses.
pub fn expression(expr: &Expr) -> String {
    Printer { out: String::new(), depth: 0, spans: false }.expr(expr)
}

fn print(program: &Program, spans: bool) -> String {
    let mut printer = Printer { out: String::new(), depth: 0, spans };
    printer.program(program);
    printer.out
}

struct Printer {
    out: String,
    depth: usize,
    spans: bool,
}

impl Printer {
    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn spanned(&mut self, text: &str, span: Span) {
        let place = self.place(span);
        self.line(&format!("{text}{place}"));
    }

    fn place(&self, span: Span) -> String {
        if self.spans { format!("@{}..{}", span.start, span.end) } else { String::new() }
    }

    fn within(&mut self, inside: impl FnOnce(&mut Self)) {
        self.depth += 1;
        inside(self);
        self.depth -= 1;
    }

    fn docs(&mut self, docs: &[String]) {
        for doc in docs {
            self.line(&format!("doc {doc:?}"));
        }
    }

    fn program(&mut self, program: &Program) {
        self.docs(&program.doc);
        if let Some(edition) = &program.edition {
            self.spanned(&format!("edition {}", edition.node), edition.span);
        }
        for item in &program.items {
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        self.docs(&item.docs);
        match &item.kind {
            ItemKind::Import(import) => {
                let from = match &import.from {
                    ImportPath::File(file) => format!("{:?}", file.node),
                    ImportPath::Module(path) => path.text(),
                };
                let alias = import.alias.as_ref().map_or(String::new(), |a| format!(" as {}", a.node));
                self.spanned(&format!("import {from}{alias}"), item.span);
            }
            ItemKind::Param(param) => {
                let default = param.default.as_ref().map_or(String::new(), |d| format!(" = {}", self.expr(d)));
                let ty = self.ty(&param.ty);
                self.spanned(&format!("param {}: {ty}{default}", param.name.node), item.span);
            }
            ItemKind::Let(def) => self.let_def(def, item.span),
            ItemKind::Fn(def) => {
                let body = self.expr(&def.body);
                self.spanned(&format!("fn {}({}) = {body}", def.name.node, names(&def.params)), item.span);
            }
            ItemKind::Agg(def) => {
                self.spanned(&format!("agg {}({})", def.name.node, names(&def.params)), item.span);
                self.within(|p| p.columns("column", &def.columns));
            }
            ItemKind::Probe(def) => {
                self.spanned(&format!("probe {}", def.name.node), item.span);
                self.within(|p| {
                    p.ats(&def.ats, def.filter.as_ref());
                    for field in &def.lets {
                        p.let_def(field, field.name.span);
                    }
                });
            }
            ItemKind::Clause(clause) => self.clause(clause),
            ItemKind::Engine(engine) => {
                self.spanned(&format!("engine {} {:?}", engine.name.node, engine.description.node), item.span);
                self.within(|p| {
                    let condition = p.expr(&engine.condition);
                    p.line(&format!("where {condition}"));
                });
            }
            ItemKind::Struct(def) => {
                let size = def.size.as_ref().map_or(String::new(), |s| format!(" size {}", s.node));
                self.spanned(&format!("struct {}{size}", def.name.node), item.span);
                self.within(|p| {
                    if let Some(condition) = &def.condition {
                        let condition = p.expr(condition);
                        p.line(&format!("where {condition}"));
                    }
                    for field in &def.fields {
                        let ty = p.ty(&field.ty);
                        p.spanned(&format!("{}: {ty} @ {}", field.name.node, field.offset.node), field.name.span);
                    }
                });
            }
            ItemKind::Enum(def) => {
                let table = def.table.as_ref().map_or(String::new(), |t| format!(" = table {:?}", t.node));
                self.spanned(&format!("enum {}{table}", def.name.node), item.span);
                self.within(|p| {
                    for variant in &def.variants {
                        let value = variant.value.map_or(String::new(), |v| format!(" = {v}"));
                        p.spanned(&format!("{}{value}", variant.name.node), variant.name.span);
                    }
                });
            }
            ItemKind::Point(def) => {
                self.spanned(&format!("point {} : {}", def.name.node, def.template.node), item.span);
                self.within(|p| def.stmts.iter().for_each(|s| p.point_stmt(s)));
            }
        }
    }

    fn let_def(&mut self, def: &Let, span: Span) {
        let ty = def.ty.as_ref().map_or(String::new(), |t| format!(": {}", self.ty(t)));
        let value = self.expr(&def.value);
        self.spanned(&format!("let {}{ty} = {value}", def.name.node), span);
    }

    fn clause(&mut self, clause: &Clause) {
        let head = match &clause.head {
            ClauseHead::On { .. } => "on".to_owned(),
            ClauseHead::Every(e) => format!("every {}", self.expr(e)),
            ClauseHead::After(e) => format!("after {}", self.expr(e)),
            ClauseHead::Begin => "begin".to_owned(),
            ClauseHead::End => "end".to_owned(),
        };
        self.spanned(&head, clause.span);
        self.within(|p| {
            if let ClauseHead::On { ats, filter } = &clause.head {
                p.ats(ats, filter.as_ref());
            }
            p.spanned("body", clause.body.span);
            p.within(|p| clause.body.groups.iter().for_each(|g| p.group(g)));
        });
    }

    fn ats(&mut self, ats: &[At], filter: Option<&Expr>) {
        for at in ats {
            let optional = if at.optional { " ?" } else { "" };
            self.spanned(&format!("at {}{optional}", at.path.text()), at.span);
            self.within(|p| at.args.iter().for_each(|a| p.at_arg(a)));
        }
        if let Some(filter) = filter {
            let filter = self.expr(filter);
            self.line(&format!("where {filter}"));
        }
    }

    fn at_arg(&mut self, arg: &AtArg) {
        match arg {
            AtArg::Typed { name, ty } => {
                let ty = self.ty(ty);
                self.line(&format!("{}: {ty}", name.node));
            }
            AtArg::Pattern { field, pattern } => {
                let field = field.as_ref().map_or(String::new(), |f| format!("{} = ", self.expr(f)));
                let pattern = self.pattern(pattern);
                self.line(&format!("{field}{pattern}"));
            }
        }
    }

    fn group(&mut self, group: &Group) {
        match &group.kind {
            GroupKind::Columns { columns, by, into, limit } => {
                self.spanned("table", group.span);
                self.within(|p| {
                    p.columns("column", columns);
                    p.columns("by", by);
                    if let Some(into) = into {
                        p.spanned(&format!("into {}", into.node), into.span);
                    }
                    if let Some(limit) = limit {
                        p.spanned(&format!("limit {}", limit.node), limit.span);
                    }
                });
            }
            GroupKind::Show { table, options } => {
                self.spanned(&format!("show {}", table.node), group.span);
                self.within(|p| {
                    for option in options {
                        let text = p.show_option(option);
                        p.line(&text);
                    }
                });
            }
            GroupKind::Clear(table) => self.spanned(&format!("clear {}", table.node), group.span),
            GroupKind::Exit => self.spanned("exit", group.span),
        }
    }

    fn show_option(&self, option: &ShowOption) -> String {
        match option {
            ShowOption::As(view) => format!("as {}", view.node),
            ShowOption::Top(rows) => format!("top {}", self.expr(rows)),
            ShowOption::Sort { column, descending } => {
                let direction = match descending {
                    Some(true) => " desc",
                    Some(false) => " asc",
                    None => "",
                };
                format!("sort {}{direction}", self.expr(column))
            }
            ShowOption::To(file) => format!("to {:?}", file.node),
        }
    }

    fn columns(&mut self, what: &str, columns: &[Column]) {
        for column in columns {
            let name = column.name.as_ref().map_or(String::new(), |n| format!("{} = ", n.node));
            let expr = self.expr(&column.expr);
            self.line(&format!("{what} {name}{expr}"));
        }
    }

    fn point_stmt(&mut self, stmt: &PointStmt) {
        self.docs(&stmt.docs);
        let maybe = |optional: &bool| if *optional { " ?" } else { "" };
        let text = match &stmt.kind {
            PointStmtKind::Start { symbols, args, optional } => {
                let args = args.iter().map(|(n, t)| format!("{}: {}", n.node, self.ty(t))).collect::<Vec<_>>();
                format!("start {} ({}){}", strings(symbols), args.join(", "), maybe(optional))
            }
            PointStmtKind::Mark { symbols, optional, reason } => {
                let reason = reason.as_ref().map_or(String::new(), |r| format!(" {:?}", r.node));
                format!("mark {}{}{reason}", strings(symbols), maybe(optional))
            }
            PointStmtKind::Stop { at, symbols, optional } => {
                format!("stop {}{}{}", at.word(), strings(symbols), maybe(optional))
            }
            PointStmtKind::StateBy(keys) => {
                format!("state by {}", keys.iter().map(|k| self.expr(k)).collect::<Vec<_>>().join(", "))
            }
            PointStmtKind::Only(condition) => format!("only {}", self.expr(condition)),
            PointStmtKind::OnlyReturn(condition) => format!("only return {}", self.expr(condition)),
            PointStmtKind::Each { row, rows, columns: None } => format!("each ({} < {})", row.node, self.expr(rows)),
            PointStmtKind::Each { row, rows, columns: Some((column, columns)) } => {
                let (rows, columns) = (self.expr(rows), self.expr(columns));
                format!("each ({} < {rows}, {} < {columns})", row.node, column.node)
            }
            PointStmtKind::Parts { part, number, row } => {
                format!("parts ({} < {}) by ({})", part.node, self.expr(number), self.expr(row))
            }
            PointStmtKind::Team { number, size } => format!("team ({} < {})", self.expr(number), self.expr(size)),
            PointStmtKind::Variant(of) => format!("variant {}", of.node),
            PointStmtKind::Lasting(args) => format!("lasting {}", names(args)),
            PointStmtKind::Within(points) => format!("within {}", names(points)),
            PointStmtKind::Pattern(fields) => format!("pattern {}", names(fields)),
            PointStmtKind::Let(def) => return self.let_def(def, stmt.span),
            PointStmtKind::Check { condition, message } => {
                format!("check {} {:?}", self.expr(condition), message.node)
            }
            PointStmtKind::Never { field, pattern, reason } => {
                format!("never {} = {} {:?}", field.node, self.pattern(pattern), reason.node)
            }
            PointStmtKind::Silent(reason) => format!("silent {:?}", reason.node),
            PointStmtKind::Node(args) => format!("node{}", self.arguments(args)),
        };
        self.spanned(&text, stmt.span);
    }

    fn ty(&self, ty: &TypeRef) -> String {
        let of = ty.of.as_ref().map_or(String::new(), |o| format!("({})", o.node));
        let len = ty.len.map_or(String::new(), |n| format!("[{n}]"));
        format!("{}{of}{len}{}", ty.name.node, self.place(ty.span))
    }

    fn arguments(&self, args: &[CallArg]) -> String {
        let arg = |arg: &CallArg| {
            let name = arg.name.as_ref().map_or(String::new(), |n| format!("{}=", n.node));
            format!(" {name}{}", self.expr(&arg.value))
        };
        args.iter().map(arg).collect()
    }

    fn pattern(&self, pattern: &Pattern) -> String {
        let mut text = String::from(if pattern.negated { "(none-of" } else { "(match" });
        for alt in &pattern.alts {
            text.push(' ');
            text.push_str(&match &alt.kind {
                PatternKind::Range { from, to } => {
                    let bound = |b: &Option<Expr>| b.as_ref().map_or("-".to_owned(), |e| self.expr(e));
                    format!("(range {} {})", bound(from), bound(to))
                }
                PatternKind::Value(value) => self.expr(value),
                PatternKind::Str(glob) => format!("{glob:?}"),
                PatternKind::Glob(glob) => glob.clone(),
            });
        }
        text.push(')');
        text.push_str(&self.place(pattern.span));
        text
    }

    fn expr(&self, expr: &Expr) -> String {
        let text = match &expr.kind {
            ExprKind::Number(number) => number_text(*number),
            ExprKind::Str(text) => format!("{text:?}"),
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::Param(name) => format!("${name}"),
            ExprKind::Name(name) => name.clone(),
            ExprKind::Member(of, name) => format!("(. {} {})", self.expr(of), name.node),
            ExprKind::Index(of, index) => format!("([] {} {})", self.expr(of), self.expr(index)),
            ExprKind::Call { name, args } => {
                format!("({}{})", name.node, self.arguments(args))
            }
            ExprKind::Unary(UnaryOp::Neg, of) => format!("(neg {})", self.expr(of)),
            ExprKind::Unary(UnaryOp::Not, of) => format!("(not {})", self.expr(of)),
            ExprKind::Binary(op, left, right) => {
                format!("({} {} {})", op.symbol(), self.expr(left), self.expr(right))
            }
            ExprKind::Paren(inside) => format!("(paren {})", self.expr(inside)),
            ExprKind::Range(from, to) => format!("(range {} {})", self.expr(from), self.expr(to)),
            ExprKind::Pattern(pattern) => return self.pattern(pattern),
        };
        text + &self.place(expr.span)
    }
}

fn names(words: &[Ident]) -> String {
    words.iter().map(|w| w.node.as_str()).collect::<Vec<_>>().join(", ")
}

fn strings(symbols: &[Spanned<String>]) -> String {
    symbols.iter().map(|s| format!("{:?}", s.node)).collect::<Vec<_>>().join(" or ")
}

fn number_text(number: Number) -> String {
    match number {
        Number::Int(n, Unit::None) => n.to_string(),
        Number::Int(n, Unit::Duration) => format!("{n}ns"),
        Number::Int(n, Unit::Bytes) => format!("{n}B"),
        Number::Int(n, Unit::Hertz) => format!("{n}hz"),
        Number::Ratio(r) => format!("{r:?}"),
    }
}
