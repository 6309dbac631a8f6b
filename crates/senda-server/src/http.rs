//! HTTP: whether the collector is alive, whether it takes rows, and the API.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::api;
use crate::control::Control;
use crate::stats::Stats;

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, control: Arc<Control>, names: Vec<String>) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(control.stats.clone())
        .merge(api::router(control, names));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "HTTP ended");
    }
}

/// 200 while the engine runs.
async fn healthz(State(stats): State<Arc<Stats>>) -> (StatusCode, &'static str) {
    if stats.running.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the engine is not running\n")
    }
}

/// 200 while rows are taken; 503 while the store fails or is full, and during a drain.
async fn readyz(State(stats): State<Arc<Stats>>) -> (StatusCode, &'static str) {
    if stats.running.load(Ordering::Relaxed) && stats.accepting.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the store takes no rows at the moment\n")
    }
}
