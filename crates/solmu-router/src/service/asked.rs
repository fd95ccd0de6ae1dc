//! Why the rules say what they say of a ticket: also why those did not hold that come before the one that did.
//!
//! Computed when somebody asks, from what is known of the ticket now: decisions are kept with the rule that they went by,
//! not with every comparison, which would quote customers in a log that nobody erases.

use solmu_domain::ids::TicketId;
use solmu_proto::routing::v1 as proto;
use solmu_runtime::ApiError;

use super::Service;
use crate::{
    error::RoundError,
    store::{
        desk::{rules_load, stamp},
        ticket::tickets_fetch,
    },
};

/// Rules that one answer shows, the last ones.
const SHOWN: usize = 200;

impl Service {
    /// The rules that were asked, and why there are none.
    pub(super) async fn asked_rules(
        &self,
        id: TicketId,
    ) -> Result<(Vec<proto::AskedRule>, String), ApiError> {
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
