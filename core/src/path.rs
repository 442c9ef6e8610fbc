//! Paths: the templates at which endpoints stand, and which of them a client's path matches.
//!
//! A path is split at its slashes first and percent-decoded afterwards, so an escaped slash is part of a parameter.
//! Nothing is normalised: neither `.` and `..`, nor doubled or trailing slashes, nor case.

use alloc::{
    borrow::Cow,
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use percent_encoding::percent_decode_str;

/// Where an endpoint stands, such as `/lobby/{lobby_id}` or `/files/{*rest}`.
///
/// Each segment is a literal, or a parameter that takes any segment that is not empty. The last one can be a wildcard,
/// which takes one or more characters, slashes included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    source: Box<str>,
    segments: Vec<Segment>,
    /// The name of the wildcard that follows the segments.
    wildcard: Option<Box<str>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    /// Percent-decoded.
    Literal(Box<str>),
    /// Its name.
    Parameter(Box<str>),
}

impl Template {
    /// Reads a template as an operator writes it. Its literals may be percent-encoded.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let fault = |fault| TemplateError { template: source.into(), fault };
        let path = source.strip_prefix('/').ok_or_else(|| fault(TemplateFault::NoLeadingSlash))?;
        let mut template = Template { source: source.into(), segments: Vec::new(), wildcard: None };
        let mut names = BTreeSet::new();
        for part in path.split('/') {
            if template.wildcard.is_some() {
                return Err(fault(TemplateFault::WildcardNotLast));
            }
            if let Some(name) = template.push(part).map_err(fault)?
                && !names.insert(name)
            {
                return Err(fault(TemplateFault::NameTwice(name.into())));
            }
        }
        Ok(template)
    }

    /// Adds a segment or the wildcard. Returns the name that it has, if it has one.
    fn push<'a>(&mut self, part: &'a str) -> Result<Option<&'a str>, TemplateFault> {
        let Some(inner) = part.strip_prefix('{') else {
            self.segments.push(Segment::Literal(parse_literal(part)?));
            return Ok(None);
        };
        let Some((inner, after)) = inner.split_once('}') else { return Err(TemplateFault::NoClosingBrace) };
        if !after.is_empty() {
            return Err(TemplateFault::PartOfSegment);
        }
        let name = inner.strip_prefix('*').unwrap_or(inner);
        if !is_name(name) {
            return Err(TemplateFault::BadName(name.into()));
        }
        if name.len() < inner.len() {
            self.wildcard = Some(name.into());
        } else {
            self.segments.push(Segment::Parameter(name.into()));
        }
        Ok(Some(name))
    }

    /// Whether there is a path that both match.
    fn overlaps(&self, other: &Template) -> bool {
        let (short, long) =
            if self.segments.len() <= other.segments.len() { (self, other) } else { (other, self) };
        let both = long.segments.split_at_checked(short.segments.len());
        let (beside, beyond) = both.unwrap_or((&long.segments, &[]));
        if !short.segments.iter().zip(beside).all(|(one, another)| one.overlaps(another)) {
            return false;
        }
        match (&short.wildcard, beyond) {
            // Both are at their end: neither may go on alone.
            (one, []) => one.is_some() == long.wildcard.is_some(),
            (None, _) => false,
            // The wildcard takes all that is beyond, if that can be anything but nothing.
            (Some(_), [Segment::Literal(only)]) => long.wildcard.is_some() || !only.is_empty(),
            (Some(_), _) => true,
        }
    }

    /// Matches the decoded segments of a path.
    fn matches<'a>(&'a self, path: &[Cow<'a, str>]) -> Option<Vec<(&'a str, Cow<'a, str>)>> {
        let (fixed, rest) = path.split_at_checked(self.segments.len())?;
        let mut params = Vec::new();
        for (segment, text) in self.segments.iter().zip(fixed) {
            match segment {
                Segment::Literal(literal) if **literal == **text => {}
                Segment::Parameter(name) if !text.is_empty() => params.push((&**name, text.clone())),
                _ => return None,
            }
        }
        match (&self.wildcard, rest) {
            (None, []) => {}
            (None, _) | (Some(_), []) => return None,
            (Some(_), [only]) if only.is_empty() => return None,
            (Some(name), [only]) => params.push((name, only.clone())),
            (Some(name), [first, others @ ..]) => {
                let mut rest = String::from(&**first);
                for segment in others {
                    rest.push('/');
                    rest.push_str(segment);
                }
                params.push((name, Cow::Owned(rest)));
            }
        }
        Some(params)
    }
}

