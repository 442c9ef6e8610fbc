//! Stands in for `trunkline_core::path` until that is there: replace this file by
//! `pub use trunkline_core::path::{Overlap, Routes, Template};` and look at `endpoint::template` and
//! `refuse_overlaps`, which are all that use it.

/// A path template such as `/lobby/{lobby_id}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template(Vec<Segment>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    Literal(String),
    Parameter(String),
}

/// The templates of all endpoints, of which at most one matches a path.
#[derive(Debug)]
pub(super) struct Routes;

/// The pairs of templates that match the same path, by their indices.
#[derive(Debug)]
pub(super) struct Overlap {
    pub(super) pairs: Vec<(usize, usize)>,
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Template, &'static str> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err("does not begin with a slash");
        };
        if text.contains(['?', '#', ' ']) {
            return Err("has a character that no path has");
        }
        rest.split('/').map(Segment::parse).collect::<Result<_, _>>().map(Template)
    }

    fn overlaps(&self, other: &Template) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|pair| match pair {
                (Segment::Literal(mine), Segment::Literal(theirs)) => mine == theirs,
                _ => true,
            })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Segment, &'static str> {
        match (text.strip_prefix('{'), text.contains(['{', '}'])) {
            (None, false) => Ok(Segment::Literal(text.to_owned())),
            (None, true) => Err("has a brace inside a segment"),
            (Some(rest), _) => match rest.strip_suffix('}') {
                None => Err("has no closing brace"),
                Some("") => Err("has a parameter without a name"),
                Some(name) => Ok(Segment::Parameter(name.to_owned())),
            },
        }
    }
}

impl Routes {
    /// Puts templates together, unless two of them match the same path.
    pub(super) fn new(templates: impl IntoIterator<Item = Template>) -> Result<Routes, Overlap> {
        let all: Vec<Template> = templates.into_iter().collect();
        let indices = (0..all.len()).flat_map(|left| (left + 1..all.len()).map(move |right| (left, right)));
        let pairs: Vec<_> = indices.filter(|&(left, right)| all[left].overlaps(&all[right])).collect();
        if pairs.is_empty() { Ok(Routes) } else { Err(Overlap { pairs }) }
    }
}
