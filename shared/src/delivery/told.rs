//! What a receipt told is brought to each of its conversions: at its end, or again with some others to find out whom the
//! receipt means; and to those that stayed behind for what it tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::seq::SliceRandom as _;

use super::claimed::Part;
use super::confirm::Question;
use super::decide::{end_erased, settled, unconfirmed};
use super::decision::{Decision, decide_answer};
use super::part_number::{PartNumber, PartNumbers, Reading};
use super::receipts::{ByAccount, Chance, Resolved, Told, count_again, resolve};
use super::report::RunReport;
use super::send::Upload;
use super::suppose::{FEW, Fated, Worlds, part_of};
use crate::domain::{ClaimToken, ErrorCode, Outcome, Verdict};
use crate::providers::{Account, Answer, Counted, Receipt, RowAnswer};
use crate::store::{CircuitResult, ClaimedRow, ReceiptRest, SettledRow, StoreError};

/// What stays behind goes by itself after this: time to ask for the others' receipt three times.
const STAYS: Duration = Duration::from_secs(3 * 3_600);

/// A receipt that was opened.
struct Unfolded {
    part: Part,
    reading: Reading,
    /// Conversions that stayed behind for what it tells, and what may have become of all, those that went first.
    behind: Option<(Part, Worlds)>,
}

/// A few of which something can be learnt by sending some of them: places, where those behind come after the receipt's own,
/// and what may have become of them.
struct Few {
    places: Vec<usize>,
    worlds: Worlds,
}

impl Question {
    /// Whether conversions may wait for what these meet: then more than their own end depends on it.
    pub(super) fn others_may_wait(&self) -> bool {
        self.receipt.maybe_delivered && self.receipt.conversions < FEW as u64
    }

    /// Each conversion goes on by itself: at its end, or again with some others to find out whom the receipt means.
    pub(super) async fn resolve(
        &mut self,
        receipt: Receipt,
        account: &dyn Account,
    ) -> Result<(), StoreError> {
        let Some(Unfolded { mut part, reading, behind }) = self.unfold().await? else {
            return Ok(());
        };
        part.name_actions(account);
        let targets: Vec<_> = part.rows.iter().map(|row| row.target).collect();
        let judge = ByAccount { account, rows: &part.rows, now: Timestamp::now() };
        let numbers = PartNumbers::from(rand::random());
        let mut chance = Chance { numbers, shuffle: |rows| rows.shuffle(&mut rand::rng()) };
        let maybe_delivered = self.receipt.maybe_delivered;
        let told = resolve(&targets, &receipt.parts, maybe_delivered, reading, &judge, &mut chance);
        let (few, stayed) = match behind {
            None => (few_of(&told), None),
            Some((stayed, worlds)) => {
                let counts = count_again(&receipt.parts, part.rows.len(), &judge);
                (few_with(&told, &part.rows, stayed.rows.len(), worlds, counts), Some(stayed))
            }
        };
        let rows = || part.rows.iter().chain(stayed.iter().flat_map(|stayed| &stayed.rows));
        let ids: Vec<i64> = rows().map(|row| row.conversion_id.0).collect();
        let mut on = self.send_on(&few, &ids, &mut chance.numbers).await?;
        let on_behind = on.split_off(&part.rows.len());
        self.settle_told(part, receipt, &told, &on).await?;
        if let Some(stayed) = stayed {
            self.settle(stayed, Decision::unsent(on_behind.into_values().collect())).await?;
        }
        Ok(())
    }

    /// Decides which of a few go, and keeps what is known of those that stay; each place's end of this claim.
    async fn send_on(
        &self,
        few: &Few,
        ids: &[i64],
        numbers: &mut PartNumbers,
    ) -> Result<BTreeMap<usize, SettledRow>, StoreError> {
        let (sent_as, stays_as) = (numbers.next(Reading::Few), numbers.next(Reading::Proof));
        let (mut sent, mut stays, mut on) = (Vec::new(), Vec::new(), BTreeMap::new());
        // Where what was told contradicts itself, each tells for itself.
        let alone = |place: &usize| (*place, again(numbers.next(Reading::Proof), Duration::ZERO));
        if few.worlds.is_empty() {
            return Ok(few.places.iter().map(alone).collect());
        }
        for (seat, (place, fated)) in few.places.iter().zip(few.worlds.next()).enumerate() {
            let row = match fated {
                Fated::Supposed(fate) => again(part_of(&fate), Duration::ZERO),
                Fated::Sent => {
                    sent.push((ids[*place], seat));
                    again(sent_as, Duration::ZERO)
                }
                Fated::Stays => {
                    stays.push((ids[*place], seat));
                    again(stays_as, STAYS)
                }
            };
            on.insert(*place, row);
        }
        if !stays.is_empty() {
            sent.sort_unstable();
            let seats: Vec<usize> = sent.iter().chain(&stays).map(|(_, seat)| *seat).collect();
            let rest = ReceiptRest {
                part: sent_as.get(),
                group: self.receipt.group,
                sent: sent.into_iter().map(|(id, _)| id).collect(),
                stays: stays.into_iter().map(|(id, _)| id).collect(),
                stays_as: stays_as.get(),
                worlds: few.worlds.of_those(&seats).to_json(),
            };
            self.runner.store.keep_receipt_rest(&rest).await?;
        }
        Ok(on)
    }

