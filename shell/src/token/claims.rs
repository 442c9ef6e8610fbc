//! The claims of a token, as they stand in it (RFC 7519, section 4): found, typed where a type is demanded,
//! not yet judged.

use std::{borrow::Cow, fmt, time::Duration};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::TokenFault;

/// The claims that count, each still JSON; one claim may serve twice (`user_claim = "iss"`).
#[derive(Default)]
pub(super) struct Carried<'t> {
    exp: Option<&'t RawValue>,
    nbf: Option<&'t RawValue>,
    iss: Option<&'t RawValue>,
    aud: Option<&'t RawValue>,
    user: Option<&'t RawValue>,
}

impl<'t> Carried<'t> {
    /// Finds the claims that count; malformed if the text is no JSON object, or has one of them twice.
    pub(super) fn read(json: &'t str, user_claim: &str) -> Result<Carried<'t>, TokenFault> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let carried = Reader { user_claim }.deserialize(&mut reader).map_err(|_| TokenFault::Malformed)?;
        reader.end().map_err(|_| TokenFault::Malformed)?;
        Ok(carried)
    }

    /// When the token ends, if it ever does, as a span since 1970.
    pub(super) fn expires(&self) -> Result<Option<Duration>, TokenFault> {
        self.exp.map(numeric_date).transpose()
    }

    /// When the token begins, if that is said, as a span since 1970.
    pub(super) fn begins(&self) -> Result<Option<Duration>, TokenFault> {
        self.nbf.map(numeric_date).transpose()
    }

    /// Whether the issuer is one of these.
    pub(super) fn issuer_in(&self, accepted: &[String]) -> bool {
        self.iss.is_some_and(|iss| is_one_of(iss, accepted))
    }

    /// Whether one of the audiences, a string or an array of them, is one of these.
    pub(super) fn audience_in(&self, accepted: &[String]) -> bool {
        self.aud.is_some_and(|aud| match serde_json::from_str::<Vec<&RawValue>>(aud.get()) {
            Ok(several) => several.into_iter().any(|one| is_one_of(one, accepted)),
            Err(_) => is_one_of(aud, accepted),
        })
    }

    /// The user claim, if it is a string.
    pub(super) fn user(&self) -> Option<String> {
        serde_json::from_str(self.user?.get()).ok()
    }
}

fn is_one_of(json: &RawValue, accepted: &[String]) -> bool {
    serde_json::from_str::<Cow<'_, str>>(json.get()).is_ok_and(|text| accepted.iter().any(|one| *one == text))
}

/// A NumericDate (RFC 7519, section 2): seconds since 1970, fractions allowed. Before 1970 is 1970, and what is
/// too large for a `Duration`, or for a float even, is as late as can be. Anything but a number is malformed.
fn numeric_date(json: &RawValue) -> Result<Duration, TokenFault> {
    let text = json.get();
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    // JSON's numbers begin like this, and nothing else does: `inf` and `NaN`, which Rust reads, are no JSON.
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(TokenFault::Malformed);
    }
    let seconds: f64 = text.parse().map_err(|_| TokenFault::Malformed)?;
    if seconds <= 0.0 {
        return Ok(Duration::ZERO);
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// Which claims a member's name makes it; several, where the user claim is a registered one.
#[derive(Clone, Copy)]
struct Role {
    registered: Registered,
    user: bool,
}

#[derive(Clone, Copy)]
enum Registered {
    Exp,
    Nbf,
    Iss,
    Aud,
    Other,
}

#[derive(Clone, Copy)]
struct Reader<'s> {
    user_claim: &'s str,
}

impl<'t> DeserializeSeed<'t> for Reader<'_> {
    type Value = Carried<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Carried<'t>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for Reader<'_> {
    type Value = Carried<'t>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of claims")
    }

    fn visit_map<M: MapAccess<'t>>(self, mut members: M) -> Result<Carried<'t>, M::Error> {
        let mut carried = Carried::default();
        while let Some(role) = members.next_key_seed(Name(self))? {
            let registered = match role.registered {
                Registered::Exp => Some(&mut carried.exp),
                Registered::Nbf => Some(&mut carried.nbf),
                Registered::Iss => Some(&mut carried.iss),
                Registered::Aud => Some(&mut carried.aud),
                Registered::Other => None,
            };
            let user = role.user.then_some(&mut carried.user);
            if registered.is_none() && user.is_none() {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = members.next_value()?;
            for slot in [registered, user].into_iter().flatten() {
                if slot.replace(value).is_some() {
                    return Err(M::Error::custom("a claim is there twice"));
                }
            }
        }
        Ok(carried)
    }
}

/// Reads a member's name without copying it.
struct Name<'s>(Reader<'s>);

impl<'t> DeserializeSeed<'t> for Name<'_> {
    type Value = Role;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Role, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Role;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a claim's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Role, E> {
        let registered = match name {
            "exp" => Registered::Exp,
            "nbf" => Registered::Nbf,
            "iss" => Registered::Iss,
            "aud" => Registered::Aud,
            _ => Registered::Other,
        };
        Ok(Role { registered, user: name == self.0.user_claim })
    }
}
