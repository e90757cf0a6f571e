//! Passwords on a throwaway server, for what happens when one is rotated.

use std::fs;

use anyhow::Context as _;
use tokio_postgres::NoTls;

use super::ThrowawayPostgres;

/// Nobody comes in over TCP without one; the socket stays open to whoever may reach it.
const RULES: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

impl ThrowawayPostgres {
    /// Lets nobody in over TCP without a password, from now on.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn demand_passwords(&self) -> anyhow::Result<()> {
        // Written over, so that it stays the server's own.
        fs::write(self.folder.join("data/pg_hba.conf"), RULES).context("write pg_hba.conf")?;
        self.execute("select pg_reload_conf()").await
    }

    /// Gives a role another password, and ends all of its connections.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn rotate_password(&self, role: &str, password: &str) -> anyhow::Result<()> {
        self.execute(&format!("alter role {role} password '{password}'")).await?;
        self.execute(&format!(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = '{role}' and pid <> pg_backend_pid()"
        ))
        .await
    }

    /// The port, where it listens on TCP.
    pub fn port(&self) -> Option<u16> {
        self.over_tcp.map(|port| port.0)
    }

    async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let (client, connection) =
            tokio_postgres::connect(&self.url("postgres"), NoTls).await.context("connect to the database")?;
        let running = tokio::spawn(connection);
        client.batch_execute(sql).await.context("ask the database")?;
        drop(client);
        running.await.context("end a connection")?.context("end a connection")
    }
}
