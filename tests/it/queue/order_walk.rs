//! Random walks over two orders: whatever happens to their writes, one goes at a time, and none over a newer one.

use std::collections::BTreeMap;

use anyhow::ensure;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{TestCaseError, TestRunner};
use tests::cases::cases;
use tokio::runtime;

use super::order_ground::{AGAIN, Claim, DELIVERED, End, Ground, REJECTED, SUBMITTED, Write};

/// About fifteen seconds.
const CASES: u32 = 24;
const STEPS: usize = 40;

/// Rounds of a claim and its delivery, after which nothing may be left.
const ROUNDS_TO_END: usize = 60;

const ORDERS: [&str; 2] = ["sale-a", "sale-b"];

const KINDS: [&str; 4] = ["conversion", "restatement", "retraction", "enhancement"];

#[derive(Debug, Clone)]
enum Step {
    TakeIn {
        writes: Vec<Given>,
    },
    Claim,
    Settle {
        claim: usize,
        end: End,
    },
    /// A request leaves and its runner dies.
    Die {
        claim: usize,
    },
    Pass {
        seconds: u32,
    },
    Receipts {
        outcome: &'static str,
        is_told: bool,
    },
    Expire,
    Redrive,
}

#[derive(Debug, Clone, Copy)]
struct Given {
    order: usize,
    kind: usize,
    minute: i32,
    is_named: bool,
    expires_in_minutes: i32,
}

