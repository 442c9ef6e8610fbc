//! From a token's text to its claims.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    Algorithm, KeyFault, KeyOrigin, KeyProblem, KeySource, Published, TokenFault, TokenSettings,
    claims::Carried,
    compact::{Compact, Header},
    keys::KeyRing,
    public,
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

/// Why a token proves nothing, and what might yet change that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    /// What is wrong with it, as far as is known.
    pub fault: TokenFault,
    /// Those of the [`Verifier::published`] keys, by their place, among which the one that it names could be and is
    /// not, or of which none has come: newer ones may prove it. None where the token would not do anyway.
    pub lacking: Vec<usize>,
}

/// Verifies tokens against an endpoint's keys and rules. It reads no clock, and its keys are not printable.
pub struct Verifier {
    trusts: Vec<Trust>,
    published: Vec<Arc<Published>>,
    algorithms: Vec<Algorithm>,
    rules: Rules,
}

/// Keys, and for whom they vouch.
struct Trust {
    /// The issuers; `None`: whoever the rules accept.
    issuers: Option<Vec<String>>,
    /// Keys that were there from the beginning.
    fixed: KeyRing,
    /// Which of the verifier's published keys are meant.
    published: Range<usize>,
}

/// A signature that is to be checked.
struct Signed<'t> {
    algorithm: Algorithm,
    kid: Option<&'t str>,
    message: &'t [u8],
    signature: &'t [u8],
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
    ///
    /// What a URL publishes comes later, so where there is one no algorithm for public keys lacks a key.
    pub fn new(settings: &TokenSettings) -> Result<Verifier, Vec<KeyProblem>> {
        let (mut trusts, mut published, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let bound = settings.bound.iter().map(|bound| (Some(bound.issuers.clone()), &bound.keys));
        let any = settings.bound.is_empty().then_some((None, &settings.keys));
        let mut first = 0;
        for (issuers, sources) in any.into_iter().chain(bound) {
            let (fixed, faults) = KeyRing::new(first, sources, &settings.algorithms);
            problems.extend(faults);
            let before = published.len();
            published.extend(sources.iter().filter_map(|source| match source {
                KeySource::Url(url) => Some(Arc::new(Published::new(url.clone(), &settings.algorithms))),
                _ => None,
            }));
            trusts.push(Trust { issuers, fixed, published: before..published.len() });
            first += sources.len();
        }
        let may_come = |algorithm| !published.is_empty() && public::scheme(algorithm).is_some();
        let has_key = |algorithm| trusts.iter().any(|trust| trust.fixed.serves(algorithm));
        let mut whole = |fault| problems.push(KeyProblem { origin: KeyOrigin::AllKeys, fault });
        if settings.algorithms.is_empty() {
            whole(KeyFault::NoAlgorithm);
        }
        for algorithm in settings.algorithms.iter().copied() {
            if !has_key(algorithm) && !may_come(algorithm) {
                whole(KeyFault::NoKeyFor(algorithm));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Verifier {
            trusts,
            published,
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

    /// The keys that are published, in the order in which the settings name them. Whoever fetches them puts them here.
    pub fn published(&self) -> &[Arc<Published>] {
        &self.published
    }

    /// Whether there is any key at all.
    pub fn has_keys(&self) -> bool {
        let fixed = |algorithm: &Algorithm| self.trusts.iter().any(|trust| trust.fixed.serves(*algorithm));
        self.algorithms.iter().any(fixed) || self.published.iter().any(|published| published.is_there())
    }

    /// What the token proves at `now`, in seconds since 1970, with the keys that are there.
    ///
    /// # Errors
    ///
    /// The first fault that applies, in the order of [`TokenFault`]; never [`TokenFault::Missing`]. Where keys are
    /// bound to issuers, a token of another is [`TokenFault::WrongIssuer`] before its signature is looked at: there is
    /// no key to look at it with.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenFault> {
        self.judge(token, now).map_err(|denied| denied.fault)
    }

    /// As [`Verifier::verify`], but says too whether newer keys might prove what the token claims.
    ///
    /// # Errors
    ///
    /// See [`Denied`].
    pub fn judge(&self, token: &str, now: u64) -> Result<Claims, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Malformed.into());
        }
        let compact = Compact::split(token)?;
        let header = Header::read(&compact.header)?;
        let carried = Carried::read(&compact.claims, &self.rules.user_claim)?;
        let validity = Validity::new(&carried, self.rules.leeway)?;

        let signed = Signed {
            algorithm: self.allowed(&header.alg)?,
            kid: header.kid.as_deref(),
            message: compact.signed,
            signature: &compact.signature,
        };
        let claims = || {
            validity.check(now)?;
            self.rules.read(&carried, validity.expires)
        };
        match self.check(&carried, &signed) {
            Ok(()) => Ok(claims()?),
            // Nobody is to be asked for the sake of a token that would be refused all the same.
            Err(denied) if claims().is_err() => Err(denied.fault.into()),
            Err(denied) => Err(denied),
        }
    }

    /// Whether a key signed it that vouches for the issuer.
    fn check(&self, carried: &Carried<'_>, signed: &Signed<'_>) -> Result<(), Denied> {
        let vouches =
            |trust: &&Trust| trust.issuers.as_ref().is_none_or(|issuers| carried.issuer_in(issuers));
        let mut trusts = self.trusts.iter().filter(vouches).peekable();
        if trusts.peek().is_none() {
            return Err(TokenFault::WrongIssuer.into());
        }
        let mut denied = Denied::from(TokenFault::UnknownKey);
        for trust in trusts {
            match signed.check(&trust.fixed) {
                Ok(()) => return Ok(()),
                Err(fault) => denied.fault = denied.fault.max(fault),
            }
            // No secret is ever published.
            let asks_for_public = public::scheme(signed.algorithm).is_some();
            for place in trust.published.clone().filter(|_| asks_for_public) {
                let keys = self.published.get(place).and_then(|published| published.keys());
                let Some(keys) = keys else {
                    denied.lacking.push(place);
                    continue;
                };
                match signed.check(&keys) {
                    Ok(()) => return Ok(()),
                    Err(fault) => denied.fault = denied.fault.max(fault),
                }
                if signed.kid.is_some_and(|kid| !keys.has(signed.algorithm, kid)) {
                    denied.lacking.push(place);
                }
            }
        }
        Err(denied)
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

impl Signed<'_> {
    fn check(&self, keys: &KeyRing) -> Result<(), TokenFault> {
        keys.verify(self.algorithm, self.kid, self.message, self.signature)
    }
}

impl From<TokenFault> for Denied {
    fn from(fault: TokenFault) -> Self {
        Denied { fault, lacking: Vec::new() }
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
