//! Path templates against a reading of their text that shares nothing with the core and takes no short cut.

use trunkline_core::path::{Routes, Template};

/// Templates that are tried against each other at most.
const TEMPLATES_MAX: usize = 12;

/// Reads templates, one a line, and after an empty line paths. Text that is not UTF-8 is nothing to either.
///
/// # Panics
///
/// A template is taken that is none, or refused that is one; an overlap is missed or invented; a path finds another
/// endpoint, or other parameters, than it should.
pub fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (sources, paths) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut templates: Vec<&str> = Vec::new();
    for source in sources.split('\n') {
        let parsed = Template::parse(source);
        assert_eq!(parsed.is_ok(), is_template(source), "{source:?}: {parsed:?}");
        match parsed {
            Ok(template) => {
                assert_eq!(template.to_string(), source);
                templates.push(source);
            }
            Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
        }
    }
    templates.truncate(TEMPLATES_MAX);
    overlaps_are_all_named(&templates);

    let mut kept: Vec<&str> = Vec::new();
    for template in templates {
        if !kept.iter().any(|other| shared_path(template, other).is_some()) {
            kept.push(template);
        }
    }
    // Whatever stands as a template is a path too, and so is what stands as a path.
    for path in paths.split('\n').chain(sources.split('\n')) {
        finds(&kept, path);
    }
}

/// Demands that the path finds the template that it matches, and the parameters that it has.
///
/// # Panics
///
/// It does not, or the templates cannot stand side by side.
pub fn finds(templates: &[&str], path: &str) {
    let routes = routes(templates).unwrap_or_else(|pairs| panic!("{templates:?} overlap: {pairs:?}"));
    let decodes = path.split('/').all(|segment| decode(segment).is_some());
    let expected = templates.iter().enumerate().find_map(|(at, source)| Some((at, matches(source, path)?)));
    let found = routes.find(path).map(|found| {
        found.map(|found| {
            let params = found.params.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned()));
            (found.index, params.collect())
        })
    });
    match found {
        Ok(found) => {
            assert!(decodes && found == expected, "{path:?} in {templates:?}: {found:?}, not {expected:?}")
        }
        Err(fault) => assert!(!decodes, "{path:?} decodes, and yet: {fault:?}"),
    }
}

/// Demands that of these templates just those pairs are refused for which there is a path that both match.
fn overlaps_are_all_named(templates: &[&str]) {
    let mut pairs = Vec::new();
    for (at, template) in templates.iter().enumerate() {
        let earlier = templates.iter().take(at).enumerate();
        pairs
            .extend(earlier.filter_map(|(other, source)| shared_path(template, source).map(|_| (other, at))));
    }
    let refused = routes(templates).err().unwrap_or_default();
    assert_eq!(refused, pairs, "{templates:?}");
}

fn routes(templates: &[&str]) -> Result<Routes, Vec<(usize, usize)>> {
    let parse = |source: &&str| Template::parse(source).unwrap_or_else(|error| panic!("{error}"));
    Routes::new(templates.iter().map(parse)).map_err(|overlap| overlap.pairs)
}

/// Whether the text is a template, by docs/configuration.md.
fn is_template(source: &str) -> bool {
    let Some(path) = source.strip_prefix('/') else { return false };
    let segments: Vec<&str> = path.split('/').collect();
    let names: Vec<&str> = segments.iter().filter_map(|segment| name_of(segment)).collect();
    let is_name = |name: &&str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let is_segment = |(at, segment): (usize, &&str)| match name_of(segment) {
        Some(_) => !segment.starts_with("{*") || at + 1 == segments.len(),
        None => !segment.contains(['{', '}', '?', '#']) && decode(segment).is_some(),
    };
    let differ = |(at, name): (usize, &&str)| !names[..at].contains(name);
    names.iter().all(is_name)
        && segments.iter().enumerate().all(is_segment)
        && names.iter().enumerate().all(differ)
}

/// The name in `{name}` or `{*name}`.
fn name_of(segment: &str) -> Option<&str> {
    let inner = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(inner.strip_prefix('*').unwrap_or(inner))
}

/// Names and values of the parameters, if the path matches the template: by the texts of both, segment by segment.
pub fn matches(source: &str, path: &str) -> Option<Vec<(String, String)>> {
    let mut values = Vec::new();
    let mut path = path.strip_prefix('/');
    for segment in source.split('/').skip(1) {
        let rest = path?;
        let name = name_of(segment);
        if segment.starts_with("{*") {
            values.push((name?.to_owned(), decode(rest)?));
            return (!rest.is_empty()).then_some(values);
        }
        let (text, after) = match rest.split_once('/') {
            Some((text, after)) => (decode(text)?, Some(after)),
            None => (decode(rest)?, None),
        };
        match name {
            Some(_) if text.is_empty() => return None,
            Some(name) => values.push((name.to_owned(), text)),
            None if text != decode(segment)? => return None,
            None => {}
        }
        path = after;
    }
    path.is_none().then_some(values)
}

/// A path that both templates match, if there is one: there is just one that has to be tried. Where either has a
/// literal the path has it, else anything; and it is as long as the longer one asks for.
pub fn shared_path(one: &str, another: &str) -> Option<String> {
    let (one_has, another_has): (Vec<_>, Vec<_>) = (one.split('/').collect(), another.split('/').collect());
    let mut path = String::new();
    for at in 1..one_has.len().max(another_has.len()) {
        let both = [one_has.get(at), another_has.get(at)].into_iter().flatten();
        let literal = both.into_iter().find(|segment| name_of(segment).is_none());
        path = format!("{path}/{}", literal.unwrap_or(&"x"));
    }
    (matches(one, &path).is_some() && matches(another, &path).is_some()).then_some(path)
}

/// What the text stands for, `None` where a percent sign does not begin an escape or the bytes are not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}
