//! What is wrong with a configuration, all of it, in words that say what to do.

use std::{error::Error, fmt, path::PathBuf};

/// One thing that is wrong. Shows as one line: `line 7: limits.headers_max: 0 is out of range; …`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// The line of the file, counted from 1, where there is one: a variable of the environment has none.
    pub line: Option<usize>,
    /// The key, with the tables that it is in; or the variable of the environment; empty for the file as a whole.
    pub key: String,
    /// What is wrong with it and what to do, never with a secret in it.
    pub text: String,
}

/// Everything that is wrong with a configuration: at least one problem, in the order of the file's lines, those
/// without a line last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems {
    /// The file, if the text came from one.
    pub file: Option<PathBuf>,
    /// The problems, none of them twice.
    pub list: Vec<Problem>,
}

impl Problems {
    /// The problems in the order in which they are to be read.
    pub(super) fn new(mut list: Vec<Problem>) -> Self {
        list.sort_by_cached_key(|problem| (problem.line.unwrap_or(usize::MAX), problem.clone()));
        list.dedup();
        Problems { file: None, list }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// One line each; under a heading that names the file, if there is one.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        if let Some(file) = &self.file {
            writeln!(f, "{}: {count} problem{}", file.display(), if count == 1 { "" } else { "s" })?;
        }
        for (at, problem) in self.list.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl Error for Problems {}
