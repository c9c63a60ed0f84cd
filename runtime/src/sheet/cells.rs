//! What stands in a column: kinds of cells, and those of one column on their way to a file.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder, StringDictionaryBuilder,
    StructBuilder, TimestampNanosecondBuilder, UInt64Builder,
};
use arrow_array::types::Int32Type;
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};

use crate::record::Bucket;
use crate::view::ratio_bound;

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whole numbers of 64 bits with a sign.
    Int,
    /// Whole numbers of 64 bits without.
    Unsigned,
    /// Numbers that may have a fraction.
    Real,
    /// Texts.
    Text,
    /// Texts of which there are few: words, names.
    Word,
    /// Truth values.
    Bool,
    /// Times of the calendar, in ns since 1970.
    Time,
    /// Call stacks: functions, the outermost first.
    Stack,
    /// Histograms with whole bounds …
    Hist,
    /// … or with bounds that have a fraction.
    RealHist,
    /// Numbers in a row.
    Curve,
}

impl Kind {
    /// Whether its cells are whole numbers by themselves.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Int | Self::Unsigned | Self::Time)
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Unsigned => DataType::UInt64,
            Self::Real => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Word => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Bool => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Self::Stack => DataType::List(element(DataType::Utf8)),
            Self::Hist => DataType::List(element(DataType::Struct(bucket(DataType::Int64)))),
            Self::RealHist => DataType::List(element(DataType::Struct(bucket(DataType::Float64)))),
            Self::Curve => DataType::List(element(DataType::Float64)),
        }
    }
}

/// What lists are of.
fn element(ty: DataType) -> FieldRef {
    Arc::new(Field::new("element", ty, false))
}

/// What buckets are made of.
fn bucket(bound: DataType) -> Fields {
    let bound = |name| Field::new(name, bound.clone(), true);
    Fields::from(vec![bound("lo"), bound("hi"), Field::new("n", DataType::UInt64, false)])
}

