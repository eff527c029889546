//! Accepts connections, and ends them in order.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::context::{Api, ApiContext, Shared};
use crate::remote_write::Delivery;
use crate::router::router;
use crate::stall::StallGuard;

/// Serves until `shutdown` is cancelled; then running requests get `server.drain_secs` to end, and what remote write
/// holds is stored, which takes a few seconds at most: the store must not be closed before this returns.
/// Failures to accept a connection are logged and tried again.
pub async fn serve(context: ApiContext, listener: TcpListener, shutdown: CancellationToken) {
    let drain = Duration::from_secs(context.config.drain_secs);
    let most_connections = u32::try_from(context.config.max_connections).unwrap_or(u32::MAX);
    let places = Arc::new(Semaphore::new(context.config.max_connections));
    let api = Api::new(context, shutdown.clone());
    let router = router(api.clone());
    let delivery = Delivery::spawn(&api);
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place.expect("nobody closes the semaphore"),
            () = shutdown.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => spawn_connection(&api, &router, stream, peer, place),
            Err(error) => {
                // Out of file descriptors, most likely; the next one may be freed soon.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    // Every connection has ended once all places are free again.
    if tokio::time::timeout(drain, places.acquire_many(most_connections))
        .await
        .is_err()
    {
        tracing::warn!(
            secs = drain.as_secs(),
            "requests were still running at the end of the drain time"
        );
    }
    delivery.finish().await;
}

fn spawn_connection(
    api: &Shared,
    router: &Router,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
) {
    // Answers are written in one piece; waiting to fill packets only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let deadline = Duration::from_secs(api.context.config.header_timeout_secs);
    let service = router
        .clone()
        .map_request(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(axum::body::Body::new)
        });
    let stalled = Duration::from_secs(api.context.config.body_timeout_secs);
    let io = TokioIo::new(StallGuard::new(stream, stalled));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadline)
        .serve_connection(io, TowerToHyperService::new(service))
        .with_upgrades();
    let api = api.clone();
    api.connections.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = api.shutdown.cancelled() => {
                // The request in progress is answered, the next one on this connection is not.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended early");
        }
        api.connections.fetch_sub(1, Ordering::Relaxed);
        drop(place);
    });
}
