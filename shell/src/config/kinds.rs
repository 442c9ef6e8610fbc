//! The kinds of values that a key may have: how each is read, what it may be, how it is written.
//!
//! A kind knows nothing of keys, tables or files; it says what is wrong with a value, and what to write instead.

use std::{fmt::Display, marker::PhantomData, time::Duration};

use toml::de::DeValue;
use trunkline_core::Millis;

/// What a value may be.
pub(super) trait Kind {
    /// What is read.
    type Value;

    /// What the documentation calls it.
    fn name(&self) -> String;

    /// What it may be, for the documentation.
    fn range(&self) -> String;

    /// Reads it, or says all that is wrong with it, each as `value problem; remedy`.
    fn read(&self, value: &DeValue<'_>) -> Result<Self::Value, Vec<String>>;

    /// Writes it as TOML.
    fn show(&self, value: &Self::Value) -> String;

    /// What tells it from other values, where [`Kind::show`] leaves something out. It is shown to nobody.
    fn identify(&self, value: &Self::Value) -> String {
        self.show(value)
    }
}

/// A span of time in whole milliseconds: of type [`Duration`], [`Millis`], or `Option<Duration>` where 0 is "off".
pub(super) struct Span<T> {
    min: Duration,
    max: Duration,
    /// What it must be a multiple of, in milliseconds.
    grain: u64,
    off: bool,
    of: PhantomData<T>,
}

/// A span of at least `min` and at most `max`.
pub(super) fn span<T: Timespan>(min: Duration, max: Duration) -> Span<T> {
    Span { min, max, grain: 1, off: false, of: PhantomData }
}

/// A span of at least `min` and at most `max` whole seconds.
pub(super) fn seconds(min: u64, max: u64) -> Span<Duration> {
    Span { grain: 1000, ..span(Duration::from_secs(min), Duration::from_secs(max)) }
}

/// A span of at least `min` and at most `max`, or 0 for none.
pub(super) fn span_or_off(min: Duration, max: Duration) -> Span<Option<Duration>> {
    Span { off: true, ..span(min, max) }
}

/// A type that holds a span of time.
pub(super) trait Timespan: Copy {
    fn from_duration(span: Duration) -> Self;
    fn to_duration(self) -> Duration;
}

impl Timespan for Duration {
    fn from_duration(span: Duration) -> Self {
        span
    }
    fn to_duration(self) -> Duration {
        self
    }
}

impl Timespan for Millis {
    fn from_duration(span: Duration) -> Self {
        Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
    fn to_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl Timespan for Option<Duration> {
    fn from_duration(span: Duration) -> Self {
        Some(span).filter(|span| !span.is_zero())
    }
    fn to_duration(self) -> Duration {
        self.unwrap_or_default()
    }
}

impl<T: Timespan> Kind for Span<T> {
    type Value = T;

    fn name(&self) -> String {
        "duration".to_owned()
    }

    fn range(&self) -> String {
        let off = if self.off { "`\"0s\"` (off), " } else { "" };
        let whole = if self.grain == 1 { "" } else { ", whole seconds" };
        format!("{off}`{}` to `{}`{whole}", duration(self.min), duration(self.max))
    }

    fn read(&self, value: &DeValue<'_>) -> Result<T, Vec<String>> {
        let text = match value {
            DeValue::String(text) => text,
            DeValue::Integer(_) | DeValue::Float(_) => {
                return wrong(format!("{} has no unit; write a duration such as \"5s\"", shown(value)));
            }
            _ => return wrong(format!("{}; write a duration such as \"5s\"", what(value))),
        };
        let remedy = "write one such as \"100ms\" or \"1m 30s\"";
        let span = match humantime::parse_duration(text) {
            Ok(span) => span,
            Err(humantime::DurationError::UnknownUnit { unit, .. }) if unit.is_empty() => {
                return wrong(format!("{} has no unit; {remedy}", quote(text)));
            }
            Err(_) => return wrong(format!("{} is not a duration; {remedy}", quote(text))),
        };
        if span.subsec_nanos() % 1_000_000 != 0 {
            return wrong(format!("{} is finer than a millisecond; round it", quote(text)));
        }
        let off = self.off && span.is_zero();
        if !off && !(self.min..=self.max).contains(&span) {
            return wrong(out_of_range(&quote(text), &self.range()));
        }
        if span.as_millis() % u128::from(self.grain) != 0 {
            return wrong(format!("{} is not a whole number of seconds; round it", quote(text)));
        }
        Ok(T::from_duration(span))
    }

    fn show(&self, value: &T) -> String {
        duration(value.to_duration())
    }
}

/// A number of bytes.
pub(super) struct Size {
    min: u64,
    max: u64,
}

/// At least `min` and at most `max` bytes.
pub(super) fn size(min: u64, max: u64) -> Size {
    Size { min, max }
}

/// The units of sizes, largest first in each system.
const UNITS: [(&str, u64); 9] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
    ("", 1),
];

impl Kind for Size {
    type Value = usize;

