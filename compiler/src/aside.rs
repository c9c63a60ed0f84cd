//! Which points put their events aside: a hit keeps the time and the arguments, and everything else (what is read, the keys, the
//! rows) is done for many events in one go, when there are enough of them or the stop comes.
//!
//! A hit then takes a fraction of the time. Between two operators the caches are full of the model's weights, so that each
//! hit would have to fetch the program's code and the tables' rows from memory again; in one go they are fetched once.
//!
//! It can be done where nothing that is asked may change in between: the engine's description says which arguments lead to
//! what lasts until the stop (`lasting`), the points around have begun before the event and end after the stop, and nobody else
//! asks for the event while it is open.
//!
//! Each thread of a team puts its own events aside. Its state key and the size of the team are the same for all of them, and are
//! kept once ([`fixed`]); those others may ask for as well.

use crate::catalogue::{Catalogue, Template};
use crate::plan::{CaptureValue, Expr, Gate, KeySource, Plan, Point, SlotHow};
use crate::typed::PointId;

/// Events that are put aside at most.
pub const EVENTS: usize = 64;
/// How much may be done for an event that is put aside, by [`size`]: the kernel follows every way through the loop over them,
/// and gives up on programs that it takes when there is no loop.
const MOST: usize = 240;
/// Starts that are told apart.
pub const STARTS: usize = 8;

/// Decides it for each point of the plan.
pub(crate) fn decide(plan: &mut Plan, catalogue: &Catalogue) {
    for id in 0..plan.points.len() {
        let lasting: Vec<&str> = catalogue.points[id].lasting.iter().map(|name| name.node.as_str()).collect();
        plan.points[id].aside = can_be(plan, id, &lasting);
    }
}

