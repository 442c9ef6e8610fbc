//! What a configuration becomes, and what is said of one that is wrong.

mod documentation;
mod problems;
mod robustness;
mod values;

use std::path::Path;

use super::{Config, Problems};

/// A secret that is long enough for every algorithm, and must never be shown.
const SECRET: &str = "hush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush-hush";

/// Reads a text with nothing in the environment but the secret of all endpoints.
fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("nowhere"), |name| {
        (name == "TRUNKLINE_TOKEN_SECRET").then(|| SECRET.to_owned())
    })
}

/// A text with one endpoint, `lobby`, and more lines in its table (from line 5 on).
fn lobby(more: &str) -> String {
    format!(
        "[endpoints.lobby]\npath = \"/lobby/{{id}}\"\nbackend = \"ws://localhost:9000/\"\n\
         token.algorithms = [\"HS256\"]\n{more}\n"
    )
}

/// What is said of a text.
fn said_of(text: &str) -> String {
    parse(text).map_or_else(|problems| problems.to_string(), |config| format!("{config:#?}"))
}
