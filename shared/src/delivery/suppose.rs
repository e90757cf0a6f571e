//! What may have become of a few conversions of which a receipt counted how many, and which of them to send to learn the
//! most. Pure. What is found out here is supposed and never told: each conversion goes again with those of which the same
//! is supposed, and ends by a receipt that speaks for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::part_number::PartNumber;
use crate::domain::ErrorCode;
use crate::providers::Counted;

/// How many are a few: of four that met two ends, two requests tell on average.
pub(super) const FEW: usize = 4;

/// Most worlds that are kept: four conversions that met four ends, or two.
const WORLDS_MAX: usize = 24;

/// What one conversion met: nothing, or this.
pub(super) type Fate = Option<ErrorCode>;

/// Each way in which it may have been: a fate for each conversion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Worlds(Vec<Vec<Fate>>);

/// A reason that was counted, and which conversions it may mean.
pub(super) struct Suspected<'a> {
    pub reason: &'a ErrorCode,
    pub count: usize,
    pub may_mean: &'a dyn Fn(usize) -> bool,
}

/// What to do with one of a few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fated {
    /// It met the same in every world.
    Supposed(Fate),
    /// It goes again, with the others that do.
    Sent,
    /// It stays behind: what those that go meet tells what it met.
    Stays,
}

impl Worlds {
    /// Every way in which `conversions` can have met what was counted, each one thing at most. None where they cannot.
    pub(super) fn of(conversions: usize, suspected: &[Suspected<'_>]) -> Self {
        let wrong: usize = suspected.iter().map(|one| one.count).sum();
        if conversions > FEW || wrong > conversions {
            return Self::default();
        }
        let mut worlds: Vec<Vec<Fate>> = vec![Vec::new()];
        for conversion in 0..conversions {
            let fates = || {
                let meant = suspected.iter().filter(|one| (one.may_mean)(conversion));
                meant.map(|one| Some(one.reason.clone())).chain([None])
            };
            let and = |world: Vec<Fate>| {
                fates().map(move |fate| world.iter().cloned().chain([fate]).collect::<Vec<_>>())
            };
            worlds = worlds.into_iter().flat_map(and).collect();
        }
        let adds_up = |world: &Vec<Fate>| {
            suspected
                .iter()
                .all(|one| world.iter().filter(|fate| fate.as_ref() == Some(one.reason)).count() == one.count)
        };
        worlds.retain(adds_up);
        Self(worlds)
    }

    /// Those in which the first `sent` met what their receipt counts.
    pub(super) fn in_which(mut self, sent: usize, counts: &[Counted]) -> Self {
        self.0.retain(|world| {
            let met = |reason: &ErrorCode| {
                world.iter().take(sent).filter(|fate| fate.as_ref() == Some(reason)).count() as u64
            };
            let wrong = world.iter().take(sent).flatten().count() as u64;
            counts.iter().all(|count| met(&count.reason) == count.rows)
                && counts.iter().map(|count| count.rows).sum::<u64>() == wrong
        });
        self
    }

    /// Of these conversions alone, in this order.
    pub(super) fn of_those(&self, conversions: &[usize]) -> Self {
        let of_those =
            |world: &Vec<Fate>| conversions.iter().map(|one| world.get(*one).cloned().flatten()).collect();
        let mut worlds: Vec<Vec<Fate>> = self.0.iter().map(of_those).collect();
        worlds.sort();
        worlds.dedup();
        Self(worlds)
    }

    /// Whether there is none: what receipts told contradicts itself.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to do with each conversion.
    pub(super) fn next(&self) -> Vec<Fated> {
        let Some(first) = self.0.first() else {
            return Vec::new();
        };
        let is_known = |place: &usize| self.0.iter().all(|world| world.get(*place) == first.get(*place));
        let open: Vec<usize> = (0..first.len()).filter(|place| !is_known(place)).collect();
        let sent = self.most_telling(&open);
        (0..first.len())
            .map(|place| match (sent.contains(&place), open.contains(&place)) {
                (true, _) => Fated::Sent,
                (false, true) => Fated::Stays,
                (false, false) => Fated::Supposed(first[place].clone()),
            })
            .collect()
    }

    /// The conversions whose counts leave the fewest worlds on average, and the fewest of them.
    fn most_telling(&self, open: &[usize]) -> Vec<usize> {
        let subset = |bits: u32| -> Vec<usize> {
            open.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, one)| *one).collect()
        };
        let all = 1_u32.checked_shl(u32::try_from(open.len()).unwrap_or(u32::MAX)).unwrap_or(0);
        (1..all)
            .map(subset)
            .filter(|sent| sent.len() < open.len() || open.len() == 1)
            .min_by_key(|sent| {
                let mut alike: BTreeMap<Vec<&Fate>, usize> = BTreeMap::new();
                for world in &self.0 {
                    let mut told: Vec<&Fate> = sent.iter().map(|one| &world[*one]).collect();
                    told.sort();
                    *alike.entry(told).or_default() += 1;
                }
                (alike.values().map(|worlds| worlds * worlds).sum::<usize>(), sent.len())
            })
            .unwrap_or_default()
    }

    /// As the database keeps it.
    pub(super) fn to_json(&self) -> Value {
        let texts = |world: &Vec<Fate>| -> Vec<Option<String>> {
            world.iter().map(|fate| fate.as_ref().map(ToString::to_string)).collect()
        };
        json!(self.0.iter().map(texts).collect::<Vec<_>>())
    }

    /// What was kept of so many conversions; none where it is something else.
    pub(super) fn from_json(kept: &Value, conversions: usize) -> Self {
        let texts: Vec<Vec<Option<String>>> = serde_json::from_value(kept.clone()).unwrap_or_default();
        if texts.len() > WORLDS_MAX || texts.iter().any(|world| world.len() != conversions) {
            return Self::default();
        }
        let fates = |world: Vec<Option<String>>| {
            world.into_iter().map(|fate| fate.map(|code| ErrorCode::foreign(&code))).collect()
        };
        Self(texts.into_iter().map(fates).collect())
    }
}

/// The part of all of a group's conversions that are supposed to have met this.
pub(super) fn part_of(fate: &Fate) -> PartNumber {
    PartNumber::of_supposed(fate.as_ref().map_or("", ErrorCode::as_str))
}
