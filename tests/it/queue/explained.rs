//! What a function's statements really did: their plans, as auto_explain tells them, and what the plans may not hold.

use std::future::poll_fn;

use anyhow::Context as _;
use serde_json::Value;
use tests::database::Database;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, NoTls, Row};

/// So few rows are read whole as quickly as by an index.
const SMALL: f64 = 500.0;

/// A connection that is told the plan of every statement, also of those inside functions.
pub(super) struct Explained {
    client: Client,
    notices: UnboundedReceiver<String>,
}

/// The plans of one call.
#[derive(Debug)]
pub(super) struct Plans(Vec<Value>);

impl Explained {
    pub(super) async fn connect(database: &Database) -> anyhow::Result<Self> {
        let (client, mut connection) = tokio_postgres::connect(&database.url(), NoTls).await?;
        let (told, notices) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message {
                    told.send(notice.message().to_owned()).ok();
                }
            }
        });
        client
            .batch_execute(
                "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on; \
                 set auto_explain.log_timing = off; set auto_explain.log_nested_statements = on; \
                 set auto_explain.log_format = json; set auto_explain.log_level = notice",
            )
            .await
            .context("auto_explain comes with PostgreSQL's contrib modules")?;
        Ok(Self { client, notices })
    }

    /// One call of a function, and the plans of its statements.
    pub(super) async fn query(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<(Vec<Row>, Plans)> {
        while self.notices.try_recv().is_ok() {}
        let rows = self.client.query(sql, parameters).await.with_context(|| sql.to_owned())?;
        let mut plans = Vec::new();
        while let Ok(notice) = self.notices.try_recv() {
            let json = notice.find('{').filter(|_| notice.contains("plan:"));
            if let Some(start) = json {
                let told: Value = serde_json::from_str(&notice[start..]).context("read a plan")?;
                plans.push(told);
            }
        }
        Ok((rows, Plans(plans)))
    }
}

impl Plans {
    /// Every node, each with the text of its statement.
    fn nodes(&self) -> Vec<(&str, &Value)> {
        let mut nodes = Vec::new();
        let mut left: Vec<_> = self
            .0
            .iter()
            .map(|told| (told["Query Text"].as_str().unwrap_or_default(), &told["Plan"]))
            .collect();
        while let Some((text, node)) = left.pop() {
            nodes.push((text, node));
            left.extend(node["Plans"].as_array().into_iter().flatten().map(|node| (text, node)));
        }
        nodes
    }

    /// Rows that were read of the table whose name begins so, those included that a filter threw away.
    pub(super) fn rows_read(&self, start: &str) -> f64 {
        let of = |node: &Value| node["Relation Name"].as_str().is_some_and(|name| name.starts_with(start));
        self.nodes().iter().filter(|(_, node)| is_scan(node) && of(node)).map(|(_, node)| rows_in(node)).sum()
    }

    /// Indexes that were used.
    pub(super) fn uses(&self, index: &str) -> bool {
        self.nodes().iter().any(|(_, node)| node["Index Name"] == index)
    }

    /// Walks through whole tables of these (by the beginning of their names), more than `bound` rows read of one of
    /// them, and sorts of more than `sorted_max`.
    pub(super) fn faults(&self, tables: &[&str], bound: f64, sorted_max: f64) -> Vec<String> {
        let mut faults = Vec::new();
        for table in tables {
            let read = self.rows_read(table);
            if read > bound {
                faults.push(format!("{read} rows read of {table}, {bound} are enough"));
            }
        }
        for (text, node) in self.nodes() {
            let kind = node["Node Type"].as_str().unwrap_or_default();
            let table = node["Relation Name"].as_str().unwrap_or_default();
            let by_place = kind == "Tid Scan";
            let by_index = matches!(kind, "Index Scan" | "Index Only Scan");
            if is_scan(node)
                && tables.iter().any(|start| table.starts_with(start))
                && !by_index
                && !by_place
                && rows_in(node) > SMALL
            {
                faults.push(format!("{kind} of {table}, {} rows, in: {}", rows_in(node), beginning(text)));
            }
            if table == "ready" && is_scan(node) && !by_place && node["Index Name"] != "ready_pkey" {
                faults.push(format!("{} of ready in: {}", node["Index Name"], beginning(text)));
            }
            let sorted: f64 = node["Plans"].as_array().into_iter().flatten().map(rows_in).sum();
            if kind.contains("Sort") && sorted > sorted_max {
                faults.push(format!("{kind} of {sorted} rows in: {}", beginning(text)));
            }
        }
        faults
    }
}

/// Enough of a statement to find it.
fn beginning(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().take(12).collect();
    words.join(" ")
}

fn is_scan(node: &Value) -> bool {
    node["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Scan"))
}

fn rows_in(node: &Value) -> f64 {
    let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
    let rows =
        number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
    rows * number("Actual Loops")
}
