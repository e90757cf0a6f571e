//! How long a platform asks to wait: the `Retry-After` header, kept within sane bounds.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The longest wait that an answer can impose. Ours: daily budgets renew within it, and a wrong or hostile header
/// must not stop deliveries for a year.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// Reads a `Retry-After` header: whole seconds, or an HTTP date (RFC 9110, section 10.2.3). `None` where it is
/// neither; a date in the past is no wait.
pub fn parse_retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds is a very long wait, and is capped like one.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)).min(LONGEST_WAIT));
    }
    let until = DateTimeParser::new().parse_timestamp(header).ok()?;
    let wait = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(LONGEST_WAIT))
}
