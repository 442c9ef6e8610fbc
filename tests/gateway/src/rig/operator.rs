//! An operator: asks the admin listener, and holds what it answers to its description.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;

use super::{Answer, Handshake, Raw, within};

/// Asks and acts. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Operator {
    address: SocketAddr,
    token: Option<String>,
}

impl Operator {
    /// At this address, with nothing to show.
    pub fn at(address: SocketAddr) -> Self {
        Operator { address, token: None }
    }

    /// With this token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// A request that can still be made wrong.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Handshake {
        let line = format!("{method} {path} HTTP/1.1");
        let mut request = Handshake::get(path).line(&line).without("Host").with("Host", "localhost");
        if let Some(token) = &self.token {
            request = request.token(token);
        }
        match body {
            None => request,
            Some(body) => request
                .with("Content-Type", "application/json")
                .with("Content-Length", &body.to_string().len().to_string()),
        }
    }

    /// Sends a request, with a body where it is said to have one.
    pub async fn send(&self, request: &Handshake, body: &str) -> Answer {
        let mut raw = Raw::connect(self.address).await;
        raw.request(format!("{}{body}", request.text()).as_bytes()).await
    }

    /// `GET`, whatever the answer.
    pub async fn ask(&self, path: &str) -> Answer {
        self.send(&self.request("GET", path, None), "").await
    }

    /// `GET`, answered with 200 and JSON.
    ///
    /// # Panics
    ///
    /// It is answered otherwise.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask(path).await;
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.json()
    }

    /// Another method, with JSON where there is any.
    pub async fn act(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path, body.as_ref());
        self.send(&request, &body.map_or(String::new(), |body| body.to_string())).await
    }

    /// Asks again and again until the answer is as wished, and returns it.
    pub async fn until(&self, path: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let asked = async {
            loop {
                let answer = self.get(path).await;
                if is(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        within(&format!("{path} says: {what}"), asked).await
    }

    /// What `/metrics` says.
    pub async fn scrape(&self) -> Scrape {
        let answer = self.ask("/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Scrape(answer.body)
    }

    /// Scrapes until a figure is as wished.
    pub async fn until_scraped(&self, figure: &str, is: impl Fn(f64) -> bool) -> Scrape {
        let asked = async {
            loop {
                let scrape = self.scrape().await;
                if scrape.figures().get(figure).is_some_and(|value| is(*value)) {
                    return scrape;
                }
                tokio::task::yield_now().await;
            }
        };
        within(&format!("{figure} is as wished"), asked).await
    }
}

/// What was scraped.
#[derive(Clone, Debug)]
pub struct Scrape(
    /// As it came.
    pub String,
);

impl Scrape {
    /// The figures by name and labels, as they are written: `name{label="value"}`.
    pub fn figures(&self) -> BTreeMap<&str, f64> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        let figures = lines.filter_map(|line| line.rsplit_once(' '));
        figures.map(|(name, value)| (name, value.parse().expect("a figure is a number"))).collect()
    }

    /// One figure.
    ///
    /// # Panics
    ///
    /// There is none.
    pub fn figure(&self, name: &str) -> f64 {
        *self.figures().get(name).unwrap_or_else(|| panic!("no {name} in\n{}", self.0))
    }
}
