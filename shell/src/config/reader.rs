//! Reads tables key by key and keeps all that is wrong, so that one look shows everything.
//!
//! Whoever takes a key says what it may be and what it is by default, in one line; the rest follows: a value is
//! looked for in the table and then in what it inherits from, a problem is put down with the line it is on, what
//! nobody took is unknown, and the list of [`Key`]s is what the documentation is checked against.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    kinds::{Kind, quote, what},
    problem::Problem,
    values::Values,
};

/// A key that the configuration knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Its name with the tables that it is in; those of endpoints without `endpoints.NAME`.
    pub name: String,
    /// The type, in words.
    pub kind: String,
    /// What it may be, in Markdown.
    pub range: String,
    /// What it is where it is not given, as TOML; `None` if there is no such value.
    pub default: Option<String>,
    /// Whether it must be given.
    pub required: bool,
}

/// What all sections of one text share.
pub(super) struct Reader<'a> {
    /// Where lines end.
    newlines: Vec<usize>,
    /// Where relative paths begin.
    pub(super) dir: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<BTreeSet<String>>,
    keys: RefCell<Vec<Key>>,
    values: RefCell<Values>,
}

/// What was found in a text.
pub(super) struct Found {
    /// All that is wrong.
    pub(super) problems: Vec<Problem>,
    /// All that is worth a second look.
    pub(super) warnings: Vec<String>,
    /// All keys that were asked for.
    pub(super) keys: Vec<Key>,
    /// What each of them is, where it is something.
    pub(super) values: Values,
}

/// A table, or the absence of one.
#[derive(Clone)]
pub(super) struct Layer<'a> {
    table: Option<&'a DeTable<'a>>,
    pub(super) name: String,
    line: Option<usize>,
    /// How the names of variables begin that stand for keys in here.
    variables: String,
}

/// A table from which keys are taken, with what it inherits from.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// The table itself, then the one that is asked for what the first does not have.
    layers: Vec<Layer<'a>>,
    /// In `[defaults]` nothing is required, and nothing is contradictory yet.
    pub(super) partial: bool,
    taken: RefCell<Vec<Taken>>,
}

/// Where a value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The key in full, or the variable.
    pub(super) name: String,
    line: Option<usize>,
    /// Whether it comes from what the section inherits from.
    pub(super) inherited: bool,
}

/// How two values must stand to each other.
pub(super) enum Order {
    Below,
    AtMost,
}

