//! Which conversion a receipt means: it counts by reason and names none. Pure but for chance, which comes in.
//!
//! What was sent tells many at once: a gbraid can only be wrong where there is one, and where as many conversions come
//! into question as were counted, it is they. Those that remain are sent again in parts with their own keys, small enough
//! that about half of the parts turn out clean: some 1.44 parts for each one that is wrong, which costs the fewest
//! requests (Hwang, A Method for Detecting All Defective Members in a Population by Group Testing, 1972), but no fewer
//! than a few, as each round of receipts takes half an hour.
//!
//! Where many are wrong, one in ten and more, that would come to a request for each and more. Then they go in fours, dealt
//! by chance, and of a four of which the receipt counts some, two go again and tell of the others (`suppose.rs`), which stay
//! behind. What a four met is known after two more requests on average, whatever it met: of four with one wrong two tell, of
//! four with two alike 2 in 2 cases of 3 and 3 in the third, of four with three or four different ends 2. So `n`
//! conversions cost n / 62 + n / 4 + 2 n / 4 requests at most on average, however the ends are mixed, each with its
//! question: 3,140 calls for 2,000, and one request for each end in a round, which proves what was supposed. Chance adds
//! some 20. Sent apart, each costs a request and a question, 4,000, and more before that.

use jiff::Timestamp;

use super::part_number::{PartNumber, PartNumbers, Reading};
use super::suppose::{FEW, Suspected, Worlds};
use crate::domain::{Class, ErrorCode, HoldScope, Transient, Verdict};
use crate::providers::{Account, Counted, ReceiptPart, ReceiptState, Row, RowAnswer};
use crate::store::ClaimedRow;

/// Parts of one receipt at most: a claim is cut into so many, and the rest waits for its turn.
const PARTS_MAX: usize = 32;

/// Parts of a large receipt at least, and of a small one.
const PARTS_MIN: (usize, usize) = (8, 4);

/// What is large.
const LARGE: usize = 64;

/// Conversions that go in fours where one in so many is wrong: fewer are found as fast in parts, and of more neighbours are
/// often alike.
const FOURS: (std::ops::RangeInclusive<usize>, usize) = (32..=128, 10);

/// What came of one conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    /// This.
    Said(RowAnswer),
    /// It goes again, with those of the same number and nobody else.
    Again(PartNumber),
    /// One of a few: see [`Told::few`].
    Few,
    /// Its place said nothing that could be believed, and nobody asks any more: the code for that.
    Never(&'static str),
}

/// What came of a receipt.
pub(super) struct Told {
    /// An entry for each row.
    pub rows: Vec<Resolved>,
    /// What may have become of the few, in their order.
    pub few: Worlds,
}

/// The chance that the decisions here take.
pub(super) struct Chance {
    /// Numbers for parts.
    pub numbers: PartNumbers,
    /// Deals conversions into fours: neighbours are often wrong together, or in turns.
    pub shuffle: fn(&mut Vec<usize>),
}

/// What the platform's reasons mean; rows are named by their place.
pub(super) trait Judge {
    /// What a reason means for this row.
    fn judge(&self, reason: &ErrorCode, row: usize) -> RowAnswer;
    /// Whether a reason can be about it.
    fn could_mean(&self, reason: &ErrorCode, row: usize) -> bool;
}

/// Judges by what was sent.
pub(super) struct ByAccount<'a> {
    pub account: &'a dyn Account,
    pub rows: &'a [ClaimedRow],
    pub now: Timestamp,
}

impl Judge for ByAccount<'_> {
    fn judge(&self, reason: &ErrorCode, row: usize) -> RowAnswer {
        let unreadable = || RowAnswer {
            verdict: Verdict::Misconfigured(HoldScope::Row),
            code: Some(ErrorCode::own("PAYLOAD_UNREADABLE")),
        };
        self.row(row).map_or_else(unreadable, |row| self.account.judge(reason, row, self.now))
    }

    fn could_mean(&self, reason: &ErrorCode, row: usize) -> bool {
        self.row(row).is_none_or(|row| self.account.could_mean(reason, row))
    }
}

impl ByAccount<'_> {
    fn row(&self, row: usize) -> Option<Row<'_>> {
        let claimed = &self.rows[row];
        let conversion = claimed.conversion.as_ref()?;
        Some(Row { conversion, omitted: claimed.omitted })
    }
}