    async fn settle_told(
        &mut self,
        part: Part,
        receipt: Receipt,
        told: &Told,
        on: &BTreeMap<usize, SettledRow>,
    ) -> Result<(), StoreError> {
        let nothing = RowAnswer { verdict: Verdict::Unconfirmed, code: None };
        let said = told.rows.iter().map(|resolved| match resolved {
            Resolved::Said(answer) => answer.clone(),
            Resolved::Again(_) | Resolved::Few | Resolved::Never(_) => nothing.clone(),
        });
        self.runner.codes.note(&part, &receipt.reply, &mut self.done.report);
        let answer = Answer { reply: receipt.reply, rows: said.collect() };
        let mut decision = decide_answer(&part, &answer);
        for (place, (row, resolved)) in decision.rows.iter_mut().zip(&told.rows).enumerate() {
            match (on.get(&place), resolved) {
                (Some(on), _) => *row = on.clone(),
                (None, Resolved::Again(number)) => *row = again(*number, Duration::ZERO),
                (None, Resolved::Never(code)) => *row = unconfirmed(code),
                // Each of the few has been told where it goes.
                (None, Resolved::Few) => *row = unconfirmed("RECEIPT_NEVER_CAME"),
                (None, Resolved::Said(_)) => {}
            }
        }
        end_erased(&part.rows, &mut decision.rows);
        self.done.settled += 1;
        self.settle(part, decision).await
    }

    /// Ends all of them: nobody will ever know, and an operator sees that. What stayed behind goes by itself.
    pub(super) async fn give_up(&mut self, code: &'static str) -> Result<(), StoreError> {
        let Some(Unfolded { part, behind, .. }) = self.unfold().await? else {
            return Ok(());
        };
        let rows = vec![unconfirmed(code); part.rows.len()];
        self.done.report.error(
            self.receipt.site,
            self.provider,
            format!("{code}: {} conversions stay unconfirmed", rows.len()),
        );
        self.done.settled += 1;
        self.settle(part, Decision::unsent(rows)).await?;
        if let Some((stayed, _)) = behind {
            let mut numbers = PartNumbers::from(rand::random());
            let rows = stayed.rows.iter().map(|_| again(numbers.next(Reading::Proof), Duration::ZERO));
            let rows = rows.collect();
            self.settle(stayed, Decision::unsent(rows)).await?;
        }
        Ok(())
    }

    async fn unfold(&mut self) -> Result<Option<Unfolded>, StoreError> {
        let lease = self.runner.lease();
        let opened = self.runner.store.open_told_receipt(self.receipt.attempt, self.run, lease).await?;
        Ok(opened.map(|opened| {
            let worlds = opened.worlds.unwrap_or_default();
            let seats = |rows: &[ClaimedRow]| opened.rows.len() + rows.len();
            Unfolded {
                reading: PartNumber::stored(opened.part).map_or(Reading::Apart, PartNumber::reading),
                behind: opened.behind.map(|(token, rows)| {
                    let worlds = Worlds::from_json(&worlds, seats(&rows));
                    (self.part(token, rows), worlds)
                }),
                part: self.part(opened.token, opened.rows),
            }
        }))
    }

    fn part(&self, token: ClaimToken, rows: Vec<ClaimedRow>) -> Part {
        Part {
            token,
            group: self.receipt.group,
            site: self.receipt.site,
            provider: self.provider,
            is_probe: false,
            failure_count: 0,
            rows,
            held_actions: Arc::default(),
            depth: 0,
        }
    }

    async fn settle(&mut self, part: Part, decision: Decision) -> Result<(), StoreError> {
        let decision = Decision { circuit: CircuitResult::None, ..decision };
        let mut upload =
            Upload { runner: Arc::clone(&self.runner), report: RunReport::default(), left: Vec::new() };
        upload.settle(&part, None, decision).await?;
        self.done.report.add(upload.report);
        Ok(())
    }
}

/// It goes again as this part, and not before that wait.
fn again(number: PartNumber, wait: Duration) -> SettledRow {
    SettledRow {
        code: Some(ErrorCode::own("RECEIPT_PARTIAL")),
        part: Some(number.get()),
        wait,
        ..settled(Outcome::Requeued)
    }
}

fn few_of(told: &Told) -> Few {
    let places = (0..told.rows.len()).filter(|place| told.rows[*place] == Resolved::Few);
    Few { places: places.collect(), worlds: told.few.clone() }
}

/// Those of the receipt's own that it did not tell of, and those that stayed behind. `worlds` has those that went first, in
/// the order of their ids.
fn few_with(
    told: &Told,
    rows: &[ClaimedRow],
    stayed: usize,
    worlds: Worlds,
    counts: Option<Vec<Counted>>,
) -> Few {
    let worlds = counts.map_or_else(Worlds::default, |counts| worlds.in_which(rows.len(), &counts));
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_unstable_by_key(|place| rows[*place].conversion_id.0);
    places.extend(rows.len()..rows.len() + stayed);
    let is_open = |seat: &usize| {
        told.rows.get(places[*seat]).is_none_or(|row| matches!(row, Resolved::Few | Resolved::Again(_)))
    };
    let seats: Vec<usize> = (0..places.len()).filter(is_open).collect();
    Few { worlds: worlds.of_those(&seats), places: seats.into_iter().map(|seat| places[seat]).collect() }
}