/// A key that was asked for.
struct Taken {
    key: String,
    place: Option<Place>,
    sound: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &str, dir: &'a Path, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let newlines =
            text.bytes().enumerate().filter_map(|(at, byte)| (byte == b'\n').then_some(at)).collect();
        let (problems, warnings, keys, values) = Default::default();
        Reader { newlines, dir, env, problems, warnings, keys, values }
    }

    /// The whole text as a table.
    pub(super) fn root(&self, table: Option<&'a DeTable<'a>>) -> Layer<'a> {
        Layer { table, name: String::new(), line: None, variables: "TRUNKLINE".to_owned() }
    }

    /// Reads a table. What is in the first layer and was not asked for is unknown.
    pub(super) fn section<T>(
        &'a self,
        layers: Vec<Layer<'a>>,
        partial: bool,
        read: impl FnOnce(&Section<'a>) -> T,
    ) -> T {
        let section = Section { reader: self, layers, partial, taken: RefCell::default() };
        let value = read(&section);
        section.refuse_unknown();
        value
    }

    /// What was found.
    pub(super) fn finish(self) -> Found {
        Found {
            problems: self.problems.into_inner(),
            warnings: self.warnings.into_inner().into_iter().collect(),
            keys: self.keys.into_inner(),
            values: self.values.into_inner(),
        }
    }

    /// Whether a variable of the environment is set.
    pub(super) fn is_set(&self, variable: &str) -> bool {
        (self.env)(variable).is_some()
    }

    /// Puts a problem down.
    pub(super) fn problem(&self, place: &Place, text: impl Into<String>) {
        let (key, line) = (place.name.clone(), place.line);
        self.problems.borrow_mut().push(Problem { line, key, text: text.into() });
    }

    /// Puts down what is worth a second look but no problem.
    pub(super) fn warn(&self, place: &Place, text: &str) {
        self.warnings.borrow_mut().insert(format!("{}: {text}", place.name));
    }

    /// The line, counted from 1, of a position in the text.
    pub(super) fn line(&self, position: usize) -> usize {
        1 + self.newlines.partition_point(|newline| *newline < position)
    }

    fn place(&self, layer: &Layer<'_>, key: &str, line: Option<usize>) -> Place {
        let bare =
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let key = if bare { key.to_owned() } else { quote(key) };
        let name = if layer.name.is_empty() { key } else { format!("{}.{key}", layer.name) };
        Place { name, line, inherited: false }
    }

    /// The table at a key of a table; an empty one where there is none.
    fn inner(&self, layer: &Layer<'a>, key: &str) -> Layer<'a> {
        let found = layer.table.and_then(|table| table.get_key_value(key));
        let line = found.map(|(key, _)| self.line(key.span().start));
        let place = self.place(layer, key, line);
        let value = found.map(|(_, value)| value.get_ref());
        let table = value.and_then(DeValue::as_table);
        if let (Some(value), None) = (value, table) {
            self.problem(&place, format!("{}; write a table: [{}]", what_it_is(value), place.name));
        }
        // Whatever the key is, the variable has a name that can be printed and set.
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let suffix: String = key.chars().map(letter).collect();
        // What is missing in a table that is missing is shown where the table would be.
        let line = line.or(layer.line);
        Layer { table, line, name: place.name, variables: format!("{}_{suffix}", layer.variables) }
    }
}

/// Like [`what`], but without the value: whoever wrote one where a table belongs may have meant any key.
fn what_it_is(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Array(_) => what(value),
        other => format!("it is of type {}", other.type_str()),
    }
}

impl<'a> Section<'a> {
    /// Takes a key that has a default.
    pub(super) fn get<K: Kind>(&self, key: &str, kind: K, default: K::Value) -> K::Value {
        self.know(key, &kind, Some(kind.show(&default)), false);
        let value = self.take(key, &kind).unwrap_or(default);
        self.note(key, &kind, &value);
        value
    }

    /// Takes a key that may be left out.
    pub(super) fn optional<K: Kind>(&self, key: &str, kind: K) -> Option<K::Value> {
        self.know(key, &kind, None, false);
        self.take(key, &kind).inspect(|value| self.note(key, &kind, value))
    }

    /// Takes a key that must be given, here or in `[defaults]`; `None` is a problem that is put down.
    pub(super) fn required<K: Kind>(&self, key: &str, kind: K, example: &str) -> Option<K::Value> {
        self.know(key, &kind, None, true);
        let value = self.take(key, &kind).inspect(|value| self.note(key, &kind, value));
        if self.place(key).is_none() && !self.partial {
            let place = Place { line: self.layers[0].line, ..self.place_of(key) };
            self.reader.problem(&place, format!("is missing; write {key} = {example}"));
        }
        value
    }

    /// Takes a key that must be given, and cannot stand in `[defaults]`.
    pub(super) fn own<K: Kind>(&self, key: &str, kind: K, example: &str) -> Option<K::Value> {
        let own = self.without_inherited();
        let value = own.required(key, kind, example);
        if let (true, Some(place)) = (self.partial, own.place(key)) {
            self.reader.problem(&place, "cannot be a default; write it in each [endpoints.NAME]");
        }
        self.taken.borrow_mut().append(&mut own.taken.borrow_mut());
        value
    }

