//! What can be done to the queue, and how often each comes in a random sequence.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// Groups of a case: the first two share a quota key, the other two another. The last has no credentials at first.
pub(super) const GROUPS: usize = 4;

/// One operation. What it works on is told by a number, taken modulo of what there is.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// Several conversions at once, of one group. The same number is the same external id.
    Enqueue {
        group: usize,
        sales: Vec<Sale>,
    },
    Claim(Ask),
    /// Opens the ledger row of a request of a live claim.
    Open {
        claim: usize,
        target: i64,
        lease_seconds: i32,
        wait_seconds: i32,
    },
    Settle {
        claim: usize,
        settlement: Settlement,
    },
    /// Claims a group and fails the whole request, so many times; then lets an open circuit's time pass, or not.
    Fail {
        group: usize,
        times: usize,
        send: bool,
        seconds: i64,
    },
    /// Fails every group, one after another, with a new sale in each; then lets time pass, or not.
    BreakDown {
        sale: Sale,
        times: usize,
        send: bool,
        seconds: i64,
    },
    /// Tells of a claim that is gone.
    SettleLost {
        claim: usize,
    },
    Split {
        claim: usize,
        parts: Vec<i32>,
        lease_seconds: i32,
    },
    Pass {
        seconds: i64,
    },
    Recover {
        min_age_minutes: i32,
        group: Option<usize>,
    },
    Expire {
        limit: i32,
    },
    PutCredentials {
        group: usize,
        key: usize,
    },
    /// Ends what is past its time of all that was near its end, in steps of so many rows.
    EndNear {
        limit: i32,
    },
    /// Ends what waits in a group, so many of each place.
    Cancel {
        group: usize,
        limit: i32,
    },
    Redrive {
        group: usize,
    },
    /// Stops a group, or the whole provider, for a time or until it is resumed.
    Pause {
        place: Option<usize>,
        seconds: Option<i64>,
    },
    /// Comes first, if at all: requests of a key in any minute.
    PutBudget {
        key: usize,
        per_minute: i32,
    },
    Resume {
        place: Option<usize>,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Sale {
    pub(super) number: usize,
    pub(super) digest: u8,
    pub(super) due_in_seconds: Option<i64>,
    pub(super) expires_in_hours: i64,
}

/// What a claim asks for.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) group: Option<usize>,
    pub(super) groups: i32,
    pub(super) rows: i32,
    pub(super) batch: i32,
    pub(super) lease_seconds: i32,
}

impl Ask {
    /// Everything of one group, or of all.
    pub(super) fn generous(group: Option<usize>) -> Self {
        Self { group, groups: 100, rows: 10_000, batch: 1_000, lease_seconds: 60 }
    }

    pub(super) fn is_generous(&self) -> bool {
        self.rows >= 10_000
    }
}

/// What becomes of a claim: the verdicts go round where it has more rows.
#[derive(Debug, Clone)]
pub(super) struct Settlement {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) circuit: &'static str,
    pub(super) group_hold: Option<&'static str>,
    pub(super) throttle: Option<(&'static str, i32)>,
}

impl Settlement {
    pub(super) fn of_all(verdict: Verdict, circuit: &'static str) -> Self {
        Self { verdicts: vec![verdict], circuit, group_hold: None, throttle: None }
    }
}

/// What becomes of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) outcome: &'static str,
    pub(super) class: Option<&'static str>,
    pub(super) wait_seconds: i32,
    pub(super) hold: Option<(&'static str, &'static str)>,
}

impl Verdict {
    pub(super) const fn plain(outcome: &'static str) -> Self {
        Self { outcome, class: None, wait_seconds: 0, hold: None }
    }
}

/// A sequence that begins with something to do.
pub(super) fn operations(longest: usize) -> impl Strategy<Value = Vec<Operation>> {
    // Small enough to be felt, and one with a burst of more than one request.
    let per_minute = prop_oneof![4 => 1..5, 1 => Just(20)];
    let budget =
        (0..2_usize, per_minute).prop_map(|(key, per_minute)| vec![Operation::PutBudget { key, per_minute }]);
    let budget = prop_oneof![Just(Vec::new()), budget];
    (budget, vec(enqueue(), 1..4), vec(operation(), 1..=longest))
        .prop_map(|(budget, first, rest)| [budget, first, rest].concat())
}

fn enqueue() -> impl Strategy<Value = Operation> {
    (0..GROUPS, vec(sale(), 1..12)).prop_map(|(group, sales)| Operation::Enqueue { group, sales })
}