/// Each row's verdict, or the part that it goes again with. `targets` has an entry for each row: where it went.
/// `maybe_delivered`: rows went before, so that a duplicate is their own.
pub(super) fn resolve(
    targets: &[Option<i64>],
    parts: &[ReceiptPart],
    maybe_delivered: bool,
    reading: Reading,
    judge: &impl Judge,
    chance: &mut Chance,
) -> Told {
    // A row that went to none of the places that are told of (the account is another by now) was perhaps taken.
    let in_doubt = RowAnswer { verdict: Verdict::Unconfirmed, code: Some(UNEXPLAINED) };
    let mut told = Told { rows: vec![Resolved::Said(in_doubt); targets.len()], few: Worlds::default() };
    for part in parts {
        let is_here = |row: &usize| part.target.is_none_or(|target| targets[*row] == Some(target.0));
        let rows: Vec<usize> = (0..targets.len()).filter(is_here).collect();
        let said = match &part.state {
            // Whoever asks waits until nothing is pending, or for a day.
            ReceiptState::Pending | ReceiptState::Contradictory => {
                let contradicts = part.state == ReceiptState::Contradictory;
                let code = if contradicts { "RECEIPT_CONTRADICTORY" } else { "RECEIPT_NEVER_CAME" };
                rows.iter().for_each(|row| told.rows[*row] = Resolved::Never(code));
                continue;
            }
            ReceiptState::Taken => Sorted { delivered: rows, ..Sorted::default() },
            ReceiptState::Mixed(counts) => sort(rows, counts.clone(), maybe_delivered, judge),
            ReceiptState::Refused(counts) => {
                let counts = all_refused(counts, rows.len());
                sort(rows, counts, maybe_delivered, judge)
            }
        };
        for row in &said.delivered {
            told.rows[*row] = Resolved::Said(RowAnswer { verdict: Verdict::Delivered, code: None });
        }
        for (row, reason) in &said.meant {
            told.rows[*row] = Resolved::Said(judge_row(judge, reason, *row));
        }
        let few = if reading == Reading::Few && parts.len() == 1 { said.worlds() } else { Worlds::default() };
        if !few.is_empty() {
            said.open.iter().for_each(|row| told.rows[*row] = Resolved::Few);
            told.few = few;
            continue;
        }
        for (row, number) in said.apart(reading, chance) {
            told.rows[row] = Resolved::Again(number);
        }
    }
    told
}

/// What went wrong with so many rows that had gone before, by the counts of their one place; `None` where it does not say.
pub(super) fn count_again(parts: &[ReceiptPart], rows: usize, judge: &impl Judge) -> Option<Vec<Counted>> {
    let [ReceiptPart { state, .. }] = parts else {
        return None;
    };
    match state {
        ReceiptState::Pending | ReceiptState::Contradictory => None,
        ReceiptState::Taken => Some(Vec::new()),
        ReceiptState::Mixed(counts) if counts.is_empty() => None,
        ReceiptState::Mixed(counts) => Some(faults(counts.clone(), judge)),
        ReceiptState::Refused(counts) => Some(faults(all_refused(counts, rows), judge)),
    }
}

/// What went before and is there already is what was wanted.
fn faults(mut counts: Vec<Counted>, judge: &impl Judge) -> Vec<Counted> {
    counts.retain(|count| judge_row(judge, &count.reason, 0).verdict.class() != Class::Ok);
    counts
}

/// What is known of the rows that went to one place.
#[derive(Default)]
struct Sorted {
    delivered: Vec<usize>,
    meant: Vec<(usize, ErrorCode)>,
    /// Nobody knows yet, like beside like.
    open: Vec<usize>,
    /// How many of those are wrong.
    wrong: usize,
    /// Which reasons they may have met; none where nothing was counted.
    suspicions: Vec<Suspicion>,
}

impl Sorted {
    /// What may have become of the open rows, where they are few and each count means rows of its own.
    fn worlds(&self) -> Worlds {
        if self.suspicions.is_empty() || self.suspicions.iter().any(|suspicion| suspicion.is_cut) {
            return Worlds::default();
        }
        let may_mean: Vec<_> = self
            .suspicions
            .iter()
            .map(|suspicion| move |place: usize| suspicion.rows.contains(&self.open[place]))
            .collect();
        let suspected: Vec<_> = self
            .suspicions
            .iter()
            .zip(&may_mean)
            .map(|(one, may_mean)| Suspected { reason: &one.reason, count: one.count, may_mean })
            .collect();
        Worlds::of(self.open.len(), &suspected)
    }

    /// The open rows in parts.
    fn apart(&self, reading: Reading, chance: &mut Chance) -> Vec<(usize, PartNumber)> {
        let mut open = self.open.clone();
        let (among, one_in) = FOURS;
        let is_clear = !self.suspicions.is_empty() && self.suspicions.iter().all(|one| !one.is_cut);
        let by_fours = is_clear && among.contains(&open.len()) && self.wrong * one_in >= open.len();
        let (count, reading) = match reading {
            Reading::Apart if by_fours => {
                (chance.shuffle)(&mut open);
                (open.len().div_ceil(FEW), Reading::Few)
            }
            // Few that could not be told apart by what they met are told apart by themselves.
            Reading::Few => (open.len(), Reading::Proof),
            Reading::Apart | Reading::Proof => (part_count(open.len(), self.wrong), reading),
        };
        let numbers: Vec<_> = (0..count).map(|_| chance.numbers.next(reading)).collect();
        let rows = open.len();
        open.into_iter().enumerate().map(|(place, row)| (row, numbers[place * count / rows])).collect()
    }
}

/// The reason of what is refused without one.
const UNEXPLAINED: ErrorCode = ErrorCode::own("RECEIPT_UNEXPLAINED");

fn unexplained() -> RowAnswer {
    let again = Verdict::Failed(Transient { wait: None, max_attempts: Some(3) });
    RowAnswer { verdict: again, code: Some(UNEXPLAINED) }
}

