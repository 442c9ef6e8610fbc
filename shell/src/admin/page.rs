//! The page for operators: files that are part of the program.
//!
//! They hold nothing about this gateway, so they are given without a token; what the page then asks of the API is not.
//! It runs no script but its own, loads nothing from elsewhere, cannot be framed, and cannot make markup of a string.
//!
//! The demo has another, `/try`: two clients beside each other. It is given the tokens that the demo prints, which are
//! good for the demo's chat and for nothing else. No other gateway has it.

use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Bytes,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY},
};
use serde_json::{Value, json as object};

use super::reply::{Answered, bytes, json};
use crate::config::Trial;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// What a browser lets the page do, but for where it may connect besides.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'; connect-src 'self'";
/// What `/try` asks for.
const TRIAL: &str = "/try/clients";

/// A file of the page.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

macro_rules! asset {
    ($path:literal, $content_type:expr, $file:literal) => {
        Asset {
            path: $path,
            content_type: $content_type,
            body: include_bytes!(concat!("../../page/", $file)),
        }
    };
}

const ASSETS: [Asset; 12] = [
    asset!("/", HTML, "index.html"),
    asset!("/page/style.css", CSS, "style.css"),
    asset!("/page/icon.svg", SVG, "icon.svg"),
    asset!("/page/main.js", SCRIPT, "main.js"),
    asset!("/page/api.js", SCRIPT, "api.js"),
    asset!("/page/chart.js", SCRIPT, "chart.js"),
    asset!("/page/closes.js", SCRIPT, "closes.js"),
    asset!("/page/dialogs.js", SCRIPT, "dialogs.js"),
    asset!("/page/dom.js", SCRIPT, "dom.js"),
    asset!("/page/endpoints.js", SCRIPT, "endpoints.js"),
    asset!("/page/format.js", SCRIPT, "format.js"),
    asset!("/page/sessions.js", SCRIPT, "sessions.js"),
];

/// What only the demo has.
const TRIAL_ASSETS: [Asset; 2] = [asset!("/try", HTML, "try.html"), asset!("/page/try.js", SCRIPT, "try.js")];

/// The file that is asked for, if it is one.
pub(super) fn find(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    trial: Option<&Trial>,
) -> Option<Answered> {
    if method != Method::GET && method != Method::HEAD {
        return None;
    }
    if let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) {
        return Some(asset.answer(headers, POLICY));
    }
    let trial = trial?;
    if path == TRIAL {
        return Some(json(&clients(trial)));
    }
    let asset = TRIAL_ASSETS.iter().find(|asset| asset.path == path)?;
    Some(asset.answer(headers, &format!("{POLICY} {}", trial.origin)))
}

fn clients(trial: &Trial) -> Value {
    let of = |(user, token): &(String, String)| object!({ "user": user, "token": token });
    object!({
        "url": format!("{}{}", trial.origin, trial.path),
        "clients": trial.clients.iter().map(of).collect::<Vec<_>>(),
    })
}

impl Asset {
    /// A browser keeps it, and asks each time whether it is still the same: a newer gateway has a newer page.
    fn answer(&self, headers: &HeaderMap, policy: &str) -> Answered {
        let tag = format!("\"{:016x}\"", fingerprint(self.body));
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = known.flat_map(|value| value.split(',')).map(|known| known.trim());
        let mut answer = match tags.any(|known| known.trim_start_matches("W/") == tag) {
            true => not_modified(),
            false => bytes(self.body, self.content_type),
        };
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        for (name, value) in [(ETAG, tag.as_str()), (CONTENT_SECURITY_POLICY, policy)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        answer
    }
}

fn not_modified() -> Answered {
    let mut answer = Response::new(Bytes::new().into());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer
}

/// FNV-1a: nobody who could choose the bytes would gain by it.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Asset> {
        ASSETS.iter().chain(&TRIAL_ASSETS)
    }

    fn text(path: &str) -> &'static str {
        let asset = all().find(|asset| asset.path == path).expect("there is one");
        str::from_utf8(asset.body).expect("it is text")
    }

    #[test]
    fn whatever_the_page_refers_to_is_served_and_all_that_is_served_is_referred_to() {
        let mut named = vec!["/".to_owned(), "/try".to_owned()];
        for asset in all() {
            let text = text(asset.path);
            for (begin, prefix) in [("\"./", "/page/"), ("\"/page/", "/page/")] {
                let rests = text.split(begin).skip(1);
                let names = rests.filter_map(|rest| rest.split('"').next());
                named.extend(names.map(|name| format!("{prefix}{name}")));
            }
            assert!(!text.contains("https://"), "{} refers to another place", asset.path);
        }
        named.sort();
        named.dedup();
        let mut served: Vec<_> = all().map(|asset| asset.path.to_owned()).collect();
        served.sort();
        assert_eq!(named, served);
    }

    #[test]
    fn a_browser_that_has_it_is_told_so() {
        let mut headers = HeaderMap::new();
        let first = find(&Method::GET, "/", &headers, None).expect("it is there");
        assert_eq!(first.status(), StatusCode::OK);
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        let again = |path| find(&Method::GET, path, &headers, None).expect("it is there").status();
        assert_eq!((again("/"), again("/page/main.js")), (StatusCode::NOT_MODIFIED, StatusCode::OK));
        assert!(find(&Method::POST, "/", &headers, None).is_none());
        assert!(find(&Method::GET, "/page/", &headers, None).is_none());
    }

    #[test]
    fn only_the_demo_is_tried() {
        let trial = Trial {
            origin: "ws://127.0.0.1:8080".to_owned(),
            path: "/lobby/1".to_owned(),
            clients: vec![("ann".to_owned(), "a.b.c".to_owned())],
        };
        let headers = HeaderMap::new();
        for path in ["/try", "/page/try.js", TRIAL] {
            assert!(find(&Method::GET, path, &headers, None).is_none(), "{path}");
            assert!(find(&Method::GET, path, &headers, Some(&trial)).is_some(), "{path}");
        }
        let page = find(&Method::GET, "/try", &headers, Some(&trial)).expect("it is there");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().expect("it is text");
        assert!(policy.ends_with("connect-src 'self' ws://127.0.0.1:8080"), "{policy}");
        assert!(!format!("{trial:?}").contains("a.b.c"));
    }
}
