//! Ctrl-C and SIGTERM: the first asks work to come to its end, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Exit;

/// What a shell makes of a program that SIGTERM ended.
const TERMINATED: i32 = 128 + 15;

/// Told when work has to come to its end.
#[derive(Clone)]
pub(crate) struct Stop {
    token: CancellationToken,
    by_ctrl_c: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the system does not let us listen.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let stop = Self { token: CancellationToken::new(), by_ctrl_c: Arc::default() };
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let told = stop.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {
                        if told.token.is_cancelled() {
                            std::process::exit(Exit::Interrupted.code().into());
                        }
                        told.by_ctrl_c.store(true, Ordering::Relaxed);
                    }
                    _ = terminate.recv() => {
                        if told.token.is_cancelled() {
                            std::process::exit(TERMINATED);
                        }
                    }
                }
                told.token.cancel();
            }
        });
        Ok(stop)
    }

    /// For what stops by a token.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// How a command ends that was stopped; `None` where it was not.
    pub(crate) fn exit(&self) -> Option<Exit> {
        let exit = if self.by_ctrl_c.load(Ordering::Relaxed) { Exit::Interrupted } else { Exit::Cancelled };
        self.token.is_cancelled().then_some(exit)
    }
}