    fn name(&self) -> String {
        "size".to_owned()
    }

    fn range(&self) -> String {
        format!("`{}` to `{}`", bytes(self.min), bytes(self.max))
    }

    fn read(&self, value: &DeValue<'_>) -> Result<usize, Vec<String>> {
        let remedy = "write one such as \"64KiB\" or \"1MB\", or a number of bytes";
        let size = match value {
            DeValue::Integer(_) => integer(value),
            DeValue::String(text) => match parse_size(text) {
                Some(size) => Some(size),
                None => return wrong(format!("{} is not a size; {remedy}", quote(text))),
            },
            _ => return wrong(format!("{}; {remedy}", what(value))),
        };
        let in_range = size.filter(|size| (self.min..=self.max).contains(size));
        match in_range.and_then(|size| usize::try_from(size).ok()) {
            Some(size) => Ok(size),
            None => wrong(out_of_range(&shown(value), &self.range())),
        }
    }

    fn show(&self, value: &usize) -> String {
        bytes(*value as u64)
    }
}

/// Reads `64KiB`, `64 KiB`, `1MB` or `100`; saturates, since what is too large for a `u64` is out of any range.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    (digits > 0).then(|| number.parse().unwrap_or(u64::MAX).saturating_mul(*factor))
}

/// A whole number.
pub(super) struct Count<T> {
    min: T,
    max: T,
}

/// At least `min` and at most `max`.
pub(super) fn count<T>(min: T, max: T) -> Count<T> {
    Count { min, max }
}

impl<T: Copy + Display + PartialOrd + TryFrom<u64>> Kind for Count<T> {
    type Value = T;

    fn name(&self) -> String {
        "integer".to_owned()
    }

    fn range(&self) -> String {
        format!("`{}` to `{}`", self.min, self.max)
    }

    fn read(&self, value: &DeValue<'_>) -> Result<T, Vec<String>> {
        if !value.is_integer() {
            return wrong(format!("{}; write an integer, such as {}", what(value), self.max));
        }
        let number = integer(value).and_then(|number| T::try_from(number).ok());
        match number.filter(|number| self.min <= *number && *number <= self.max) {
            Some(number) => Ok(number),
            None => wrong(out_of_range(&shown(value), &self.range())),
        }
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }
}

/// A share of all: from 0, none, to 1, all.
pub(super) struct Share;

impl Kind for Share {
    type Value = f64;

    fn name(&self) -> String {
        "number".to_owned()
    }

    fn range(&self) -> String {
        "`0` to `1`".to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Result<f64, Vec<String>> {
        let share = match value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(_) => integer(value).map(|number| number as f64),
            _ => return wrong(format!("{}; write a number from 0 to 1, such as 0.01", what(value))),
        };
        match share.filter(|share| (0.0..=1.0).contains(share)) {
            Some(share) => Ok(share),
            None => wrong(out_of_range(&shown(value), &self.range())),
        }
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// One of some words.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn name(&self) -> String {
        "string".to_owned()
    }

