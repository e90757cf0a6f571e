//! How long things are kept.

use std::ops::RangeInclusive;

use super::BadRequest;

/// Days that things are kept, and over which scores are computed. Made by `boot`, which checks that no score needs what is
/// gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Conversions, their outcomes, the ledger, and what was counted of them.
    pub conversion_days: u32,
    /// The history of runs.
    pub run_days: u32,
    /// The window of `recompute-scores`.
    pub score_window_days: u32,
}

impl Retention {
    /// What may be asked for: a platform takes adjustments for two months and clicks for three, and a century is a slip of
    /// the keyboard.
    pub const CONVERSIONS: RangeInclusive<u32> = 180..=36_500;

    /// The same for runs.
    pub const RUNS: RangeInclusive<u32> = 30..=36_500;

    /// The same for the window of scores.
    pub const SCORE_WINDOW: RangeInclusive<u32> = 1..=3_650;

    /// Days that conversions are kept by a call that names a number of its own, or by the settings.
    ///
    /// # Errors
    /// Where scores would be computed from what is gone.
    pub(super) fn conversion_days_of(&self, asked: Option<u32>) -> Result<u32, BadRequest> {
        match asked {
            Some(days) if days < self.score_window_days => Err(BadRequest(
                "retention_days must not be less than RECOMPUTE_SCORES_WINDOW_DAYS: scores are computed from so many days"
                    .to_owned(),
            )),
            Some(days) => Ok(days),
            None => Ok(self.conversion_days),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { conversion_days: 400, run_days: 90, score_window_days: 180 }
    }
}