fn operation() -> impl Strategy<Value = Operation> {
    let group = 0..GROUPS;
    let lease = || prop_oneof![Just(5), Just(60), Just(600)];
    prop_oneof![
        4 => enqueue(),
        5 => ask().prop_map(Operation::Claim),
        6 => option::of(0..GROUPS).prop_map(|group| Operation::Claim(Ask::generous(group))),
        5 => (any::<usize>(), 1..3_i64, lease(), prop_oneof![Just(0), 1..70])
            .prop_map(|(claim, target, lease_seconds, wait_seconds)| {
                Operation::Open { claim, target, lease_seconds, wait_seconds }
            }),
        8 => (any::<usize>(), settlement()).prop_map(|(claim, settlement)| Operation::Settle { claim, settlement }),
        3 => (group.clone(), 1..7_usize, any::<bool>(), prop_oneof![Just(0), Just(400)])
            .prop_map(|(group, times, send, seconds)| Operation::Fail { group, times, send, seconds }),
        2 => (sale(), 4..7_usize, any::<bool>(), prop_oneof![Just(0), Just(400)])
            .prop_map(|(sale, times, send, seconds)| Operation::BreakDown { sale, times, send, seconds }),
        1 => any::<usize>().prop_map(|claim| Operation::SettleLost { claim }),
        4 => (any::<usize>(), vec(0..3, 1..6), lease())
            .prop_map(|(claim, parts, lease_seconds)| Operation::Split { claim, parts, lease_seconds }),
        6 => prop_oneof![4 => 1..30_i64, 3 => 30..700_i64, 2 => 700..7_200_i64, 1 => 7_200..300_000_i64]
            .prop_map(|seconds| Operation::Pass { seconds }),
        2 => (prop_oneof![Just(0), Just(30)], option::weighted(0.3, 0..GROUPS))
            .prop_map(|(min_age_minutes, group)| Operation::Recover { min_age_minutes, group }),
        2 => prop_oneof![1..5, Just(1_000)].prop_map(|limit| Operation::Expire { limit }),
        2 => (group.clone(), 0..2_usize).prop_map(|(group, key)| Operation::PutCredentials { group, key }),
        1 => prop_oneof![1..5, Just(1_000)].prop_map(|limit| Operation::EndNear { limit }),
        1 => (group.clone(), prop_oneof![1..5, Just(1_000)])
            .prop_map(|(group, limit)| Operation::Cancel { group, limit }),
        2 => group.prop_map(|group| Operation::Redrive { group }),
        2 => (option::weighted(0.7, 0..GROUPS), option::weighted(0.7, 1..900_i64))
            .prop_map(|(place, seconds)| Operation::Pause { place, seconds }),
        2 => option::weighted(0.7, 0..GROUPS).prop_map(|place| Operation::Resume { place }),
    ]
}

fn sale() -> impl Strategy<Value = Sale> {
    let due = prop_oneof![3 => Just(None), 1 => (-3_600..7_200_i64).prop_map(Some)];
    let hours = prop_oneof![1 => -1..2_i64, 2 => 2..72_i64, 3 => Just(720_i64)];
    (0..40_usize, 0..10_u8, due, hours).prop_map(|(number, digest, due_in_seconds, expires_in_hours)| Sale {
        number,
        digest: u8::from(digest == 0),
        due_in_seconds,
        expires_in_hours,
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let lease = prop_oneof![Just(5), Just(60), Just(600)];
    (option::weighted(0.3, 0..GROUPS), 1..5, 1..15, 1..8, lease).prop_map(
        |(group, groups, rows, batch, lease_seconds)| Ask { group, groups, rows, batch, lease_seconds },
    )
}

fn settlement() -> impl Strategy<Value = Settlement> {
    let whole = |outcome, circuit| Just(Settlement::of_all(Verdict::plain(outcome), circuit));
    let mixed = (vec(verdict(), 1..6), prop_oneof![Just("success"), Just("answered"), Just("none")]);
    let held = prop_oneof![Just("site"), Just("client")];
    let throttled = (prop_oneof![Just("group"), Just("quota_key")], 1..600_i32);
    prop_oneof![
        6 => mixed.prop_map(|(verdicts, circuit)| Settlement { verdicts, circuit, group_hold: None, throttle: None }),
        2 => whole("DELIVERED", "success"),
        2 => whole("UNANSWERED", "transient"),
        1 => Just(Settlement::of_all(Verdict { class: Some("AMBIGUOUS"), ..Verdict::plain("UNANSWERED") }, "transient")),
        1 => whole("RELEASED", "none"),
        1 => held.prop_map(|scope| Settlement {
            group_hold: Some(scope),
            ..Settlement::of_all(Verdict::plain("HELD"), "none")
        }),
        1 => throttled.prop_map(|throttle| Settlement {
            throttle: Some(throttle),
            ..Settlement::of_all(Verdict { wait_seconds: throttle.1, ..Verdict::plain("DELAYED") }, "answered")
        }),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let plain = |outcome| Just(Verdict::plain(outcome));
    let waits = |outcome| {
        prop_oneof![Just(0), 1..90, Just(3_600)]
            .prop_map(move |wait_seconds| Verdict { wait_seconds, ..Verdict::plain(outcome) })
    };
    let ambiguous =
        |outcome| Just(Verdict { class: Some("AMBIGUOUS"), wait_seconds: 5, ..Verdict::plain(outcome) });
    let parked = |scope, key| Just(Verdict { hold: Some((scope, key)), ..Verdict::plain("HELD") });
    prop_oneof![
        4 => plain("DELIVERED"),
        1 => plain("DUPLICATE"),
        1 => plain("UNMATCHED"),
        2 => plain("REJECTED"),
        1 => plain("EXHAUSTED"),
        1 => ambiguous("UNCONFIRMED"),
        3 => waits("RETRY"),
        1 => ambiguous("RETRY"),
        2 => waits("DELAYED"),
        2 => waits("UNANSWERED"),
        1 => parked("row", "1"),
        1 => parked("conversion_action", "a"),
        1 => parked("conversion_action", "b"),
        1 => plain("RELEASED"),
        2 => plain("SUBMITTED"),
    ]
}
