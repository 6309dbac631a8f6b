//! The HTTP control API, `/api/v1`: JSON in, JSON out, problem details for errors. `docs/api.md` describes it.

mod alerts; // conditions that hold
mod commands; // do this, at most once
mod devices; // who is there
mod guard; // who may ask
mod ledger; // what became of every row
mod problem; // errors
mod raw; // devices that don't speak Senda/1
mod readings; // what was stored
mod settings; // what devices should be set to
mod tail; // what is being stored

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post, put};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::control::Control;
use problem::Problem;

type Shared = State<Arc<Control>>;
type Answer = Result<axum::Json<Json>, Problem>;
type Body = Result<Bytes, BytesRejection>;

/// The routes below `/api/v1`. `names` are hosts that the collector is known by, beside addresses and localhost.
pub(crate) fn router(control: Arc<Control>, names: Vec<String>) -> Router {
    let routes = Router::new()
        .route("/", get(index))
        .route("/devices", get(devices::list))
        .route("/devices/{device}", get(devices::one))
        .route("/devices/{device}/commands", get(commands::list).post(commands::give))
        .route("/devices/{device}/commands/{id}", get(commands::one))
        .route("/commands", get(commands::all))
        .route("/settings", get(settings::list))
        .route("/settings/{pattern}", put(settings::set).delete(settings::unset))
        .route("/alerts", get(alerts::list))
        .route("/alerts/{id}", get(alerts::one))
        .route("/alerts/{id}/acknowledge", post(alerts::acknowledge))
        .route("/alerts/{id}/clear", post(alerts::clear))
        .route("/ledger", get(ledger::total))
        .route("/readings", get(readings::list))
        .route("/events", get(readings::events))
        .route("/raw", get(raw::list))
        .route("/raw/misfits", get(raw::misfits))
        .route("/tail", get(tail::tail))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(axum::middleware::from_fn_with_state(Arc::from(names), guard::check))
        .with_state(control);
    Router::new().nest("/api/v1", routes).fallback(no_such_path)
}

/// What is here, and how it is doing.
async fn index(State(control): Shared) -> axum::Json<Json> {
    let now = control.stats.snapshot();
    axum::Json(json!({
        "name": "senda",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": "senda/1",
        "sessions": now.sessions,
        "rows_stored": now.rows_stored,
        "rows_filed": now.rows_filed,
        "commits": now.commits,
        "commits_failed": now.commits_failed,
        "landing_bytes": now.landing_bytes,
        "inbox_bytes": now.inbox_bytes,
        "sends_failed": now.sends_failed,
        "messages": now.engine.messages,
        "duplicates": now.engine.duplicates,
        "bad_frames": now.engine.bad_frames,
        "bad_bodies": now.engine.bad_bodies,
        "unknown_sessions": now.engine.unknown_sessions,
        "dropped": now.engine.dropped,
        "refused_hellos": now.engine.refused_hellos,
    }))
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::missing(format!("there is no {} here; docs/api.md lists what there is", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
}

/// A request's body, which has to be JSON of this form.
fn parse<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let body = body?;
    serde_json::from_slice(&body).map_err(|error| {
        let status = if error.is_data() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::BAD_REQUEST
        };
        Problem::new(status, "body", format!("the body is not what is asked for: {error}"))
    })
}

/// A device's name. Spec §2.2.
fn device_name(name: &str) -> Result<(), Problem> {
    match senda_wire::DeviceName::new(name) {
        Some(_) => Ok(()),
        None => Err(Problem::invalid(format!(
            "{name:?} is no device name: a letter or digit, then letters, digits and ._:- , 63 bytes at most"
        ))),
    }
}

/// A time in a query: RFC 3339, or microseconds since 1970.
fn time(name: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let micros = text.parse::<i64>().ok();
    let parsed = micros
        .or_else(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond));
    let wrong = || {
        Problem::invalid(format!(
            "{name} is {text:?}: say 2026-01-31T12:00:00Z, or microseconds since 1970"
        ))
    };
    parsed.map(Some).ok_or_else(wrong)
}

/// How long a request may wait for something to happen.
fn patience(seconds: Option<f64>) -> Result<Duration, Problem> {
    let seconds = seconds.unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|wait| *wait <= WAIT_MAX)
        .ok_or_else(|| Problem::invalid(format!("wait is {seconds}: say 0 to 60 seconds")))
}

/// What a query asks for at most.
fn limit(asked: Option<usize>, default: usize, most: usize) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(default);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::invalid(format!("limit is {limit}: say 1 to {most}")))
    }
}

/// A status of DONE as one word.
fn status_name(code: u8) -> Json {
    senda_wire::DoneStatus::from_code(code)
        .map_or_else(|| json!(code), |status| json!(status.name().to_ascii_lowercase()))
}

/// A time that may not be there.
fn time_or_null(micros: Option<i64>) -> Json {
    micros.map_or(Json::Null, |micros| json!(crate::json::time(micros)))
}

/// Bytes of a request's body.
const BODY_MAX: usize = 64 << 10;
/// How long a request may wait at most.
const WAIT_MAX: Duration = Duration::from_secs(60);
