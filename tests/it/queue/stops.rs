//! What an operator stops and lets go on, on the database and in the model.

use std::collections::BTreeMap;

use anyhow::ensure;
use jiff::Timestamp;
use uuid::Uuid;

use super::follow::Machine;
use super::model::{Model, seconds};
use super::operation::{Ask, Operation, Sale};
use super::state_machine::play;

/// Until when each is stopped: a group, or the whole provider; without an end, until it is resumed.
pub(super) type Stops = BTreeMap<Option<usize>, Option<Timestamp>>;

impl Model {
    pub(super) fn is_stopped(&self, place: Option<usize>) -> bool {
        self.stops.get(&place).is_some_and(|until| until.is_none_or(|until| until > self.now))
    }
}

impl Machine {
    pub(super) async fn pause(&mut self, place: Option<usize>, length: Option<i64>) -> anyhow::Result<()> {
        let now = self.model.now;
        let site = place.map(|group| self.model.groups[group].site);
        let until = length.map(|length| now + seconds(length));
        let sql = "select relay.pause_deliveries('google_ads', $1, $2, 'why', $3)";
        ensure!(self.query(sql, &[&site, &until, &now]).await?[0].get::<_, bool>(0), "nothing was stopped");
        self.model.stops.insert(place, until);
        Ok(())
    }

    pub(super) async fn resume(&mut self, place: Option<usize>) -> anyhow::Result<()> {
        let now = self.model.now;
        let site = place.map(|group| self.model.groups[group].site);
        let sql = "select relay.resume_deliveries('google_ads', $1, $2)";
        let resumed: bool = self.query(sql, &[&site, &now]).await?[0].get(0);
        ensure!(resumed == self.model.is_stopped(place), "{place:?} resumed: {resumed}");
        self.model.stops.remove(&place);
        Ok(())
    }

    pub(super) async fn compare_stops(&mut self) -> anyhow::Result<()> {
        let now = self.model.now;
        let sql = "select site_id, paused_until from relay.read_pauses($1) where provider_key = 'google_ads'";
        let rows = self.query(sql, &[&now]).await?;
        let told: BTreeMap<Option<Uuid>, Option<Timestamp>> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let known = self.model.stops.iter().filter(|(place, _)| self.model.is_stopped(**place));
        let site = |place: &Option<usize>| place.map(|group| self.model.groups[group].site);
        let known: BTreeMap<_, _> = known.map(|(place, until)| (site(place), *until)).collect();
        ensure!(told == known, "stopped {told:?}, expected {known:?}");
        Ok(())
    }
}

#[tokio::test]
async fn a_stop_that_is_given_an_end_ends_then() -> anyhow::Result<()> {
    let sale = Sale { number: 0, digest: 0, due_in_seconds: None, expires_in_hours: 720 };
    for place in [None, Some(0)] {
        play(&[
            Operation::Enqueue { group: 0, sales: vec![sale.clone()] },
            Operation::Pause { place, seconds: None },
            Operation::Claim(Ask::generous(None)),
            Operation::Pause { place, seconds: Some(60) },
            Operation::Claim(Ask::generous(None)),
            Operation::Pass { seconds: 60 },
            // The model expects the sale.
            Operation::Claim(Ask::generous(None)),
        ])
        .await?;
    }
    Ok(())
}
