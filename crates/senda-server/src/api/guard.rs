//! Who may ask: a page of another site must not, even in a browser on this machine.
//!
//! A browser sends `Host` and `Origin` by itself and lets no page change them. A page elsewhere whose name resolves to this
//! machine (DNS rebinding) shows in `Host`; a page elsewhere that posts here shows in `Origin`, or can't send JSON.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Checks each request of the API before anything is done.
pub(super) async fn check(
    State(names): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(&names, request.method(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(names: &[String], method: &Method, headers: &HeaderMap) -> Option<Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_ours(names, host) {
        let detail = format!(
            "Host {host:?} is not a name of this collector: use an address or localhost, or add the name to \
             http_hosts in the config file"
        );
        return Some(Problem::new(StatusCode::FORBIDDEN, "host", detail));
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        if authority != Some(host) {
            let detail = format!("a page of {origin:?} may not use this collector");
            return Some(Problem::new(StatusCode::FORBIDDEN, "origin", detail));
        }
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let has_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if has_body && !kind.eq_ignore_ascii_case("application/json") {
        let detail = "Content-Type has to be application/json";
        return Some(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail));
    }
    None
}

/// True for an address (which no name can be rebound to), for localhost, and for the names that the operator gave.
fn is_ours(names: &[String], host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, headers: &[(&'static str, &str)]) -> Option<&'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let names = ["collector.example".to_owned()];
        let problem = refusal(&names, &method, &map)?.into_response();
        Some(match problem.status() {
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "media type",
            _ => "other",
        })
    }

    #[test]
    fn only_addresses_localhost_and_given_names_are_hosts() {
        for host in
            ["127.0.0.1:7364", "[::1]:7364", "localhost", "10.0.0.7", "Collector.example:80"]
        {
            assert_eq!(ask(Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example:7364", "127.0.0.1.evil.example", "", "localhost.evil.example"] {
            assert_eq!(ask(Method::GET, &[("host", host)]), Some("forbidden"), "{host}");
        }
        assert_eq!(ask(Method::GET, &[]), Some("forbidden"));
    }

    #[test]
    fn a_page_of_another_origin_may_neither_read_nor_write() {
        let host = ("host", "127.0.0.1:7364");
        let from = |origin| ask(Method::GET, &[host, ("origin", origin)]);
        assert_eq!(from("http://127.0.0.1:7364"), None);
        for origin in
            ["http://evil.example", "null", "http://127.0.0.1:8000", "http://localhost:7364"]
        {
            assert_eq!(from(origin), Some("forbidden"), "{origin}");
        }
    }

    #[test]
    fn what_changes_something_has_to_be_json() {
        let host = ("host", "localhost");
        assert_eq!(ask(Method::POST, &[host]), Some("media type"));
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(ask(Method::PUT, &[host, form]), Some("media type"));
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(ask(Method::POST, &[host, json]), None);
    }
}
