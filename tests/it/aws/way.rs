//! A way to a server on which things happen: connections go silent or are refused, it leads elsewhere, and what is said is written down.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A port of this machine that leads to another one.
pub(super) struct Way {
    port: u16,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    /// Where it leads.
    to: AtomicU16,
    /// How many connections are closed before it leads anywhere again.
    closing: AtomicUsize,
    silenced: Notify,
    /// What each client said, in the order in which they came.
    said: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
}

impl Way {
    pub(super) async fn to(port: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let way = Self { port: listener.local_addr()?.port(), told: Arc::default() };
        way.lead_to(port)?;
        let told = Arc::clone(&way.told);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let more = |left: usize| left.checked_sub(1);
                if told.closing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
                    tokio::spawn(lead(client, Arc::clone(&told)));
                }
            }
        });
        Ok(way)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Leads elsewhere from now on; connections that stand are as they were.
    pub(super) fn lead_to(&self, port: &str) -> anyhow::Result<()> {
        self.told.to.store(port.parse()?, Ordering::SeqCst);
        Ok(())
    }

    /// Silences the connections that stand, as those of a frozen function: nothing comes, and no end of them. Those that come
    /// are as before.
    pub(super) fn silence(&self) {
        self.told.silenced.notify_waiters();
    }

    /// Closes so many of the connections that come.
    pub(super) fn close_next(&self, connections: usize) {
        self.told.closing.store(connections, Ordering::SeqCst);
    }

    /// What each client said so far.
    pub(super) fn said(&self) -> Vec<Vec<u8>> {
        let said = self.told.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().map(|said| said.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

async fn lead(client: TcpStream, told: Arc<Told>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", told.to.load(Ordering::SeqCst))).await else { return };
    let said = Arc::new(Mutex::new(Vec::new()));
    told.said.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&said));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..read]);
            if to_server.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        _ = copy(&mut from_server, &mut to_client) => {}
        () = told.silenced.notified() => std::future::pending().await,
    }
}