    /// Takes keys that are inherited together or not at all: a table that has any of them, or for whose
    /// `secret` a variable is set, inherits none of them.
    pub(super) fn group<T>(&self, keys: &[&str], secret: &str, read: impl FnOnce(&Section<'a>) -> T) -> T {
        let has = |key: &&str| self.layers[0].table.is_some_and(|table| table.contains_key(*key));
        if !keys.iter().any(has) && !self.reader.is_set(&self.variable(secret)) {
            return read(self);
        }
        let own = self.without_inherited();
        let value = read(&own);
        self.taken.borrow_mut().append(&mut own.taken.borrow_mut());
        value
    }

    /// The section as if there were nothing to inherit. What is taken from it has to be taken over.
    fn without_inherited(&self) -> Section<'a> {
        Section {
            reader: self.reader,
            layers: vec![self.layers[0].clone()],
            partial: self.partial,
            taken: RefCell::default(),
        }
    }

    /// Takes a string that is a secret, from the environment before the table. What it is appears nowhere.
    pub(super) fn secret(&self, key: &str, kind: &str, from_env: bool) -> Option<(Place, String)> {
        let (name, range) = (self.name_of(key), "any but the empty one".to_owned());
        let known = Key { name, kind: kind.to_owned(), range, default: None, required: false };
        self.reader.keys.borrow_mut().push(known);
        let (place, value) = self.layers.iter().enumerate().find_map(|(at, layer)| {
            let variable = format!("{}_{}", layer.variables, key.to_ascii_uppercase());
            if let Some(value) = from_env.then(|| (self.reader.env)(&variable)).flatten() {
                return Some((Place { name: variable, line: None, inherited: at > 0 }, Some(value)));
            }
            let (place, value) = self.look_in(at, key)?;
            Some((place, value.get_ref().as_str().map(str::to_owned)))
        })?;
        let sound = matches!(&value, Some(text) if !text.is_empty());
        match &value {
            None => self.reader.problem(&place, "is not a string; put it in quotes"),
            Some(text) if text.is_empty() => {
                self.reader.problem(&place, "is empty; anyone could sign with it")
            }
            Some(_) => {}
        }
        self.taken.borrow_mut().push(Taken { key: key.to_owned(), place: Some(place.clone()), sound });
        let value = value.filter(|_| sound)?;
        self.hide(key, value.as_bytes());
        Some((place, value))
    }

    /// Takes a table whose keys are the operator's to choose, with values of one kind.
    pub(super) fn map<K: Kind>(&self, key: &str, names: &[&str], kind: &K) -> BTreeMap<String, K::Value> {
        self.know(key, kind, None, false);
        if let Some(known) = self.reader.keys.borrow_mut().last_mut() {
            known.kind = format!("table of {}s", known.kind);
        }
        let entries = self.layer(key);
        let mut read = BTreeMap::new();
        for (name, value) in entries.table.into_iter().flatten() {
            let place =
                self.reader.place(&entries, name.get_ref(), Some(self.reader.line(name.span().start)));
            if !names.contains(&&**name.get_ref()) {
                let all = names.join(", ");
                self.reader.problem(&place, format!("there is none of this name; there are {all}"));
                continue;
            }
            match kind.read(value.get_ref()) {
                Ok(value) => {
                    read.insert(name.get_ref().to_string(), value);
                }
                Err(problems) => problems.into_iter().for_each(|text| self.reader.problem(&place, text)),
            }
        }
        if !read.is_empty() {
            let shown: Vec<_> =
                read.iter().map(|(name, one)| format!("{name} = {}", kind.show(one))).collect();
            let shown = format!("{{ {} }}", shown.join(", "));
            self.reader.values.borrow_mut().note(self.name_of(key), shown.clone(), &shown);
        }
        read
    }

    /// Reads the table at a key, which inherits from the tables at the same key of what this one inherits from.
    pub(super) fn table<T>(&self, key: &str, read: impl FnOnce(&Section<'a>) -> T) -> T {
        self.took(key, None, true);
        let layers = self.layers.iter().map(|layer| self.reader.inner(layer, key)).collect();
        self.reader.section(layers, self.partial, read)
    }

    /// The table at a key, for later.
    pub(super) fn layer(&self, key: &str) -> Layer<'a> {
        self.took(key, None, true);
        self.reader.inner(&self.layers[0], key)
    }

