//! The outer form of a token: three parts in base64url, the first of which is the header (RFC 7515, section 3.1).

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};

use super::TokenFault;

/// A token taken apart, nothing in it believed yet.
pub(super) struct Compact<'t> {
    /// What the signature is over: the first two parts with the dot between them, as they came.
    pub(super) signed: &'t [u8],
    /// The header, decoded: JSON, presumably.
    pub(super) header: String,
    /// The claims, decoded: JSON, presumably.
    pub(super) claims: String,
    /// The signature, decoded; empty where there is none.
    pub(super) signature: Vec<u8>,
}

impl<'t> Compact<'t> {
    /// Takes a token apart; malformed unless it has three parts, each of them canonical base64url without
    /// padding, and the first two hold UTF-8.
    pub(super) fn split(token: &'t str) -> Result<Compact<'t>, TokenFault> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenFault::Malformed)?;
        Ok(Compact {
            signed: signed.as_bytes(),
            header: decode_text(header)?,
            claims: decode_text(claims)?,
            signature: decode(signature)?,
        })
    }
}

/// What counts of a token's header (RFC 7515, section 4.1). Keys that the token brings along (`jwk`, `jku`,
/// `x5c`, `x5u`) are never looked at.
#[derive(Deserialize)]
pub(super) struct Header<'t> {
    /// The algorithm's name, as it stands.
    #[serde(borrow)]
    pub(super) alg: Cow<'t, str>,
    /// The name of the key.
    pub(super) kid: Option<String>,
    /// Extensions that must be understood.
    crit: Option<IgnoredAny>,
}

impl<'t> Header<'t> {
    /// Reads a header; malformed if it is no JSON object, if a member that counts is there twice or of the
    /// wrong type, or if it demands an extension: none is understood here (RFC 7515, section 4.1.11).
    pub(super) fn read(json: &'t str) -> Result<Header<'t>, TokenFault> {
        // A derived `Deserialize` takes an array for a struct too.
        if !json.trim_ascii_start().starts_with('{') {
            return Err(TokenFault::Malformed);
        }
        let header: Header<'t> = serde_json::from_str(json).map_err(|_| TokenFault::Malformed)?;
        if header.crit.is_some() { Err(TokenFault::Malformed) } else { Ok(header) }
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed)
}

fn decode_text(part: &str) -> Result<String, TokenFault> {
    String::from_utf8(decode(part)?).map_err(|_| TokenFault::Malformed)
}