    fn range(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
        words.join(", ")
    }

    fn read(&self, value: &DeValue<'_>) -> Result<T, Vec<String>> {
        let remedy = || format!("write one of {}", self.range().replace('`', ""));
        let Some(text) = value.as_str() else {
            return wrong(format!("{}; {}", what(value), remedy()));
        };
        match self.0.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => wrong(format!("{} is not known; {}", quote(text), remedy())),
        }
    }

    fn show(&self, value: &T) -> String {
        let word = self.0.iter().find(|(_, choice)| choice == value).map_or("?", |(word, _)| word);
        format!("\"{word}\"")
    }
}

/// A string that a function reads.
pub(super) struct Parsed<T> {
    /// What it may be, for the documentation, and for the remedy where something else than a string stands.
    pub(super) range: &'static str,
    /// Reads it, or says what is wrong, as `value problem; remedy`.
    pub(super) parse: fn(&str) -> Result<T, String>,
    /// Writes it without quotes.
    pub(super) show: fn(&T) -> String,
}

impl<T> Kind for Parsed<T> {
    type Value = T;

    fn name(&self) -> String {
        "string".to_owned()
    }

    fn range(&self) -> String {
        self.range.to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Result<T, Vec<String>> {
        match value.as_str() {
            Some(text) => (self.parse)(text).map_err(|problem| vec![problem]),
            None => wrong(format!("{}; write a string: {}", what(value), self.range.replace('`', ""))),
        }
    }

    fn show(&self, value: &T) -> String {
        format!("\"{}\"", (self.show)(value))
    }
}

/// A text that is not empty, without control characters.
pub(super) struct Text {
    /// The most bytes that it may have.
    pub(super) bytes_max: usize,
}

impl Kind for Text {
    type Value = String;

    fn name(&self) -> String {
        "string".to_owned()
    }

    fn range(&self) -> String {
        format!("1 to {} bytes", self.bytes_max)
    }

    fn read(&self, value: &DeValue<'_>) -> Result<String, Vec<String>> {
        match value.as_str() {
            Some("") => wrong("\"\" is empty; write something or leave the key out"),
            Some(text) if text.len() > self.bytes_max => {
                wrong(format!("{} is too long; it may have {} bytes", quote(text), self.bytes_max))
            }
            Some(text) if text.contains(char::is_control) => {
                wrong(format!("{} has a control character; take it out", quote(text)))
            }
            Some(text) => Ok(text.to_owned()),
            None => wrong(format!("{}; write a string", what(value))),
        }
    }

    fn show(&self, value: &String) -> String {
        quote(value)
    }

