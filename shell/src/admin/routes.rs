//! What there is to ask: a table, which a test holds to `docs/openapi.json`.

use std::collections::BTreeMap;

use hyper::Method;
use percent_encoding::percent_decode_str;

use super::reply::Fault;

/// What can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    Metrics,
    Overview,
    Endpoints,
    Endpoint,
    Series,
    Recording,
    Session,
    CloseSession,
    Sessions,
    Closes,
    CloseUser,
    Drain,
    Log,
    SetLog,
    Configuration,
    Reload,
    OpenApi,
}

/// By method and path, each with the parameters that may be in its query.
const ROUTES: [(Method, &str, Route, &[&str]); 17] = [
    (Method::GET, "/metrics", Route::Metrics, &[]),
    (Method::GET, "/api/v1/overview", Route::Overview, &[]),
    (Method::GET, "/api/v1/endpoints", Route::Endpoints, &[]),
    (Method::GET, "/api/v1/endpoints/{name}", Route::Endpoint, &[]),
    (Method::GET, "/api/v1/endpoints/{name}/series", Route::Series, &["since"]),
    (Method::GET, "/api/v1/endpoints/{name}/recording", Route::Recording, &[]),
    (Method::GET, "/api/v1/endpoints/{name}/sessions/{id}", Route::Session, &[]),
    (Method::POST, "/api/v1/endpoints/{name}/sessions/{id}/close", Route::CloseSession, &[]),
    (Method::GET, "/api/v1/sessions", Route::Sessions, &["endpoint", "user", "contains", "limit", "after"]),
    (Method::GET, "/api/v1/closes", Route::Closes, &["endpoint", "user", "limit"]),
    (Method::POST, "/api/v1/users/close", Route::CloseUser, &[]),
    (Method::POST, "/api/v1/drain", Route::Drain, &[]),
    (Method::GET, "/api/v1/log", Route::Log, &[]),
    (Method::PUT, "/api/v1/log", Route::SetLog, &[]),
    (Method::GET, "/api/v1/configuration", Route::Configuration, &[]),
    (Method::POST, "/api/v1/reload", Route::Reload, &[]),
    (Method::GET, "/api/v1/openapi.json", Route::OpenApi, &[]),
];

impl Route {
    /// Whether it changes anything.
    pub(super) fn changes(self) -> bool {
        ROUTES.iter().any(|(method, _, route, _)| *route == self && !method.is_safe())
    }
}

/// What is asked, and of what.
pub(super) struct Found {
    pub(super) route: Route,
    /// What stands in the path in place of names in braces, decoded.
    pub(super) params: Vec<String>,
}

/// Finds what is asked.
pub(super) fn find(method: &Method, path: &str) -> Result<Found, Fault> {
    let mut fault = Fault::NotFound;
    for (wanted, template, route, _) in &ROUTES {
        let Some(params) = fit(template, path) else { continue };
        if wanted == method {
            return Ok(Found { route: *route, params });
        }
        fault = Fault::Method;
    }
    Err(fault)
}

/// What stands in place of the template's names.
fn fit(template: &str, path: &str) -> Option<Vec<String>> {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    let mut params = Vec::new();
    loop {
        match (template.next(), path.next()) {
            (None, None) => return Some(params),
            (Some(name), Some(part)) if name.starts_with('{') => params.push(decode(part)?),
            (Some(fixed), Some(part)) if fixed == part => {}
            _ => return None,
        }
    }
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

/// The query's parameters, decoded.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads them as forms write them. None may be there twice, or be none of the route's.
    pub(super) fn parse(query: Option<&str>, route: Route) -> Result<Self, Fault> {
        let known = ROUTES.iter().filter(|known| known.2 == route).flat_map(|known| known.3);
        let mut params = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = || Fault::Bad(format!("the query is not UTF-8 in percent-encoding: {pair:?}"));
            let value = decode(&value.replace('+', " ")).ok_or_else(wrong)?;
            if !known.clone().any(|known| *known == name) {
                let all: Vec<&str> = known.copied().collect();
                return Err(Fault::Bad(format!("{name:?} is no parameter here; there are {all:?}")));
            }
            if params.insert(name.to_owned(), value).is_some() {
                return Err(Fault::Bad(format!("{name:?} is there twice")));
            }
        }
        Ok(Query(params))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number of at least `min` and at most `max`, or `default`.
    pub(super) fn number(&self, name: &str, min: u64, max: u64, default: u64) -> Result<u64, Fault> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| Fault::Bad(format!("{name} = {text:?} may be {min} to {max}")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_description_has_what_is_served_and_nothing_else() {
        let described: Value = serde_json::from_str(super::super::read::OPENAPI).expect("it is JSON");
        let mut documented = BTreeSet::new();
        for (path, methods) in described["paths"].as_object().expect("it has paths") {
            for (method, operation) in methods.as_object().expect("a path has methods") {
                let all = operation["parameters"].as_array().into_iter().flatten();
                let in_query = all.filter(|parameter| parameter["in"] == "query");
                let names: BTreeSet<String> =
                    in_query.filter_map(|parameter| parameter["name"].as_str()).map(str::to_owned).collect();
                documented.insert((method.to_uppercase(), path.clone(), names));
            }
        }
        let served = ROUTES.iter().map(|(method, path, _, query)| {
            (method.to_string(), (*path).to_owned(), query.iter().map(|name| (*name).to_owned()).collect())
        });
        assert_eq!(documented, served.collect());
    }

    #[test]
    fn a_path_is_found_by_its_method_and_decoded() {
        let find = |method, path| find(&method, path).map(|found| (found.route, found.params));
        let session = find(Method::GET, "/api/v1/endpoints/a%20b/sessions/1-2").expect("there is one");
        assert_eq!(session, (Route::Session, vec!["a b".to_owned(), "1-2".to_owned()]));
        assert_eq!(find(Method::POST, "/api/v1/overview"), Err(Fault::Method));
        assert_eq!(find(Method::GET, "/api/v1/overview/"), Err(Fault::NotFound));
        assert_eq!(find(Method::GET, "/api/v1/endpoints/%ff"), Err(Fault::NotFound));
    }

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        let query = Query::parse(Some("user=a+b%2B&limit=7"), Route::Sessions).expect("it is right");
        assert_eq!((query.get("user"), query.number("limit", 1, 500, 100)), (Some("a b+"), Ok(7)));
        for wrong in ["user=%ff", "users=a", "limit=1&limit=2", "limit"] {
            let query = Query::parse(Some(wrong), Route::Sessions);
            let number = query.and_then(|query| query.number("limit", 1, 500, 100));
            assert!(matches!(number, Err(Fault::Bad(_))), "{wrong}");
        }
    }
}