/// A cell on its way into a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'c> {
    Absent,
    Int(i64),
    Real(f64),
    Text(&'c str),
    Bool(bool),
    Hist(&'c [Bucket]),
    Curve(&'c [f64]),
}

/// A cell that is none of its column.
#[derive(Debug, thiserror::Error)]
#[error("there is {0} where {1:?} is expected; please report it")]
pub(crate) struct Misfit(String, Kind);

/// Cells of a column that are not yet in the file.
pub(crate) struct Cells {
    kind: Kind,
    all: Builder,
}

enum Builder {
    Int(Int64Builder),
    Unsigned(UInt64Builder),
    Real(Float64Builder),
    Text(StringBuilder),
    Word(StringDictionaryBuilder<Int32Type>),
    Bool(BooleanBuilder),
    Time(TimestampNanosecondBuilder),
    Stack(ListBuilder<StringBuilder>),
    Hist(ListBuilder<StructBuilder>),
    Curve(ListBuilder<Float64Builder>),
}

impl Cells {
    /// None yet.
    pub(super) fn new(kind: Kind) -> Self {
        let hist = |bound: DataType| {
            let fields = bucket(bound.clone());
            let bounds = |ty: &DataType| -> Box<dyn ArrayBuilder> {
                match ty {
                    DataType::Float64 => Box::new(Float64Builder::new()),
                    _ => Box::new(Int64Builder::new()),
                }
            };
            let parts = vec![bounds(&bound), bounds(&bound), Box::new(UInt64Builder::new()) as Box<dyn ArrayBuilder>];
            let list = ListBuilder::new(StructBuilder::new(fields.clone(), parts));
            Builder::Hist(list.with_field(element(DataType::Struct(fields))))
        };
        let all = match kind {
            Kind::Int => Builder::Int(Int64Builder::new()),
            Kind::Unsigned => Builder::Unsigned(UInt64Builder::new()),
            Kind::Real => Builder::Real(Float64Builder::new()),
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Word => Builder::Word(StringDictionaryBuilder::new()),
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
            Kind::Time => Builder::Time(TimestampNanosecondBuilder::new()),
            Kind::Stack => Builder::Stack(ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8))),
            Kind::Hist => hist(DataType::Int64),
            Kind::RealHist => hist(DataType::Float64),
            Kind::Curve => {
                Builder::Curve(ListBuilder::new(Float64Builder::new()).with_field(element(DataType::Float64)))
            }
        };
        Self { kind, all }
    }

    /// Adds a cell. Numbers that are not finite are absent.
    ///
    /// # Errors
    /// It is none of this column: no number is rounded so that it fits.
    pub(super) fn put(&mut self, cell: Cell<'_>) -> Result<(), Misfit> {
        let cell = match cell {
            Cell::Real(x) if !x.is_finite() => Cell::Absent,
            cell => cell,
        };
        match (&mut self.all, cell) {
            (Builder::Int(all), Cell::Absent) => all.append_null(),
            (Builder::Int(all), Cell::Int(n)) => all.append_value(n),
            (Builder::Unsigned(all), Cell::Absent) => all.append_null(),
            (Builder::Unsigned(all), Cell::Int(n)) => all.append_value(n.cast_unsigned()),
            (Builder::Real(all), Cell::Absent) => all.append_null(),
            (Builder::Real(all), Cell::Int(n)) => all.append_value(n as f64),
            (Builder::Real(all), Cell::Real(x)) => all.append_value(x),
            (Builder::Text(all), Cell::Absent) => all.append_null(),
            (Builder::Text(all), Cell::Text(text)) => all.append_value(text),
            (Builder::Word(all), Cell::Absent) => all.append_null(),
            (Builder::Word(all), Cell::Text(text)) => all.append_value(text),
            (Builder::Bool(all), Cell::Absent) => all.append_null(),
            (Builder::Bool(all), Cell::Bool(truth)) => all.append_value(truth),
            (Builder::Bool(all), Cell::Int(n)) => all.append_value(n != 0),
            (Builder::Time(all), Cell::Absent) => all.append_null(),
            (Builder::Time(all), Cell::Int(n)) => all.append_value(n),
            (Builder::Stack(all), Cell::Absent) => all.append_null(),
            (Builder::Stack(all), Cell::Text(text)) => {
                text.split(';').for_each(|function| all.values().append_value(function));
                all.append(true);
            }
            (Builder::Hist(all), Cell::Absent) => all.append_null(),
            (Builder::Hist(all), Cell::Hist(buckets)) => {
                let buckets_put = buckets.iter().all(|b| put_bucket(all.values(), *b, self.kind).is_some());
                if !buckets_put {
                    return Err(Misfit("a bucket".to_owned(), self.kind));
                }
                all.append(true);
            }
            (Builder::Curve(all), Cell::Absent) => all.append_null(),
            (Builder::Curve(all), Cell::Curve(numbers)) => {
                all.values().append_slice(numbers);
                all.append(true);
            }
            (_, cell) => return Err(Misfit(format!("{cell:?}"), self.kind)),
        }
        Ok(())
    }

    /// Takes all that were added.
    pub(super) fn take(&mut self) -> ArrayRef {
        match &mut self.all {
            Builder::Int(all) => Arc::new(all.finish()),
            Builder::Unsigned(all) => Arc::new(all.finish()),
            Builder::Real(all) => Arc::new(all.finish()),
            Builder::Text(all) => Arc::new(all.finish()),
            Builder::Word(all) => Arc::new(all.finish()),
            Builder::Bool(all) => Arc::new(all.finish()),
            Builder::Time(all) => Arc::new(all.finish()),
            Builder::Stack(all) => Arc::new(all.finish()),
            Builder::Hist(all) => Arc::new(all.finish()),
            Builder::Curve(all) => Arc::new(all.finish()),
        }
    }
}

/// Adds a bucket; none if the parts of buckets are others.
fn put_bucket(into: &mut StructBuilder, bucket: Bucket, kind: Kind) -> Option<()> {
    let bounds = [(bucket.lo != i64::MIN).then_some(bucket.lo), (bucket.hi != i64::MAX).then_some(bucket.hi)];
    for (i, bound) in bounds.into_iter().enumerate() {
        match kind {
            Kind::RealHist => into.field_builder::<Float64Builder>(i)?.append_option(bound.map(ratio_bound)),
            _ => into.field_builder::<Int64Builder>(i)?.append_option(bound),
        }
    }
    into.field_builder::<UInt64Builder>(2)?.append_value(bucket.n);
    into.append(true);
    Some(())
}
