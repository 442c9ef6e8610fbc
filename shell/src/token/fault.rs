//! Why a token was refused.

// One line to swap once the core has it: `pub use trunkline_core::handshake::TokenFault;`
pub use local::TokenFault;

mod local {
    /// Why a token was refused (language.md, "Handshake": each of them is answered with 401).
    ///
    /// In the order in which they are looked for: the first that applies is the one that is reported.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum TokenFault {
        /// None of the endpoint's sources carries a token.
        Missing,
        /// It is no JWS in compact form with a JSON object as its claims (RFC 7515, RFC 7519).
        Malformed,
        /// Its `alg` is not one that the endpoint accepts; `none` never is.
        AlgorithmNotAllowed,
        /// Its `kid` names no key of that algorithm.
        UnknownKey,
        /// No key confirms the signature.
        BadSignature,
        /// `exp`, leeway included, is over.
        Expired,
        /// `nbf`, leeway included, is yet to come.
        NotYetValid,
        /// `iss` is not an accepted issuer.
        WrongIssuer,
        /// `aud` names no accepted audience.
        WrongAudience,
        /// The user claim is absent, not a string, empty or too long.
        NoUser,
    }
}