impl fmt::Display for Template {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Segment {
    fn overlaps(&self, other: &Segment) -> bool {
        match (self, other) {
            (Segment::Literal(one), Segment::Literal(another)) => one == another,
            (Segment::Literal(text), Segment::Parameter(_))
            | (Segment::Parameter(_), Segment::Literal(text)) => !text.is_empty(),
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
        }
    }
}

fn parse_literal(part: &str) -> Result<Box<str>, TemplateFault> {
    match part.chars().find(|c| matches!(c, '{' | '}' | '?' | '#')) {
        Some('{') => Err(TemplateFault::PartOfSegment),
        Some('}') => Err(TemplateFault::NoOpeningBrace),
        Some(delimiter) => Err(TemplateFault::NotOfAPath(delimiter)),
        None => match decode_segment(part) {
            Ok(literal) => Ok(literal.into()),
            Err(PathFault::BadPercent) => Err(TemplateFault::BadPercent),
            Err(PathFault::NotUtf8) => Err(TemplateFault::NotUtf8),
        },
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| !first.is_ascii_digit())
}

/// Why a text is no [`Template`]. It reads as a sentence that begins with the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateError {
    /// The text.
    pub template: String,
    /// What is wrong with it.
    pub fault: TemplateFault,
}

/// What is wrong with a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TemplateFault {
    /// It does not begin with a slash.
    NoLeadingSlash,
    /// A brace is opened and not closed.
    NoClosingBrace,
    /// A brace is closed that was not opened.
    NoOpeningBrace,
    /// A parameter shares its segment with something else.
    PartOfSegment,
    /// This cannot be a parameter's name.
    BadName(String),
    /// Two parameters have this name.
    NameTwice(String),
    /// Something follows a wildcard.
    WildcardNotLast,
    /// A `?` or `#`, which no path contains.
    NotOfAPath(char),
    /// A `%` without two hexadecimal digits.
    BadPercent,
    /// Percent-encoded bytes that are not UTF-8.
    NotUtf8,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.template)?;
        match &self.fault {
            TemplateFault::NoLeadingSlash => f.write_str("does not begin with a slash"),
            TemplateFault::NoClosingBrace => f.write_str("has no closing brace"),
            TemplateFault::NoOpeningBrace => {
                f.write_str("closes a brace that it has not opened: write %7D for a brace of the path")
            }
            TemplateFault::PartOfSegment => f.write_str(
                "has a brace within a segment: a parameter is a whole segment, as in \"/lobby/{lobby_id}\"; write %7B \
                 for a brace of the path",
            ),
            TemplateFault::BadName(name) => write!(
                f,
                "names a parameter {name:?}: a name is made of A-Z, a-z, 0-9 and _, and does not begin with a digit"
            ),
            TemplateFault::NameTwice(name) => {
                write!(f, "has two parameters {name:?}: give each a name of its own")
            }
            TemplateFault::WildcardNotLast => {
                f.write_str("goes on after its wildcard: only the last segment can be one")
            }
            TemplateFault::NotOfAPath(delimiter) => write!(
                f,
                "contains {delimiter:?}, which ends a path: leave out what follows, or write %{:02X}",
                *delimiter as u32
            ),
            TemplateFault::BadPercent => {
                f.write_str("has a % without two hexadecimal digits: write %25 for a percent sign")
            }
            TemplateFault::NotUtf8 => {
                f.write_str("has percent-encoded bytes that are not UTF-8: write %C3%A9 for é, and not %E9")
            }
        }
    }
}

impl core::error::Error for TemplateError {}

