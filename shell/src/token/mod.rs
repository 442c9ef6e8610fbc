//! Tokens become claims here, and nowhere else.

mod settings;

pub use jsonwebtoken::Algorithm;
pub use settings::{KeySource, Source, TokenSettings};
