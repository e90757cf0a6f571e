//! Connections that can be cut: by a directive that resets one, and by the end of the sandbox.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Accepts connections whose scissors are children of the sandbox's own.
pub(super) struct Lines {
    pub(super) listener: TcpListener,
    pub(super) stop: CancellationToken,
}

/// One connection, which fails at its next read or write once it has been cut.
pub(super) struct Line {
    stream: TcpStream,
    scissors: Scissors,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Cuts one connection; a handler gets it with its request.
#[derive(Clone)]
pub(super) struct Scissors(CancellationToken);

impl Scissors {
    /// Makes the connection fail, with whatever was about to be written to it.
    pub(super) fn cut(&self) {
        self.0.cancel();
    }

    /// Waits until somebody cut the connection.
    pub(super) async fn was_cut(&self) {
        self.0.cancelled().await;
    }
}

impl Listener for Lines {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.listener).await;
        // A small answer must not wait for the peer's acknowledgement; a line without the option still works.
        let _ = stream.set_nodelay(true);
        let scissors = Scissors(self.stop.child_token());
        let cut = Box::pin(scissors.0.clone().cancelled_owned());
        (Line { stream, scissors, cut }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Lines>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().scissors.clone()
    }
}

impl Line {
    /// Zero linger makes the kernel send a reset, which is what a client sees when a proxy dies.
    fn reset<T>(&self) -> Poll<io::Result<T>> {
        let _ = self.stream.set_zero_linger();
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Polled first, so that a cut wakes a connection that waits for its next request.
        if self.scissors.0.is_cancelled() || self.cut.as_mut().poll(cx).is_ready() {
            return self.reset();
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.scissors.0.is_cancelled() {
            return self.reset();
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
