//! The collector's HTTP API, from the outside. `docs/api.md` describes it.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value as Json;
use ureq::http::Method;
use ureq::{Agent, Body};

use crate::UsageError;

/// Where the collector is.
#[derive(clap::Args, Clone)]
pub(crate) struct Collector {
    /// Address of the collector's HTTP API
    #[arg(long, env = "SENDA_HTTP", value_name = "ADDRESS", default_value = "127.0.0.1:7364")]
    http: String,
}

/// Asks one collector.
pub(crate) struct Api {
    base: String,
    agent: Agent,
}

impl Collector {
    pub(crate) fn api(&self) -> Api {
        let base = self.http.trim_end_matches('/');
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .build();
        Api { base, agent: config.into() }
    }
}

impl Api {
    /// Asks for something.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Json> {
        self.ask(&Method::GET, path, None)
    }

    /// Asks for something to be done. `body` goes with POST and PUT.
    pub(crate) fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Json>,
    ) -> anyhow::Result<Json> {
        let mut response = self.send(method, path, body)?;
        let status = response.status();
        let text = response.body_mut().read_to_string().context("read the collector's answer")?;
        let answer: Json = serde_json::from_str(&text).map_err(|_| {
            anyhow!("{} answers {status}, and not as a Senda collector does", self.base)
        })?;
        if status.is_success() {
            return Ok(answer);
        }
        let detail = answer["detail"].as_str().unwrap_or("no reason given").to_owned();
        if status.as_u16() == 422 {
            return Err(UsageError(detail).into());
        }
        bail!("{detail}")
    }

    /// Follows a stream of events.
    pub(crate) fn follow(&self, path: &str) -> anyhow::Result<impl BufRead + use<>> {
        let mut response = self.send(&Method::GET, path, None)?;
        if !response.status().is_success() {
            let text = response.body_mut().read_to_string().unwrap_or_default();
            let answer: Json = serde_json::from_str(&text).unwrap_or_default();
            let detail = answer["detail"].as_str().unwrap_or("no reason given").to_owned();
            return Err(UsageError(detail).into());
        }
        Ok(BufReader::new(response.into_body().into_reader()))
    }

    fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Json>,
    ) -> anyhow::Result<ureq::http::Response<Body>> {
        let uri = format!("{}/api/v1{path}", self.base);
        let request = ureq::http::Request::builder().method(method).uri(&uri);
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).context("the address of the API")?)
            }
            None => self.agent.run(request.body(()).context("the address of the API")?),
        };
        sent.map_err(|error| match error {
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                anyhow!(error).context(format!(
                    "no collector answers at {}: is `senda serve` running, and is this its http= address?",
                    self.base
                ))
            }
            other => anyhow!(other).context(uri),
        })
    }
}

/// A part of a path, with what has a meaning there escaped.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:*".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}
