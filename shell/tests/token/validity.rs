//! `exp` and `nbf`, to the second.

use std::time::Duration;

use trunkline::token::{Algorithm, Claims, TokenFault, TokenSettings};

use crate::keys::*;

fn with_leeway(leeway: Duration) -> TokenSettings {
    TokenSettings { leeway, ..plain() }
}

fn judge_at(leeway: Duration, claims: &str, now: u64) -> Result<Claims, TokenFault> {
    let token = sign_text(r#"{"alg":"HS256"}"#, claims, Algorithm::HS256, &signer(Algorithm::HS256));
    verifier(&with_leeway(leeway)).verify(&token, now)
}

#[test]
fn a_token_ends_at_exp_plus_leeway() {
    let seconds = Duration::from_secs;
    let rows = [
        ("1000", seconds(0), 1000),
        ("1000", seconds(60), 1060),
        ("1000.0", seconds(0), 1000),
        ("1e3", seconds(0), 1000),
        ("1000.5", seconds(0), 1001),
        ("1000", Duration::from_millis(1500), 1002),
        ("1000.5", Duration::from_millis(500), 1001),
        ("1000.000000001", seconds(0), 1001),
        ("0", seconds(5), 5),
        ("-7", seconds(5), 5),
        ("-0.0", seconds(5), 5),
        ("-1e999", seconds(5), 5),
    ];
    for (exp, leeway, end) in rows {
        let claims = format!(r#"{{"sub":"ann","exp":{exp}}}"#);
        let valid = judge_at(leeway, &claims, end - 1).map(|claims| claims.expires);
        assert_eq!(valid, Ok(Some(end)), "{exp} + {leeway:?}, the last second");
        assert_eq!(
            judge_at(leeway, &claims, end),
            Err(TokenFault::Expired),
            "{exp} + {leeway:?}, the first too late"
        );
    }
}

#[test]
fn a_token_begins_at_nbf_less_leeway() {
    let seconds = Duration::from_secs;
    let rows = [
        ("1000", seconds(0), 1000),
        ("1000", seconds(60), 940),
        ("1000.5", seconds(0), 1001),
        ("1000.5", Duration::from_millis(500), 1000),
        ("1000", Duration::from_millis(1500), 999),
    ];
    for (nbf, leeway, begin) in rows {
        let claims = format!(r#"{{"sub":"ann","nbf":{nbf}}}"#);
        assert_eq!(
            judge_at(leeway, &claims, begin - 1),
            Err(TokenFault::NotYetValid),
            "{nbf} - {leeway:?}, too early"
        );
        assert!(judge_at(leeway, &claims, begin).is_ok(), "{nbf} - {leeway:?}, the first second");
    }
}

#[test]
fn a_token_without_exp_never_ends() {
    for leeway in [Duration::ZERO, Duration::MAX] {
        let claims = judge_at(leeway, r#"{"sub":"ann"}"#, u64::MAX).expect("nothing ends it");
        assert_eq!(claims.expires, None);
    }
}

#[test]
fn absurd_times_are_as_late_as_can_be() {
    for absurd in ["18446744073709551615", "18446744073709551616", "1e300", "1e999", &"9".repeat(1000)] {
        let claims = judge_at(Duration::from_secs(60), &format!(r#"{{"sub":"ann","exp":{absurd}}}"#), NOW);
        assert_eq!(claims.map(|claims| claims.expires), Ok(Some(u64::MAX)), "{absurd}");
        let nbf = format!(r#"{{"sub":"ann","nbf":{absurd}}}"#);
        assert_eq!(judge_at(Duration::from_secs(60), &nbf, NOW), Err(TokenFault::NotYetValid), "{absurd}");
    }
    assert!(judge_at(Duration::MAX, r#"{"sub":"ann","exp":1e999,"nbf":1e999}"#, NOW).is_ok());
}

#[test]
fn times_that_are_no_numbers_are_malformed() {
    for value in [r#""1000""#, "null", "true", "[]", "{}", r#""""#, "[1900000000]"] {
        for name in ["exp", "nbf"] {
            let claims = format!(r#"{{"sub":"ann","{name}":{value}}}"#);
            assert_eq!(judge_at(Duration::ZERO, &claims, NOW), Err(TokenFault::Malformed), "{claims}");
        }
    }
}
