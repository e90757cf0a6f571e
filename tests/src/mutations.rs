//! Faults to put into the SQL one at a time: each guard is there for a reason, and a test must miss it.

mod answers;
mod circuit;
mod claim;
mod enqueue;
mod gauges;
mod ingest;
mod keys;
mod orders;
mod probe;
mod proof;
mod recover;
mod settle;
mod tasks;
mod upkeep;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// One fault.
#[derive(Debug)]
pub struct Mutation {
    /// The function's file below `migrations/functions`, without its ending.
    pub function: &'static str,
    /// What the function then does wrong.
    pub fault: &'static str,
    /// The test that stands on this guard: it is asked first.
    pub noticed_by: &'static str,
    edits: &'static [Edit],
}

/// A text of the function, how often it stands there, and what replaces it everywhere.
#[derive(Debug)]
struct Edit {
    find: &'static str,
    times: usize,
    replace: &'static str,
}

/// A fault in one place.
const fn mutation(
    function: &'static str,
    fault: &'static str,
    noticed_by: &'static str,
    edits: &'static [Edit],
) -> Mutation {
    Mutation { function, fault, noticed_by, edits }
}

const fn edit(find: &'static str, replace: &'static str) -> Edit {
    Edit { find, times: 1, replace }
}

const fn edit_all(find: &'static str, times: usize, replace: &'static str) -> Edit {
    Edit { find, times, replace }
}

/// Every fault.
pub fn all() -> impl Iterator<Item = &'static Mutation> {
    [
        claim::MUTATIONS,
        keys::MUTATIONS,
        settle::MUTATIONS,
        circuit::MUTATIONS,
        recover::MUTATIONS,
        enqueue::MUTATIONS,
        ingest::MUTATIONS,
        gauges::MUTATIONS,
        answers::MUTATIONS,
        orders::MUTATIONS,
        probe::MUTATIONS,
        proof::MUTATIONS,
        tasks::MUTATIONS,
        upkeep::MUTATIONS,
    ]
    .into_iter()
    .flatten()
}

impl Mutation {
    /// The function with its fault.
    ///
    /// # Errors
    /// Where a text does not stand in the function as often as it should: the function has changed since.
    pub fn sql(&self) -> anyhow::Result<String> {
        let path = functions().join(format!("{}.sql", self.function));
        let mut sql = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        for Edit { find, times, replace } in self.edits {
            let found = sql.matches(find).count();
            anyhow::ensure!(
                found == *times,
                "{}: found {found} times instead of {times}: {find}",
                self.function
            );
            sql = sql.replace(find, replace);
        }
        Ok(sql)
    }
}

fn functions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/functions")
}