    /// What endpoints inherit from. Its secret is the one whose variable names no endpoint.
    pub(super) fn defaults(&self) -> Layer<'a> {
        Layer { variables: self.layers[0].variables.clone(), ..self.layer("defaults") }
    }

    /// The tables in the table at a key, by their names.
    pub(super) fn layers(&self, key: &str) -> Vec<(&'a str, Layer<'a>)> {
        let outer = self.layer(key);
        let names = outer.table.into_iter().flat_map(|table| table.keys());
        names.map(|name| (&**name.get_ref(), self.reader.inner(&outer, name.get_ref()))).collect()
    }

    /// Reads the tables in the table at a key, each with its name: the section's own, or else those that it inherits.
    /// Where there are none, their keys are asked for all the same, for the list of all keys.
    pub(super) fn tables<T>(&self, key: &str, read: impl Fn(&str, &Section<'a>) -> T) -> Vec<T> {
        let given = self.layers.iter().find(|layer| layer.table.is_some_and(|table| table.contains_key(key)));
        let outer = self.reader.inner(given.unwrap_or(&self.layers[0]), key);
        let place = given.map(|_| Place { name: outer.name.clone(), line: outer.line, inherited: false });
        self.took(key, place, true);
        let Some(table) = outer.table.filter(|table| !table.is_empty()) else {
            self.reader.section(vec![self.reader.inner(&outer, "NAME")], true, |s| read("NAME", s));
            return Vec::new();
        };
        let names = table.keys().map(|name| &**name.get_ref());
        names
            .map(|name| {
                let layers = vec![self.reader.inner(&outer, name)];
                self.reader.section(layers, self.partial, |s| read(name, s))
            })
            .collect()
    }

    /// Puts a problem down if `broken`, unless one of the keys is wrong in itself. It is shown at the first of
    /// them that is given, the section's own before the inherited.
    pub(super) fn contradiction(&self, broken: bool, keys: &[&str], text: impl FnOnce() -> String) {
        let taken = self.taken.borrow();
        let concerned = || taken.iter().filter(|taken| keys.contains(&taken.key.as_str()));
        if !broken || self.partial || concerned().any(|taken| !taken.sound) {
            return;
        }
        let mut places: Vec<_> = concerned().filter_map(|taken| taken.place.clone()).collect();
        places.sort_by_key(|place| place.inherited);
        let place = places.into_iter().next().unwrap_or_else(|| self.here());
        self.reader.problem(&place, text());
    }

    /// Puts a problem down unless the value of the first key is below, or at most, that of the second.
    pub(super) fn ordered<K: Kind<Value: PartialOrd>>(
        &self,
        (lesser, low): (&str, K::Value),
        (greater, high): (&str, K::Value),
        kind: K,
        order: Order,
    ) {
        let (broken, must) = match order {
            Order::Below => (low >= high, "below"),
            Order::AtMost => (low > high, "at most"),
        };
        self.contradiction(broken, &[lesser, greater], || {
            let (low, high) = (kind.show(&low), kind.show(&high));
            format!("{lesser} = {low} must be {must} {greater} = {high}; lower the one or raise the other")
        });
    }

    /// Where a key that was taken stands.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.taken.borrow().iter().find(|taken| taken.key == key).and_then(|taken| taken.place.clone())
    }

    /// Whether a key was wrong in itself.
    pub(super) fn is_unsound(&self, key: &str) -> bool {
        self.taken.borrow().iter().any(|taken| taken.key == key && !taken.sound)
    }

    /// Puts a problem down with a key that was taken.
    pub(super) fn unsound(&self, place: &Place, key: &str, text: impl Into<String>) {
        self.reader.problem(place, text);
        self.mark_unsound(key);
    }

    /// A key that was taken is wrong, which has been put down.
    pub(super) fn mark_unsound(&self, key: &str) {
        self.taken
            .borrow_mut()
            .iter_mut()
            .filter(|taken| taken.key == key)
            .for_each(|taken| taken.sound = false);
    }

    /// The section itself.
    pub(super) fn here(&self) -> Place {
        Place { name: self.layers[0].name.clone(), line: self.layers[0].line, inherited: false }
    }

    /// The variable of the environment that stands for a key of the section itself.
    pub(super) fn variable(&self, key: &str) -> String {
        format!("{}_{}", self.layers[0].variables, key.to_ascii_uppercase())
    }

    fn take<K: Kind>(&self, key: &str, kind: &K) -> Option<K::Value> {
        let Some((place, value)) = (0..self.layers.len()).find_map(|at| self.look_in(at, key)) else {
            self.took(key, None, true);
            return None;
        };
        let read = kind.read(value.get_ref());
        self.took(key, Some(place.clone()), read.is_ok());
        let problems = read.as_ref().err().into_iter().flatten();
        problems.for_each(|text| self.reader.problem(&place, text.as_str()));
        read.ok()
    }

    fn look_in(&self, at: usize, key: &str) -> Option<(Place, &'a Spanned<DeValue<'a>>)> {
        let layer = &self.layers[at];
        let (key, value) = layer.table?.get_key_value(key)?;
        let line = Some(self.reader.line(key.span().start));
        Some((Place { inherited: at > 0, ..self.reader.place(layer, key.get_ref(), line) }, value))
    }

    fn took(&self, key: &str, place: Option<Place>, sound: bool) {
        self.taken.borrow_mut().push(Taken { key: key.to_owned(), place, sound });
    }

    fn know<K: Kind>(&self, key: &str, kind: &K, default: Option<String>, required: bool) {
        let (name, range) = (self.name_of(key), kind.range());
        let known = Key { name, kind: kind.name(), range, default, required };
        self.reader.keys.borrow_mut().push(known);
    }

    /// Takes note of what a key is. What stands in `[defaults]` is noted where it is inherited.
    fn note<K: Kind>(&self, key: &str, kind: &K, value: &K::Value) {
        if !self.partial {
            let (shown, whole) = (kind.show(value), kind.identify(value));
            self.reader.values.borrow_mut().note(self.name_of(key), shown, &whole);
        }
    }

    /// Takes note of what belongs to a key and is shown to nobody.
    pub(super) fn hide(&self, key: &str, what: &[u8]) {
        if !self.partial {
            self.reader.values.borrow_mut().hide(self.name_of(key), "(not shown)", what);
        }
    }

    fn name_of(&self, key: &str) -> String {
        self.place_of(key).name
    }

    /// Where a key of the section itself would stand.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.reader.place(&self.layers[0], key, None)
    }

    /// What nobody asked for. Its value is not shown: it may be a secret whose key is misspelt.
    fn refuse_unknown(&self) {
        let taken = self.taken.borrow();
        for key in self.layers[0].table.into_iter().flat_map(|table| table.keys()) {
            let name: &str = key.get_ref();
            if taken.iter().any(|taken| taken.key == name) {
                continue;
            }
            let known = taken.iter().map(|taken| taken.key.as_str());
            let place = self.reader.place(&self.layers[0], name, Some(self.reader.line(key.span().start)));
            self.reader.problem(
                &place,
                match nearest(name, known) {
                    Some(meant) => format!("is not a key; did you mean {meant}?"),
                    None => "is not a key; take it out, or look it up in docs/configuration.md".to_owned(),
                },
            );
        }
    }
}

/// The word that was probably meant: at most a third of its letters differ.
fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let near = known.map(|known| (strsim::damerau_levenshtein(word, known), known));
    near.filter(|(distance, known)| *distance <= known.len().div_ceil(3)).min().map(|(_, known)| known)
}
