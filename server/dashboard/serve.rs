//! HTTP on one loopback port: connections that are few, that must say what they want, and that end when nobody looks.

use super::{Site, route};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request, and keep a connection that it does not use.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(30);
/// Bytes that a head may have.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// Accepts until nobody has looked for a while, or the site is to end.
pub(super) async fn run(listener: TcpListener, site: Arc<Site>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&room).acquire_owned();
        let stream = tokio::select! {
            stream = async { (place.await, listener.accept().await) } => stream,
            () = unused(&site, &room) => break,
            () = site.end.cancelled() => break,
        };
        let (Ok(place), Ok((stream, _))) = stream else {
            // Out of file descriptors, most likely: trying again at once would only burn time.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            converse(stream, site).await;
            drop(place);
        });
    }
    site.end.cancel();
}

/// Ends once there was neither a connection nor a link given for as long as the site waits.
async fn unused(site: &Site, room: &Semaphore) {
    loop {
        let quiet = site.used().elapsed();
        match site.idle.checked_sub(quiet) {
            Some(rest) if !rest.is_zero() => tokio::time::sleep(rest).await,
            // This very wait holds one place.
            _ if room.available_permits() + 1 >= CONNECTIONS => return,
            _ => site.touch(),
        }
    }
}

/// One connection, with as many requests as it brings.
async fn converse(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(route::answer(&site, request).await) }
    });
    let io = TokioIo::new(Patient { stream, stalled: None });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(io, service);
    // What goes wrong on a connection is the client's doing, and nobody's concern.
    tokio::select! {
        _ = connection => {}
        () = site.end.cancelled() => {}
    }
}

/// A stream that fails when the other side has taken nothing for [`STALL`].
struct Patient {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn bear<T>(
        &mut self,
        polled: Poll<std::io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let patience = || Box::pin(tokio::time::sleep_until(Instant::now() + STALL));
        ready!(self.stalled.get_or_insert_with(patience).as_mut().poll(cx));
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bear(polled, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
