//! From a token's text to its claims.

use std::time::Duration;

use super::{
    Algorithm, KeyProblem, TokenFault, TokenSettings,
    claims::Carried,
    compact::{Compact, Header},
    keys::KeyRing,
};

/// The most bytes of a token; a longer one is malformed, and nothing of it is decoded.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a verified token says. It holds no part of the token's text but the user's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// Who the client is: not empty, and at most `user_bytes_max` bytes.
    pub user: String,
    /// The first second, since 1970, at which the token is no longer valid, leeway included; `None`: it never ends.
    pub expires: Option<u64>,
}

/// Verifies tokens against an endpoint's keys and rules. It reads no clock, and its keys are not printable.
pub struct Verifier {
    keys: KeyRing,
    algorithms: Vec<Algorithm>,
    rules: Rules,
}

/// What the claims of a token with a good signature must satisfy.
struct Rules {
    issuers: Vec<String>,
    audiences: Vec<String>,
    leeway: Duration,
    user_claim: String,
    user_bytes_max: usize,
}

impl Verifier {
    /// Parses the keys, once and for all.
    ///
    /// # Errors
    ///
    /// All that is wrong with the keys, in the order of the settings: keys that cannot be used, keys that fit
    /// none of the allowed algorithms (in a set: all that it has), then allowed algorithms without a key.
    pub fn new(settings: &TokenSettings) -> Result<Verifier, Vec<KeyProblem>> {
        Ok(Verifier {
            keys: KeyRing::new(&settings.keys, &settings.algorithms)?,
            algorithms: settings.algorithms.clone(),
            rules: Rules {
                issuers: settings.issuers.clone(),
                audiences: settings.audiences.clone(),
                leeway: settings.leeway,
                user_claim: settings.user_claim.clone(),
                user_bytes_max: settings.user_bytes_max,
            },
        })
    }

    /// What the token proves at `now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// The first fault that applies, in the order of [`TokenFault`]; never [`TokenFault::Missing`].
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Malformed);
        }
        let compact = Compact::split(token)?;
        let header = Header::read(&compact.header)?;
        let carried = Carried::read(&compact.claims, &self.rules.user_claim)?;
        let validity = Validity::new(&carried, self.rules.leeway)?;

        let algorithm = self.allowed(&header.alg)?;
        self.keys.verify(algorithm, header.kid.as_deref(), compact.signed, &compact.signature)?;

        validity.check(now)?;
        self.rules.read(&carried, validity.expires)
    }

    fn allowed(&self, name: &str) -> Result<Algorithm, TokenFault> {
        let algorithm = name.parse().map_err(|_| TokenFault::AlgorithmNotAllowed)?;
        if self.algorithms.contains(&algorithm) {
            Ok(algorithm)
        } else {
            Err(TokenFault::AlgorithmNotAllowed)
        }
    }
}

impl Rules {
    fn read(&self, carried: &Carried<'_>, expires: Option<u64>) -> Result<Claims, TokenFault> {
        if !self.issuers.is_empty() && !carried.issuer_in(&self.issuers) {
            return Err(TokenFault::WrongIssuer);
        }
        if !self.audiences.is_empty() && !carried.audience_in(&self.audiences) {
            return Err(TokenFault::WrongAudience);
        }
        let user = carried.user().filter(|user| (1..=self.user_bytes_max).contains(&user.len()));
        Ok(Claims { user: user.ok_or(TokenFault::NoUser)?, expires })
    }
}

/// When a token is valid, leeway included.
struct Validity {
    /// The earliest instant, before leeway.
    begins: Option<Duration>,
    leeway: Duration,
    /// The first whole second that is too late.
    expires: Option<u64>,
}

impl Validity {
    fn new(carried: &Carried<'_>, leeway: Duration) -> Result<Validity, TokenFault> {
        let end = carried.expires()?.map(|exp| exp.saturating_add(leeway));
        Ok(Validity { begins: carried.begins()?, leeway, expires: end.map(round_up) })
    }

    fn check(&self, now: u64) -> Result<(), TokenFault> {
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(TokenFault::Expired);
        }
        let latest = Duration::from_secs(now).saturating_add(self.leeway);
        if self.begins.is_some_and(|begins| latest < begins) { Err(TokenFault::NotYetValid) } else { Ok(()) }
    }
}

/// Whole seconds, the fraction counted as one: `now`, a whole number, reaches both at once.
fn round_up(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}
