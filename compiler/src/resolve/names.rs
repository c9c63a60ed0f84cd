//! What a name stands for where it is written, and what may have been meant where it stands for nothing.

use profinfer_lang::diagnostic::Diagnostic;
use profinfer_lang::span::Span;

use super::{Resolved, Resolver, Scope};
use crate::counter::Counter;
use crate::faults::{HelpNear, consequence};
use crate::typed::{Common, Kind, PointId, Typed};
use crate::types::Type;

impl Resolver<'_> {
    pub(super) fn param(&self, name: &str, span: Span) -> Resolved {
        match self.params.get(name) {
            Some(value) => Ok(Typed { span, ..value.clone() }),
            None if self.broken.contains(&format!("${name}")) => Err(consequence(span)),
            None => Err(Diagnostic::error("PI0203", format!("no parameter is called `${name}`"))
                .at(span, "not declared")
                .help_near(name, self.params.keys().map(String::as_str), "declare it: param name: type = value")),
        }
    }

    pub(super) fn name(&self, name: &str, span: Span, scope: Scope<'_>, expected: Option<&Type>) -> Resolved {
        if let Some((_, value)) = scope.locals.iter().find(|(n, _)| n == name) {
            return self.copy(value, span);
        }
        if let Some(Type::Enum(of)) = expected
            && self.catalogue.enums.get(of).is_some_and(|e| e.words.contains_key(name))
        {
            return Ok(Typed::new(Kind::Word(of.clone(), name.to_owned()), Type::Enum(of.clone()), span));
        }
        if name == "absent" {
            return Ok(Typed::new(Kind::Absent, Type::Absent, span));
        }
        if let Some(point) = scope.point {
            if scope.inside
                && let Some((ty, value)) = self.argument(point, name, span)
            {
                return Ok(Typed::new(value, ty, span));
            }
            if let Some(found) = self.field_or_common(point, name, span)? {
                return Ok(found);
            }
            for &outer in &self.catalogue.points[point].within {
                if self.has_field(outer, name) {
                    return self
                        .field_or_common(outer, name, span)?
                        .ok_or_else(|| self.unknown_field(outer, name, span));
                }
            }
        }
        if let (Some(value), true) = (self.constants.get(name), self.is_of_script(scope)) {
            return self.copy(value, span);
        }
        if self.broken.contains(name) {
            return Err(consequence(span));
        }
        // Of an enum without words only the target knows them.
        if let Some(Type::Enum(of)) = expected
            && self.catalogue.enums[of].words.is_empty()
        {
            return Ok(Typed::new(Kind::Word(of.clone(), name.to_owned()), Type::Enum(of.clone()), span));
        }
        if let Some(Type::Enum(of)) = expected {
            let words = self.catalogue.enums[of].words.keys().map(String::as_str);
            return Err(Diagnostic::error("PI0207", format!("`{name}` is no word of {of}"))
                .at(span, "unknown")
                .help_near(name, words, &format!("`profinfer list {of}` prints them")));
        }
        match scope.point {
            Some(point) => Err(self.unknown_field(point, name, span)),
            None => Err(Diagnostic::error("PI0202", format!("`{name}` is not known here"))
                .at(span, "only constants and parameters here")
                .help_near(name, self.constants.keys().map(String::as_str), "write a number or a $parameter")),
        }
    }

    /// Whether it stands in the script: not inside of a point of the engine's description.
    pub(crate) fn is_of_script(&self, scope: Scope<'_>) -> bool {
        !scope.inside || scope.point.is_some_and(|point| self.catalogue.points[point].of_script)
    }

    pub(super) fn argument(&self, point: PointId, name: &str, _span: Span) -> Option<(Type, Kind)> {
        let info = &self.catalogue.points[point];
        if let Some(i) = info.each.iter().position(|(n, _)| n.node == name) {
            return Some((Type::Int, Kind::Element(point, i)));
        }
        if self.is_of_each_part() && info.parts.as_ref().is_some_and(|parts| parts.name.node == name) {
            return Some((Type::Int, Kind::PartIndex(point)));
        }
        let arg = self.catalogue.points[point].starts.iter().flat_map(|s| &s.args).find(|a| a.name == name)?;
        Some((arg.ty.clone(), Kind::Arg(point, name.to_owned())))
    }

    /// Whether a bare name means something of this very point (not of an enclosing one).
    pub(super) fn has_field(&self, point: PointId, name: &str) -> bool {
        self.catalogue.points[point].fields.contains_key(name)
    }

    pub(crate) fn field_or_common(&self, point: PointId, name: &str, span: Span) -> Result<Option<Typed>, Diagnostic> {
        if self.has_field(point, name) {
            return self.field(point, name, span).map(Some);
        }
        let info = &self.catalogue.points[point];
        let (kind, ty) = match name {
            "dur" if info.template.lasts() => (Kind::Dur(point), Type::Duration),
            "time" => (Kind::Start(point), Type::Duration),
            "pid" => (Kind::Common(Common::Pid), Type::Int),
            "tid" => (Kind::Common(Common::Tid), Type::Int),
            "cpu" => (Kind::Common(Common::Cpu), Type::Int),
            "comm" => (Kind::Common(Common::Comm), Type::Str(16)),
            _ if info.called.is_some() => match info.call_value(name) {
                Some((value, ty)) => (Kind::Call(point, value), ty),
                None => match Counter::of_word(name).filter(|_| Counter::is_of(info)) {
                    Some(counter) => (Kind::Counter(point, counter), counter.ty()),
                    None => return Ok(None),
                },
            },
            _ => match Counter::of_word(name).filter(|_| Counter::is_of(info)) {
                Some(counter) => (Kind::Counter(point, counter), counter.ty()),
                None => return Ok(None),
            },
        };
        Ok(Some(Typed::new(kind, ty, span)))
    }

    /// The names that can be written at a point, for "did you mean".
    pub fn names_at(&self, point: PointId) -> Vec<String> {
        let info = &self.catalogue.points[point];
        let mut names: Vec<String> = info.fields.keys().cloned().collect();
        if info.template.lasts() {
            names.push("dur".to_owned());
        }
        names.extend(["time", "pid", "tid", "cpu", "comm"].map(str::to_owned));
        names.extend(["func", "ret", "self"].into_iter().filter(|n| info.call_value(n).is_some()).map(str::to_owned));
        for &outer in &info.within {
            for field in self.catalogue.points[outer].fields.keys() {
                if !names.contains(field) {
                    names.push(field.clone());
                }
            }
        }
        names
    }

    pub(crate) fn unknown_field(&self, point: PointId, name: &str, span: Span) -> Diagnostic {
        let names = self.names_at(point);
        let info = &self.catalogue.points[point];
        let counters = Counter::NAMED.iter().filter(|_| Counter::is_of(info)).map(|c| c.word());
        let points = info.within.iter().map(|p| self.catalogue.points[*p].name.as_str());
        Diagnostic::error("PI0202", format!("`{}` has no field `{name}`", info.name))
            .at(span, "unknown field")
            .help_near(
                name,
                names.iter().map(String::as_str).chain(counters).chain(points),
                &format!("fields of {}: {}", info.name, names.join(" ")),
            )
    }
}
