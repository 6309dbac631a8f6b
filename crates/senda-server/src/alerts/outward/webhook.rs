//! An HTTP POST of the report.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::report::Report;
use super::schedule::Attempt;
use super::target::{TargetError, Webhook};
use crate::alerts::text::clean;
use senda_keeper::cut;

/// Of an answer that refuses, so much is repeated for the operator.
const ANSWER_MAX: u64 = 200;

/// Posts reports to one URL, over connections that stay open for the next.
pub(super) struct Poster {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
}

impl Poster {
    /// # Errors
    /// [`TargetError`]: certificates that can't be read, or none.
    pub(super) fn new(target: &str, webhook: &Webhook) -> Result<Self, TargetError> {
        let tls = if webhook.url.starts_with("https:") {
            TlsConfig::builder().root_certs(trusted(target, webhook)?)
        } else {
            TlsConfig::builder()
        };
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let agent = Agent::config_builder()
            .tls_config(tls.unversioned_rustls_crypto_provider(ring).build())
            .timeout_global(Some(webhook.timeout))
            .http_status_as_error(false)
            // A POST that is redirected arrives as a GET, if at all.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("senda/", env!("CARGO_PKG_VERSION")));
        // No proxy leads back to this machine.
        let agent = if is_here(&webhook.url) { agent.proxy(None) } else { agent };
        let agent = agent.build().new_agent();
        Ok(Self { agent, url: webhook.url.clone(), headers: webhook.headers.clone() })
    }

    pub(super) fn tell(&self, report: &Report, attempt: u32) -> Attempt {
        let mut request = self
            .agent
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", report.idempotency_key())
            .header("Senda-Attempt", attempt.to_string());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match request.send(report.to_json()) {
            Ok(response) => judge(response),
            // The texts of these name no URL.
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                Attempt::Refused { why: error.to_string() }
            }
            Err(error) => Attempt::Later { why: error.to_string(), after: None, down: true },
        }
    }
}

/// True for a URL of this machine.
fn is_here(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

/// What an answer means for the report.
fn judge(mut response: Response<Body>) -> Attempt {
    let status = response.status();
    if status.is_success() {
        return Attempt::Delivered;
    }
    let after = response.headers().get(header::RETRY_AFTER);
    let after = after.and_then(|after| after.to_str().ok()).and_then(retry_after);
    let why = said(&mut response);
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        // Of the others it may be this very report that they stumble over.
        let down =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        return Attempt::Later { why, after, down };
    }
    if status.is_redirection() {
        let why = format!("{why}: it redirects; set `webhook` to the URL that it means");
        return Attempt::Refused { why };
    }
    Attempt::Refused { why }
}

/// Status and the first line of an answer.
fn said(response: &mut Response<Body>) -> String {
    let mut bytes = Vec::new();
    // A body that breaks off says as much as it said.
    let _ = response.body_mut().as_reader().take(ANSWER_MAX).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line = cut(&clean(text.trim().lines().next().unwrap_or_default()), 160);
    let status = response.status();
    if line.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {line}") }
}

/// The pause that Retry-After asks for: seconds, or a date. RFC 9110, section 10.2.3.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let pause = date.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    Some(Duration::from_secs(u64::try_from(pause).unwrap_or(0)))
}

/// The certificates to trust: those of the file, or the system's.
fn trusted(target: &str, webhook: &Webhook) -> Result<RootCerts, TargetError> {
    let wrong = |key, problem| TargetError::Key { target: target.to_owned(), key, problem };
    let Some(path) = &webhook.ca else {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            let hint = "the system has no certificates to trust";
            let hint = format!("{hint}{why}; install ca-certificates, or name a file as `ca`");
            return Err(wrong("webhook", hint));
        }
        let certificates = found.certs.iter().map(|der| Certificate::from_der(der).to_owned());
        return Ok(certificates.collect::<Vec<_>>().into());
    };
    let bytes = std::fs::read(path).map_err(|source| TargetError::Ca {
        target: target.to_owned(),
        path: path.clone(),
        source,
    })?;
    let items = ureq::tls::parse_pem(&bytes).filter_map(Result::ok);
    let certificates = items.filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        let problem = format!("no certificate in {}; name a file in PEM form", path.display());
        return Err(wrong("ca", problem));
    }
    Ok(certificates.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_asked_for_this_machine() {
        for url in ["http://localhost:1/", "https://127.0.0.9/x", "http://[::1]:8080/"] {
            assert!(is_here(url), "{url}");
        }
        for url in ["http://example.org/localhost", "http://10.0.0.1/", "http://[2001:db8::1]/"] {
            assert!(!is_here(url), "{url}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let far = retry_after("Fri, 06 Nov 2150 08:49:37 GMT").unwrap();
        assert!(far > Duration::from_secs(86_400), "{far:?}");
        for text in ["", "-1", "soon", "1.5"] {
            assert_eq!(retry_after(text), None, "{text}");
        }
    }
}
