//! Whoever reads an answer has the taxonomy in one hand and a clock in the other.

use jiff::Timestamp;

use super::findings::Finding;
use crate::domain::{Class, ErrorCode, HoldScope, Verdict, Wait};
use crate::providers::{
    Answer, Memo, QuotaScope, Reply, Request, RowAnswer, SendError,
    google_ads::taxonomy::{Body, Context, Rule, Taxonomy},
};

/// What it takes to say what an answer means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) taxonomy: &'a Taxonomy,
    pub(crate) now: Timestamp,
}

impl<'a> Judge<'a> {
    pub(super) fn context<'b>(self, memo: Option<Memo>, field: &'b str) -> Context<'b> {
        Context { memo, field, now: self.now, body: Body::Api }
    }

    /// The rule for what happened on the way.
    pub(super) fn signal(self, code: &str, body: Body) -> &'a Rule {
        self.taxonomy.signal(code, &Context { body, ..self.context(None, "") })
    }

    pub(super) fn worst_rule<'b>(self, found: impl IntoIterator<Item = &'b Finding>) -> Option<&'a Rule> {
        found
            .into_iter()
            .filter_map(|finding| finding.rule(self))
            .reduce(|worst, next| if next.class.severity() > worst.class.severity() { next } else { worst })
    }

    /// Codes that nobody has said the meaning of, each once.
    pub(super) fn unknown<'b>(self, found: impl IntoIterator<Item = &'b Finding>) -> Vec<ErrorCode> {
        let mut unknown: Vec<ErrorCode> = Vec::new();
        for finding in found {
            let code = finding.error_code();
            if !finding.is_known(self) && !unknown.contains(&code) {
                unknown.push(code);
            }
        }
        unknown
    }

    /// What a signal means for one row that has neither result nor error. Nothing makes it a delivery.
    pub(super) fn doubt(self, code: &'static str, memo: Memo) -> RowAnswer {
        let rule = self.signal(code, Body::Api);
        let verdict = match rule.class {
            Class::Ok | Class::Unmatched => Verdict::Unconfirmed,
            Class::Perm
            | Class::Config
            | Class::Delay
            | Class::Transient
            | Class::Split
            | Class::Ambiguous => rule.verdict(&self.context(Some(memo), "")),
        };
        RowAnswer { verdict, code: Some(ErrorCode::own(code)) }
    }

    /// What a rule means for a request as a whole. No class makes it a delivery.
    pub(super) fn whole(self, rule: &Rule, reply: Reply, request: &Request) -> Result<Answer, SendError> {
        let wait = match rule.delay(&self.context(None, "")) {
            Wait::For(wait) => wait,
            Wait::Until(time, at_least) => {
                std::time::Duration::try_from(time.duration_since(self.now)).unwrap_or_default().max(at_least)
            }
        };
        Err(match (rule.class, rule.scope) {
            (Class::Config, scope) => misconfigured(reply, scope.unwrap_or(HoldScope::Site), request),
            (Class::Delay, Some(HoldScope::Client | HoldScope::Provider)) => {
                SendError::Throttled { reply, wait, scope: QuotaScope::QuotaKey }
            }
            (Class::Delay, Some(HoldScope::Site)) => {
                SendError::Throttled { reply, wait, scope: QuotaScope::Account }
            }
            (Class::Delay, Some(HoldScope::Row | HoldScope::ConversionAction) | None) => {
                let delayed = |memo: &Memo| RowAnswer {
                    verdict: rule.verdict(&self.context(Some(*memo), "")),
                    code: reply.code.clone(),
                };
                let rows = request.memo.iter().map(delayed).collect();
                return Ok(Answer { reply, rows });
            }
            (Class::Transient, _) if rule.wait_seconds.is_some() => {
                SendError::Throttled { reply, wait, scope: QuotaScope::Account }
            }
            (Class::Transient, _) => SendError::Unavailable(reply),
            (Class::Split, _) => SendError::TooLarge(reply),
            (Class::Perm, _) => SendError::Refused(reply),
            (Class::Ambiguous | Class::Ok | Class::Unmatched, _) => SendError::Unconfirmed(reply),
        })
    }
}

/// A fault of one row or action can be laid on the request only where the request has no other.
pub(super) fn misconfigured(reply: Reply, scope: HoldScope, request: &Request) -> SendError {
    let is_certain = match scope {
        HoldScope::Row => request.rows.len() == 1,
        HoldScope::ConversionAction => has_one_target(request),
        HoldScope::Site | HoldScope::Client | HoldScope::Provider => true,
    };
    if is_certain { SendError::Misconfigured { reply, scope } } else { SendError::Refused(reply) }
}

pub(super) fn has_one_target(request: &Request) -> bool {
    request.targets.windows(2).all(|pair| pair[0] == pair[1])
}
