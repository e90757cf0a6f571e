//! A connection that answers what is no HTTP in JSON, too.
//!
//! The HTTP library answers a head that it cannot read by itself, with a status and no body, and asks nobody. Every answer of
//! ours has a body: so one that begins a write with a 4xx status and says `content-length: 0` is the library's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use shared::boot::HttpAnswer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One connection.
pub(super) struct Line {
    stream: TcpStream,
    /// What is still to be written in the place of the library's answer.
    instead: Vec<u8>,
}

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, instead: Vec::new() }
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

/// What is written in the place of an answer without a body; nothing, where it is not the library's.
fn in_json(answer: &[u8]) -> Option<Vec<u8>> {
    let status = answer.strip_prefix(b"HTTP/1.1 4").or_else(|| answer.strip_prefix(b"HTTP/1.0 4"))?;
    let head = std::str::from_utf8(answer).ok().filter(|head| head.ends_with("\r\n\r\n"))?;
    if !head.contains("\r\ncontent-length: 0\r\n") {
        return None;
    }
    let status = std::str::from_utf8(status.get(..2)?).ok()?.parse::<u16>().ok()? + 400;
    let body = HttpAnswer::error(status, "the request is no HTTP that can be read").body.to_string();
    let headers = format!("\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    Some((head.replace("\r\ncontent-length: 0\r\n", &headers) + &body).into_bytes())
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if let Some(instead) = in_json(bytes) {
            self.instead = instead;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
