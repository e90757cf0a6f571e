//! Which call a request belongs to: the trace context that goes along to a platform, as W3C writes it.
//! <https://www.w3.org/TR/trace-context/>, read 2026-11-22.

use std::fmt;
use std::future::Future;

use tokio::task_local;
use tracing::Instrument as _;

task_local! {
    static CURRENT: Trace;
}

/// The header that carries it, both ways.
pub const TRACEPARENT: &str = "traceparent";

/// One trace: whatever was set off by one call, over all programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    sampled: Sampled,
}

/// Whether whoever began the trace keeps what is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sampled {
    Kept,
    NotKept,
}

impl Trace {
    /// A new one, that nobody else knows of.
    pub fn fresh() -> Self {
        // 0 means none.
        Self { id: rand::random::<u128>().max(1), sampled: Sampled::NotKept }
    }

    /// Reads a `traceparent` header; `None` where it is not one.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may say more after these four.
        let more = parts.next().is_some();
        let known = version.len() == 2 && hex(version)? != 0xff && !(version == "00" && more);
        if !known || id.len() != 32 || parent.len() != 16 || flags.len() != 2 || hex(parent)? == 0 {
            return None;
        }
        Self::of(hex(id)?, hex(flags)? & 1 == 1)
    }

    /// Reads what Lambda says of a call in `_X_AMZN_TRACE_ID`: `Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1`.
    pub fn from_xray(header: &str) -> Option<Self> {
        let field = |name: &str| header.split(';').find_map(|part| part.trim().strip_prefix(name));
        let (time, rest) = field("Root=1-")?.split_once('-')?;
        if time.len() != 8 || rest.len() != 24 {
            return None;
        }
        Self::of(hex(&format!("{time}{rest}"))?, field("Sampled=") == Some("1"))
    }

    fn of(id: u128, kept: bool) -> Option<Self> {
        let sampled = if kept { Sampled::Kept } else { Sampled::NotKept };
        (id != 0).then_some(Self { id, sampled })
    }

    /// That of what runs at this moment, where it has one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|trace| *trace).ok()
    }

    /// Runs a future as part of it.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// The header for one request of it.
    pub(super) fn traceparent(self) -> String {
        let flags = match self.sampled {
            Sampled::Kept => 1,
            Sampled::NotKept => 0,
        };
        format!("00-{self}-{:016x}-{flags:02x}", rand::random::<u64>().max(1))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

/// A number in lower-case hexadecimal digits, and nothing else.
fn hex(text: &str) -> Option<u128> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u128::from_str_radix(text, 16).ok())?
}

/// A future that is spawned, as part of the run that spawns it: in its span, so that its lines say whose they are, and
/// of its trace.
pub fn carry<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let trace = Trace::current();
    async move {
        match trace {
            Some(trace) => trace.scope(future).await,
            None => future.await,
        }
    }
    .in_current_span()
}