fn given() -> impl Strategy<Value = Given> {
    let expires = prop_oneof![4 => Just(50_000), 1 => 1..30];
    let parts = (0..ORDERS.len(), 0..KINDS.len(), 0..6, any::<bool>(), expires);
    parts.prop_map(|(order, kind, minute, is_named, expires_in_minutes)| Given {
        order,
        kind,
        minute,
        is_named,
        expires_in_minutes,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        4 => Just(DELIVERED),
        2 => Just(REJECTED),
        1 => Just(SUBMITTED),
        2 => Just(AGAIN),
        1 => Just(End("RETRY", Some("AMBIGUOUS"))),
        1 => Just(End("UNCONFIRMED", Some("AMBIGUOUS"))),
        1 => Just(End("UNMATCHED", Some("UNMATCHED"))),
    ];
    let outcome = prop_oneof![Just("DELIVERED"), Just("REJECTED")];
    prop_oneof![
        5 => vec(given(), 1..4).prop_map(|writes| Step::TakeIn { writes }),
        5 => Just(Step::Claim),
        6 => (any::<usize>(), end).prop_map(|(claim, end)| Step::Settle { claim, end }),
        1 => any::<usize>().prop_map(|claim| Step::Die { claim }),
        2 => prop_oneof![Just(16), Just(31), Just(660), Just(1_800)].prop_map(|seconds| Step::Pass { seconds }),
        1 => (outcome, any::<bool>()).prop_map(|(outcome, is_told)| Step::Receipts { outcome, is_told }),
        1 => Just(Step::Expire),
        2 => Just(Step::Redrive),
    ]
}

/// What was brought, and what the platform knows for certain.
#[derive(Default)]
struct Walk {
    /// Order, kind and minute by external id.
    writes: BTreeMap<String, (usize, &'static str, i32)>,
    claims: Vec<Claim>,
    submitted: Vec<Claim>,
    /// The newest value that was delivered, by order.
    written: [Option<i32>; 2],
}

impl Walk {
    async fn go(&mut self, ground: &Ground, step: &Step) -> anyhow::Result<()> {
        keep_claims(ground).await?;
        match step {
            Step::TakeIn { writes } => self.take_in(ground, writes).await,
            Step::Claim => {
                let claims = ground.claim().await?;
                self.look(&claims)?;
                self.claims.extend(claims);
                Ok(())
            }
            Step::Settle { claim, end } => match self.take(*claim) {
                Some(claim) => self.settle(ground, claim, *end).await,
                None => Ok(()),
            },
            Step::Die { claim } => {
                if let Some(claim) = self.take(*claim) {
                    super::open(&ground.world.sql, claim.token, 1).await?;
                }
                Ok(())
            }
            Step::Pass { seconds } => {
                ground.world.let_pass(&format!("{seconds} seconds")).await?;
                // All leases have ended, but of those that pass 16 s.
                if *seconds > 30 {
                    self.claims.clear();
                }
                Ok(())
            }
            Step::Receipts { outcome, is_told } => self.receive(ground, outcome, *is_told).await,
            Step::Expire => {
                ground.world.sql.execute("select relay.expire_conversions(100)", &[]).await?;
                Ok(())
            }
            Step::Redrive => ground.redrive(None).await.map(drop),
        }
    }

    async fn take_in(&mut self, ground: &Ground, writes: &[Given]) -> anyhow::Result<()> {
        let mut ids = Vec::new();
        for write in writes {
            let is_first = !self.writes.contains_key(ORDERS[write.order])
                && !ids.contains(&ORDERS[write.order].to_owned());
            let is_original = KINDS[write.kind] == "conversion" && is_first && !write.is_named;
            let id = if is_original {
                ORDERS[write.order].to_owned()
            } else {
                format!("w-{}", self.writes.len() + ids.len())
            };
            ids.push(id);
        }
        let writes: Vec<(&Given, &String)> = writes.iter().zip(&ids).collect();
        for (write, id) in &writes {
            self.writes.insert((*id).clone(), (write.order, KINDS[write.kind], write.minute));
        }
        let writes: Vec<Write<'_>> = writes
            .iter()
            .map(|(write, id)| {
                let order = ORDERS[write.order];
                let made = match KINDS[write.kind] {
                    "conversion" if id.as_str() == order => Write::conversion(id, write.minute),
                    "conversion" => Write::conversion(id, write.minute).of_order(order),
                    "restatement" => Write::restatement(id, order, write.minute),
                    "retraction" => Write::retraction(id, order, write.minute),
                    _ => Write::enhancement(id, order),
                };
                made.expires_in_minutes(write.expires_in_minutes)
            })
            .collect();
        ground.take_in(&writes).await.map(drop)
    }

    fn take(&mut self, claim: usize) -> Option<Claim> {
        let place = claim.checked_rem(self.claims.len())?;
        Some(self.claims.remove(place))
    }

    /// No value goes out that is older than one that was delivered, and of an order one write alone.
    fn look(&self, claims: &[Claim]) -> anyhow::Result<()> {
        let mut orders = Vec::new();
        for id in claims.iter().chain(&self.claims).chain(&self.submitted).flat_map(|claim| &claim.ids) {
            let (order, _, _) = self.writes[id];
            ensure!(!orders.contains(&order), "two writes of {} are out", ORDERS[order]);
            orders.push(order);
        }
        for id in claims.iter().flat_map(|claim| &claim.ids) {
            let (order, kind, minute) = self.writes[id];
            let older = kind != "enhancement" && self.written[order].is_some_and(|written| minute < written);
            ensure!(!older, "{id} of minute {minute} goes over {:?}", self.written[order]);
        }
        Ok(())
    }

    async fn settle(&mut self, ground: &Ground, claim: Claim, end: End) -> anyhow::Result<()> {
        ground.settle(&claim, end).await?;
        match end.0 {
            "DELIVERED" => self.deliver(&claim),
            "SUBMITTED" => self.submitted.push(claim),
            _ => {}
        }
        Ok(())
    }

    fn deliver(&mut self, claim: &Claim) {
        for id in &claim.ids {
            let (order, kind, minute) = self.writes[id];
            if kind != "enhancement" {
                self.written[order] = self.written[order].max(Some(minute));
            }
        }
    }

    async fn receive(&mut self, ground: &Ground, outcome: &str, is_told: bool) -> anyhow::Result<()> {
        let settle = "with settled as (update relay.receipt set state = 'SETTLED', outcome = $1 where state = 'PENDING' returning *) \
                      select relay.call_orders(array[group_id], conversion_ids, clock_timestamp()) from settled where $2";
        ground.world.sql.query(settle, &[&outcome, &is_told]).await?;
        for claim in std::mem::take(&mut self.submitted) {
            if outcome == "DELIVERED" {
                self.deliver(&claim);
            }
        }
        Ok(())
    }

    /// Brings everything to an end, by deliveries alone.
    async fn end(&mut self, ground: &Ground) -> anyhow::Result<()> {
        keep_claims(ground).await?;
        for _ in 0..ROUNDS_TO_END {
            self.receive(ground, "DELIVERED", true).await?;
            for claim in std::mem::take(&mut self.claims) {
                self.settle(ground, claim, DELIVERED).await?;
            }
            ground.world.let_pass("11 minutes").await?;
            let claims = ground.claim().await?;
            self.look(&claims)?;
            self.claims = claims;
            ground.assert_in_order().await?;
            let alive = "select count(*) from relay.offline_conversion_queue where status not in ('COMPLETED', 'FAILED')";
            if ground.world.number(alive).await? == 0 {
                let calls = ground.world.number("select count(*) from relay.blocked").await?;
                ensure!(calls == 0, "{calls} are blocked");
                return Ok(());
            }
        }
        anyhow::bail!("it never ends: {}", ground.world.statuses().await?)
    }
}

/// Leases count in real seconds, and steps take as long as the machine does: whoever has a claim has it for 30 s more.
async fn keep_claims(ground: &Ground) -> anyhow::Result<()> {
    let longer = "update relay.inflight set lease_until = clock_timestamp() + interval '30 seconds' \
                  where lease_until > clock_timestamp()";
    Ok(ground.world.sql.batch_execute(longer).await?)
}

async fn walk(steps: &[Step]) -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let mut walk = Walk::default();
    for step in steps {
        walk.go(&ground, step).await?;
        ground.assert_in_order().await?;
    }
    walk.end(&ground).await
}

#[test]
fn whatever_happens_one_write_of_an_order_goes_at_a_time_and_none_over_a_newer_one() {
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut runner = TestRunner::new(cases(CASES));

    let result = runner.run(&vec(step(), 1..=STEPS), |steps| {
        runtime.block_on(walk(&steps)).map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });

    if let Err(failure) = result {
        panic!("{failure}");
    }
}