    fn identify(&self, value: &String) -> String {
        format!("{value:?}")
    }
}

/// A list of values of one kind, none of them twice; at least one, at most [`LIST_MAX`].
pub(super) struct List<K> {
    kind: K,
    /// Whether a single value may stand without its brackets.
    bare: bool,
}

/// The most entries of a list.
const LIST_MAX: usize = 64;

/// A list.
pub(super) fn list<K: Kind>(kind: K) -> List<K> {
    List { kind, bare: false }
}

/// A list, or one value alone.
pub(super) fn one_or_list<K: Kind>(kind: K) -> List<K> {
    List { kind, bare: true }
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn name(&self) -> String {
        let one = self.kind.name();
        if self.bare { format!("{one} or list of them") } else { format!("list of {one}s") }
    }

    fn range(&self) -> String {
        self.kind.range()
    }

    fn read(&self, value: &DeValue<'_>) -> Result<Self::Value, Vec<String>> {
        let values: Vec<&DeValue<'_>> = match value {
            DeValue::Array(values) => values.iter().map(|value| value.get_ref()).collect(),
            one if self.bare => vec![one],
            other => return wrong(format!("{}; write a list in brackets", what(other))),
        };
        if values.is_empty() {
            return wrong("the list is empty; write at least one entry or leave the key out");
        }
        if values.len() > LIST_MAX {
            return wrong(format!("the list has {} entries; it may have {LIST_MAX}", values.len()));
        }
        let (mut read, mut problems, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for value in values {
            match self.kind.read(value) {
                Err(more) => problems.extend(more),
                Ok(one) => {
                    let identity = self.kind.identify(&one);
                    if written.contains(&identity) {
                        problems.push(format!("{} is listed twice; take one out", self.kind.show(&one)));
                    }
                    written.push(identity);
                    read.push(one);
                }
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }

    fn show(&self, value: &Self::Value) -> String {
        let shown: Vec<_> = value.iter().map(|one| self.kind.show(one)).collect();
        match &shown[..] {
            [one] if self.bare => one.clone(),
            all => format!("[{}]", all.join(", ")),
        }
    }

    fn identify(&self, value: &Self::Value) -> String {
        let whole: Vec<_> = value.iter().map(|one| self.kind.identify(one)).collect();
        match &whole[..] {
            [one] if self.bare => one.clone(),
            all => format!("[{}]", all.join(", ")),
        }
    }
}

/// Text in quotes, cut where it is long.
pub(super) fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    // Rust's escapes keep it on one line, whatever is in it.
    format!("{short:?}")
}

/// What a value of the wrong type is: `"64" is a string`. What is in a table or a list is not shown.
pub(super) fn what(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Array(_) => "a list stands here".to_owned(),
        DeValue::Table(_) => "a table stands here".to_owned(),
        DeValue::Integer(_) => format!("{} is an integer", shown(value)),
        DeValue::Datetime(_) => "a date or time stands here".to_owned(),
        other => format!("{} is a {}", shown(other), other.type_str()),
    }
}

/// A single value as it is written.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string().chars().take(80).collect(),
        DeValue::Float(number) => number.to_string().chars().take(80).collect(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => String::new(),
    }
}

/// The value of an integer that is not negative; saturates.
fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    let (digits, negative) = (number.as_str(), number.as_str().starts_with('-'));
    match u64::from_str_radix(digits, number.radix()) {
        Ok(number) => Some(number),
        Err(_) if negative => None,
        Err(_) => Some(u64::MAX),
    }
}

fn duration(span: Duration) -> String {
    format!("\"{}\"", humantime::format_duration(span))
}

/// A size in the largest binary unit that divides it; below 1 KiB as a number.
fn bytes(size: u64) -> String {
    let unit = UNITS[..3].iter().find(|(_, factor)| size >= *factor && size.is_multiple_of(*factor));
    unit.map_or(size.to_string(), |(name, factor)| format!("\"{}{name}\"", size / factor))
}

fn out_of_range(value: &str, range: &str) -> String {
    format!("{value} is out of range; it may be {}", range.replace('`', ""))
}

fn wrong<T>(problem: impl Into<String>) -> Result<T, Vec<String>> {
    Err(vec![problem.into()])
}

/// What ranges and defaults are written in.
pub(super) mod units {
    use std::time::Duration;

    pub(in super::super) const ZERO: Duration = Duration::ZERO;
    pub(in super::super) const MS_10: Duration = Duration::from_millis(10);
    pub(in super::super) const MS_100: Duration = Duration::from_millis(100);
    pub(in super::super) const SECOND: Duration = Duration::from_secs(1);
    pub(in super::super) const MINUTE: Duration = Duration::from_secs(60);
    pub(in super::super) const HOUR: Duration = Duration::from_secs(60 * 60);

    pub(in super::super) const KIB: u64 = 1 << 10;
    pub(in super::super) const MIB: u64 = 1 << 20;
    pub(in super::super) const GIB: u64 = 1 << 30;
}