/// The arguments that are put aside, in the order of their names.
pub fn arguments(plan: &Plan, id: PointId) -> Vec<&str> {
    let p = &plan.points[id];
    let args = p.starts.iter().flat_map(|s| &s.args).map(|a| a.name.as_str());
    let mut all: Vec<&str> = args.filter(|name| asks(plan, id, name)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What is the same for all events that a thread of a team puts aside, by its place: the words of the state key, and behind them
/// the size of the team.
pub fn fixed(plan: &Plan, id: PointId, e: &Expr) -> Option<usize> {
    fixed_of(&plan.points[id], e)
}

/// As [`fixed`], or [`Fixed::There`] where it is only asked whether such a thing is there.
pub fn fixed_or_there(plan: &Plan, id: PointId, e: &Expr) -> Option<Fixed> {
    match e {
        Expr::Has(a) => fixed(plan, id, a).map(|_| Fixed::There),
        e => fixed(plan, id, e).map(Fixed::Word),
    }
}

/// What others may ask of an event of a team that is put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixed {
    /// What is [`fixed`], by its place.
    Word(usize),
    /// Whether that is there: it is.
    There,
}

fn fixed_of(p: &Point, e: &Expr) -> Option<usize> {
    let size = p.team.as_ref()?;
    p.state_by.iter().chain([size]).position(|known| known == e)
}

/// Whether anything that is read of an event names the argument.
fn asks(plan: &Plan, id: PointId, argument: &str) -> bool {
    let names = |e: &Expr| names(&plan.points[id], e, argument);
    let captures = plan.points[id].captures.iter().any(|c| match &c.value {
        CaptureValue::Number(e) => names(e),
        CaptureValue::Text(sources, _) => sources.iter().any(|(e, _)| names(e)),
        CaptureValue::Comm | CaptureValue::ArgText(..) => false,
    });
    captures || plan.tables.iter().filter(|t| t.point == id).flat_map(|t| &t.open).any(names)
}

fn names(p: &Point, e: &Expr, argument: &str) -> bool {
    let is_it = matches!(e, Expr::Arg(name) if name == argument);
    fixed_of(p, e).is_none() && (is_it || e.parts().into_iter().any(|part| names(p, part, argument)))
}

/// Whether what a point asks of an event of `id` that it lies in, if it does, is when it began and what is the same for all of them.
fn asks_fixed_only(plan: &Plan, asking: PointId, id: PointId) -> bool {
    let is_fixed = |e: &Expr| match e {
        Expr::Capture(of, i) if *of == id => match &plan.points[id].captures[*i].value {
            CaptureValue::Number(e) => fixed_or_there(plan, id, e).is_some(),
            _ => false,
        },
        Expr::Accum(of, _) | Expr::Series(of, _) | Expr::Part(of, _) => *of != id,
        _ => true,
    };
    let all = |e: &Expr| !e.any(&|e| !is_fixed(e));
    let q = &plan.points[asking];
    let captures = q.captures.iter().all(|c| match &c.value {
        CaptureValue::Number(e) => all(e),
        CaptureValue::Text(sources, _) => sources.iter().all(|(e, _)| all(e)),
        CaptureValue::Comm | CaptureValue::ArgText(..) => true,
    });
    let tables = plan.tables.iter().filter(|t| t.point == asking).all(|t| {
        let key = t.key.iter().all(|field| match &field.source {
            KeySource::Number(e) => all(e),
            KeySource::Text(of, ..) => *of != id,
        });
        let slots = t.slots.iter().flat_map(|s| s.of.iter().chain(&s.against));
        key && slots.chain(&t.open).chain(&t.close).chain(&t.context).all(all)
    });
    let series = q.series.iter().flat_map(|s| s.inputs.iter().chain(&s.keys)).all(all);
    let gathered = plan.points.iter().flat_map(|p| &p.accums).filter(|a| a.of == asking);
    captures && tables && series && gathered.filter_map(|a| a.value.as_ref()).all(all)
}

fn can_be(plan: &Plan, id: PointId, lasting: &[&str]) -> bool {
    let p = &plan.points[id];
    let Gate::Inside(outer) = p.gate else { return false };
    if plan.reads {
        // The script follows pointers as it says itself, to memory that nobody says lasts.
        return false;
    }
    let is_of_thread = p.state_by.is_empty() && p.team.is_none() && p.mark.is_none();
    let is_of_team = !p.state_by.is_empty() && p.team.is_some();
    let is_one = p.each.is_none() && p.parts.is_none();
    let is_plain =
        (is_of_thread || is_of_team) && is_one && p.series.is_empty() && p.counters.is_empty() && p.accums.is_empty();
    if p.template != Template::Sequence || !p.used || !is_plain || lasting.is_empty() || p.starts.len() > STARTS {
        return false;
    }
    let asked_by = |(asking, q): (PointId, &Point)| {
        q.used && q.within.contains(&id) && !(is_of_team && asks_fixed_only(plan, asking, id))
    };
    let tables = || plan.tables.iter().filter(|t| t.point == id);
    if plan.points.iter().enumerate().any(asked_by)
        || tables().any(|t| t.streamed || t.each.is_some() || t.context.is_some())
    {
        return false;
    }
    let lasts = |e: &Expr| lasts(plan, e, id, outer, lasting);
    let read = p.captures.iter().all(|c| match &c.value {
        CaptureValue::Number(e) => lasts(e),
        CaptureValue::Text(sources, _) => sources.iter().all(|(e, _)| lasts(e)),
        CaptureValue::Comm | CaptureValue::ArgText(..) => false,
    });
    let gathered = plan.points.iter().flat_map(|q| &q.accums).filter(|a| a.of == id);
    let kept = tables().all(|t| {
        let key = t.key.iter().all(|field| match &field.source {
            KeySource::Number(e) => lasts(e),
            KeySource::Text(of, ..) => is_around(plan, *of, id, outer),
        });
        let slots = t.slots.iter().flat_map(|s| s.of.iter().chain(&s.against)).all(&lasts);
        key && slots && t.open.iter().chain(&t.close).all(&lasts)
    });
    read && kept && size(plan, id) <= MOST && gathered.filter_map(|a| a.value.as_ref()).all(lasts)
}

/// How much is done for an event: about a fifth of the instructions, and more where those go many ways.
fn size(plan: &Plan, id: PointId) -> usize {
    let of = |e: &Expr| {
        let all = std::cell::Cell::new(0);
        e.any(&|_| {
            all.set(all.get() + 1);
            false
        });
        all.get()
    };
    let captures = plan.points[id].captures.iter().map(|c| match &c.value {
        CaptureValue::Number(e) => 1 + of(e),
        CaptureValue::Text(sources, _) => 4 + sources.iter().map(|(e, _)| of(e)).sum::<usize>(),
        CaptureValue::Comm | CaptureValue::ArgText(..) => 1,
    });
    let tables = plan.tables.iter().filter(|t| t.point == id).map(|t| {
        let slots = t.slots.iter().map(|s| match s.how {
            SlotHow::Hist(k) if k > 0 => 60,
            SlotHow::Hist(_) | SlotHow::Linear(_) | SlotHow::Min | SlotHow::Max => 30,
            _ => 2,
        });
        let exprs = t.slots.iter().flat_map(|s| s.of.iter()).chain(&t.open).chain(&t.close);
        let key = t.key.iter().map(|field| match &field.source {
            KeySource::Number(e) => 1 + of(e),
            KeySource::Text(_, _, bytes) => *bytes as usize / 16,
        });
        10 + slots.sum::<usize>() + exprs.map(of).sum::<usize>() + key.sum::<usize>()
    });
    captures.sum::<usize>() * plan.points[id].starts.len() + tables.sum::<usize>()
}

/// Whether an expression gives the same at the end of everything as at the event.
fn lasts(plan: &Plan, e: &Expr, id: PointId, outer: PointId, lasting: &[&str]) -> bool {
    let all = |es: &[Expr]| es.iter().all(|e| lasts(plan, e, id, outer, lasting));
    if fixed(plan, id, e).is_some() {
        return true;
    }
    match e {
        Expr::Const(_) | Expr::Absent | Expr::Word(..) | Expr::Dur | Expr::Pid | Expr::Tid | Expr::UntilMark => true,
        Expr::Arg(name) => lasting.contains(&name.as_str()),
        Expr::Load { base, index, .. } => {
            all(std::slice::from_ref(&**base)) && index.as_ref().is_none_or(|(i, _)| all(std::slice::from_ref(&**i)))
        }
        Expr::Capture(of, _) | Expr::Series(of, _) | Expr::Start(of) => is_around(plan, *of, id, outer),
        Expr::Neg(a) | Expr::Not(a) | Expr::Has(a) | Expr::Matches(a, ..) | Expr::Steps(a, ..) => {
            all(std::slice::from_ref(&**a))
        }
        Expr::Arith(_, ab) | Expr::Cmp(_, ab) | Expr::And(ab) | Expr::Or(ab) => all(ab.as_slice()),
        Expr::If(c) => all(c.as_slice()),
        Expr::First(es) => all(es),
        // Values that are computed go when the engine takes their memory for others.
        Expr::Float32(_)
        | Expr::Accum(..)
        | Expr::Element(_)
        | Expr::PartIndex
        | Expr::Part(..)
        | Expr::Call(_)
        | Expr::Counter(_)
        | Expr::Stack
        | Expr::Cpu => false,
    }
}

/// Whether a point's event is the one at hand, or has begun before and ends after all that are put aside with it.
fn is_around(plan: &Plan, of: PointId, id: PointId, outer: PointId) -> bool {
    of == id || of == outer || plan.points[outer].within.contains(&of)
}
