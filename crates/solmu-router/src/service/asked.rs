//! Why a ticket is where it is: what was decided about it, why it waits, and why the rules say what they say of it, also
//! why those did not hold that come before the one that did.
//!
//! The latter two are computed when somebody asks, from what is known of the ticket now: decisions are kept with the rule that they went by,
//! not with every comparison, which would quote customers in a log that nobody erases.

use solmu_domain::ids::TicketId;
use solmu_proto::routing::v1 as proto;
use solmu_runtime::ApiError;

use super::Service;
use crate::{
    error::RoundError,
    store::{
        decision::{decisions_of, wait_reason},
        desk::{rules_load, stamp},
        ticket::tickets_fetch,
    },
};

/// Rules that one answer shows, the last ones.
const SHOWN: usize = 200;
/// Decisions that one answer shows.
const EXPLAINED: i64 = 100;

impl Service {
    pub(super) async fn explained(
        &self,
        ticket: TicketId,
    ) -> Result<proto::ExplainRoutingResponse, ApiError> {
        let mut decisions = self.decisions(ticket).await?;
        let waiting_reason = self.waiting_reason(ticket).await?;
        // Not decided on yet: what stands for a decision says why, as it is now.
        let undecided = decisions.iter_mut().filter(|it| it.decision_id.is_empty());
        for waits in undecided.filter(|_| !waiting_reason.is_empty()) {
            waits.reason.clone_from(&waiting_reason);
        }
        let (rules, rules_missing) = self.asked_rules(ticket).await?;
        Ok(proto::ExplainRoutingResponse {
            decisions,
            rules,
            rules_missing,
            waiting_reason,
        })
    }

    async fn decisions(&self, ticket: TicketId) -> Result<Vec<proto::Decision>, ApiError> {
        let decisions = decisions_of(self.db.pool(), ticket, EXPLAINED).await?;
        if !decisions.is_empty() {
            return Ok(decisions.into_iter().map(proto::Decision::from).collect());
        }
        match wait_reason(self.db.pool(), ticket).await? {
            None => Err(ApiError::not_found("ticket", &ticket)),
            // Not decided on yet, and that has a reason.
            Some(reason) => Ok(reason
                .map(|reason| proto::Decision {
                    reason,
                    ..proto::Decision::default()
                })
                .into_iter()
                .collect()),
        }
    }

    /// The rules that were asked, and why there are none.
    async fn asked_rules(&self, id: TicketId) -> Result<(Vec<proto::AskedRule>, String), ApiError> {
        let read = self.db.tx("routing.explain", move |tx| {
            Box::pin(async move {
                let stamp = stamp(tx).await?;
                let rules = rules_load(tx, stamp).await?;
                Ok::<_, RoundError>((rules, tickets_fetch(tx, &[id]).await?))
            })
        });
        let (rules, tickets) = read.await.map_err(|error| match error {
            RoundError::Db(error) => error.into(),
            other => ApiError::internal(other),
        })?;
        let Some(ticket) = tickets.first() else {
            return Ok((Vec::new(), "the router does not know the ticket".to_owned()));
        };
        let rules = rules.in_zone(self.zone.clone());
        let answers = match self.answers_for(&tickets, &[&rules]).await {
            Ok(answers) => answers,
            Err(ApiError::FailedPrecondition { message, .. }) => return Ok((Vec::new(), message)),
            Err(error) => return Err(error),
        };
        let told = answers.told(id);
        let asked = rules.asked_about(&ticket.facts, told);
        let first = asked.len().saturating_sub(SHOWN);
        let shown = asked.into_iter().skip(first).map(|rule| {
            let why = rule.explain(&ticket.facts, told, rules.zone());
            proto::AskedRule {
                rule_id: rule.id.to_string(),
                version: rule.version,
                display_name: rule.name.clone(),
                holds: why.outcome,
                why: why.sentence(),
            }
        });
        Ok((shown.collect(), String::new()))
    }
}
