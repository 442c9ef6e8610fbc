//! Answers to operators, and the bodies of their requests.

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The body of a request.
const BODY_BYTES_MAX: usize = 16 << 10;
const JSON: &str = "application/json";

pub(super) type Answered = Response<Full<Bytes>>;

/// Why a request is not answered as it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Bad(String),
    Unauthorized,
    ForeignHost,
    ForeignOrigin,
    NotFound,
    Method,
    TooLarge,
    NotJson,
    /// What is asked for cannot be done now.
    NotNow(String),
    /// The endpoint has ended, or there is too much to do.
    Busy,
}

impl Fault {
    fn parts(&self) -> (StatusCode, &'static str, &str) {
        match self {
            Fault::Bad(what) => (StatusCode::BAD_REQUEST, "bad_request", what),
            Fault::Unauthorized => {
                let what = "Bring the token in admin.token_file: Authorization: Bearer <token>.";
                (StatusCode::UNAUTHORIZED, "unauthorized", what)
            }
            Fault::ForeignHost => {
                let what = "Host names another machine; names that are this one's stand in admin.hosts.";
                (StatusCode::FORBIDDEN, "host_not_allowed", what)
            }
            Fault::ForeignOrigin => {
                (StatusCode::FORBIDDEN, "origin_not_allowed", "Pages of other origins change nothing here.")
            }
            Fault::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is none of this name."),
            Fault::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This path takes another method.")
            }
            Fault::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body may have 16 KiB."),
            Fault::NotJson => {
                let what = "The body must be application/json, and the header say so.";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", what)
            }
            Fault::NotNow(why) => (StatusCode::CONFLICT, "not_now", why),
            Fault::Busy => {
                let what = "The endpoint has ended, or has too much to do; try again.";
                (StatusCode::SERVICE_UNAVAILABLE, "busy", what)
            }
        }
    }

    pub(super) fn answer(&self) -> Answered {
        let (status, code, message) = self.parts();
        let mut answer = json_with(status, &json!({ "error": code, "message": message }));
        if status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

/// 200, as JSON.
pub(super) fn json(body: &Value) -> Answered {
    json_with(StatusCode::OK, body)
}

pub(super) fn json_with(status: StatusCode, body: &Value) -> Answered {
    let mut answer = bytes(body.to_string().into_bytes(), JSON);
    *answer.status_mut() = status;
    answer
}

/// 200. Nothing of it is to be kept, or taken for something else than it is.
pub(super) fn bytes(body: impl Into<Bytes>, content_type: &'static str) -> Answered {
    let mut answer = Response::new(Full::new(body.into()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let more = [("x-content-type-options", "nosniff"), ("cross-origin-resource-policy", "same-origin")];
    for (name, value) in more {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

/// Reads the body of a request. A page of another origin cannot send JSON and say so without asking first.
pub(super) async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Fault> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(JSON) {
        return Err(Fault::NotJson);
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Fault::TooLarge)?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| Fault::Bad(format!("the body: {error}")))
}