/// The templates of a gateway's endpoints: no two of them match the same path.
///
/// They are found by their first literal. Those that share it are tried one by one, and those that begin with a
/// parameter or a wildcard always are. By default there are none, and no path matches.
#[derive(Clone, Default, Debug)]
pub struct Routes {
    templates: Vec<Template>,
    /// Indices of the templates by their first segment, if it is a literal.
    by_first_literal: BTreeMap<Box<str>, Vec<usize>>,
    /// Indices of all others.
    others: Vec<usize>,
}

/// What a path has matched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match<'a> {
    /// Which template, counted in the order in which they were given.
    pub index: usize,
    /// Its parameters in its order: name and percent-decoded value.
    pub params: Vec<(&'a str, Cow<'a, str>)>,
}

impl Routes {
    /// The templates, in an order that [`Match::index`] refers to; an error if some path could match two of them.
    pub fn new(templates: impl IntoIterator<Item = Template>) -> Result<Self, Overlap> {
        let templates: Vec<Template> = templates.into_iter().collect();
        let mut pairs = Vec::new();
        let mut by_first_literal = BTreeMap::<_, Vec<_>>::new();
        let mut others = Vec::new();
        for (index, template) in templates.iter().enumerate() {
            let earlier = templates.iter().take(index).enumerate();
            pairs.extend(
                earlier.filter(|(_, other)| template.overlaps(other)).map(|(other, _)| (other, index)),
            );
            match template.segments.first() {
                Some(Segment::Literal(first)) => {
                    by_first_literal.entry(first.clone()).or_default().push(index)
                }
                _ => others.push(index),
            }
        }
        if let [(one, another), ..] = &*pairs {
            let written = |index: &usize| templates.get(*index).map(Template::to_string).unwrap_or_default();
            let example = (written(one), written(another));
            return Err(Overlap { pairs, example });
        }
        Ok(Routes { templates, by_first_literal, others })
    }

    /// The template that a request's path matches, the query being off already. A path that does not decode is a
    /// fault even where no template would match it (language.md, "Handshake").
    pub fn find<'a>(&'a self, raw_path: &'a str) -> Result<Option<Match<'a>>, PathFault> {
        let segments: Vec<_> = raw_path.split('/').map(decode_segment).collect::<Result<_, _>>()?;
        // What stands before the first slash is nothing, as every template begins with one.
        let [before, path @ ..] = &*segments else { return Ok(None) };
        let Some(first) = path.first().filter(|_| before.is_empty()) else { return Ok(None) };
        let same_first = self.by_first_literal.get(&**first).into_iter().flatten();
        let mut matches = same_first.chain(&self.others).filter_map(|&index| {
            let params = self.templates.get(index)?.matches(path)?;
            Some(Match { index, params })
        });
        Ok(matches.next())
    }
}

/// Why templates cannot stand side by side: some path matches two of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overlap {
    /// The indices of all pairs that overlap, the smaller one first.
    pub pairs: Vec<(usize, usize)>,
    /// How the first pair is written.
    example: (String, String),
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, another) = &self.example;
        write!(f, "{one:?} and {another:?} match the same path: make them differ in a literal segment")?;
        match &*self.pairs {
            [] | [_] => Ok(()),
            [_, others @ ..] => write!(f, "; so do {} other pairs", others.len()),
        }
    }
}

impl core::error::Error for Overlap {}

/// Why a request's path cannot be read: a case for 400 (language.md, "Handshake").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PathFault {
    /// A `%` without two hexadecimal digits.
    BadPercent,
    /// Percent-encoded bytes that are not UTF-8.
    NotUtf8,
}

/// Borrowed where nothing is encoded.
fn decode_segment(raw: &str) -> Result<Cow<'_, str>, PathFault> {
    // The decoder would let a malformed escape pass as it stands.
    let is_escape = |after: &str| matches!(after.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if !raw.split('%').skip(1).all(is_escape) {
        return Err(PathFault::BadPercent);
    }
    percent_decode_str(raw).decode_utf8().map_err(|_| PathFault::NotUtf8)
}