fn judge_row(judge: &impl Judge, reason: &ErrorCode, row: usize) -> RowAnswer {
    if *reason == UNEXPLAINED { unexplained() } else { judge.judge(reason, row) }
}

/// The counts of a request that was refused whole: what they leave out was refused, too.
fn all_refused(counts: &[Counted], rows: usize) -> Vec<Counted> {
    let told: u64 = counts.iter().map(|count| count.rows).sum();
    let rest = (rows as u64).saturating_sub(told);
    let rest = (rest > 0).then_some(Counted { reason: UNEXPLAINED, rows: rest });
    counts.iter().cloned().chain(rest).collect()
}

/// A reason, and the rows that it may mean.
struct Suspicion {
    reason: ErrorCode,
    count: usize,
    rows: Vec<usize>,
    /// Whether rows that another reason means were taken out: nobody knows whether the platform counts one twice.
    is_cut: bool,
}

fn sort(rows: Vec<usize>, mut counts: Vec<Counted>, maybe_delivered: bool, judge: &impl Judge) -> Sorted {
    if rows.is_empty() {
        return Sorted::default();
    }
    // Counts alone say so; where there are none, nothing is said.
    if maybe_delivered && !counts.is_empty() {
        counts = faults(counts, judge);
        if counts.is_empty() {
            return Sorted { delivered: rows, ..Sorted::default() };
        }
    }
    // Some are wrong, and nobody says how many or why.
    if counts.is_empty() {
        return match rows.as_slice() {
            [alone] => Sorted { meant: vec![(*alone, UNEXPLAINED)], ..Sorted::default() },
            _ => Sorted { open: rows, wrong: 1, ..Sorted::default() },
        };
    }
    let mut suspicions: Vec<Suspicion> = counts.iter().map(|count| suspicion(count, &rows, judge)).collect();
    let meant = convict(&mut suspicions);
    let is_open = |row: usize| suspicions.iter().any(|suspicion| suspicion.rows.contains(&row));
    let wrong = suspicions.iter().map(|suspicion| suspicion.count).sum();
    let (open, rest): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| is_open(*row));
    let delivered = rest.into_iter().filter(|row| !meant.iter().any(|(known, _)| known == row)).collect();
    match open.as_slice() {
        // One that several reasons may mean met the worst of them.
        [alone] if suspicions.iter().all(|suspicion| !suspicion.is_cut) => {
            let reasons = suspicions.iter().map(|suspicion| &suspicion.reason);
            let worst =
                reasons.max_by_key(|reason| judge_row(judge, reason, *alone).verdict.class().severity());
            let meant = meant.into_iter().chain(worst.map(|reason| (*alone, reason.clone()))).collect();
            Sorted { delivered, meant, ..Sorted::default() }
        }
        _ => Sorted { delivered, meant, open: like_beside_like(open, &suspicions), wrong, suspicions },
    }
}

/// The rows that a reason may be about: all of them where what we know of it does not fit its count.
fn suspicion(count: &Counted, rows: &[usize], judge: &impl Judge) -> Suspicion {
    let wanted = usize::try_from(count.rows).unwrap_or(usize::MAX).min(rows.len());
    let fitting: Vec<usize> =
        rows.iter().copied().filter(|row| judge.could_mean(&count.reason, *row)).collect();
    let rows = if fitting.len() < wanted { rows.to_vec() } else { fitting };
    Suspicion { reason: count.reason.clone(), count: wanted, rows, is_cut: false }
}

/// Takes out the reasons whose count is that of the rows that come into question; each takes its rows out of question for
/// the others, which convict nobody from then on.
fn convict(suspicions: &mut Vec<Suspicion>) -> Vec<(usize, ErrorCode)> {
    let mut meant = Vec::new();
    let is_sure = |suspicion: &Suspicion| !suspicion.is_cut && suspicion.rows.len() <= suspicion.count;
    while let Some(place) = suspicions.iter().position(is_sure) {
        let sure = suspicions.swap_remove(place);
        for other in suspicions.iter_mut() {
            let before = other.rows.len();
            other.rows.retain(|row| !sure.rows.contains(row));
            other.is_cut |= other.rows.len() < before;
        }
        meant.extend(sure.rows.into_iter().map(|row| (row, sure.reason.clone())));
        suspicions.retain(|suspicion| !suspicion.rows.is_empty());
    }
    meant
}

/// Rows that the same reasons may mean side by side, so that what is wrong comes together.
fn like_beside_like(mut rows: Vec<usize>, suspicions: &[Suspicion]) -> Vec<usize> {
    rows.sort_by_cached_key(|row| {
        let by: Vec<bool> = suspicions.iter().map(|suspicion| suspicion.rows.contains(row)).collect();
        (by, *row)
    });
    rows
}

/// How many parts `rows` go in, of which `wrong` are wrong.
fn part_count(rows: usize, wrong: usize) -> usize {
    let least = if rows > LARGE { PARTS_MIN.0 } else { PARTS_MIN.1 };
    (wrong * 36).div_ceil(25).clamp(least, PARTS_MAX).min(rows)
}
