//! What a rule would have done with the last tickets.
//!
//! Both rule sets, the present one and the one with the rule in it, are asked about each ticket as it is known now.
//! Nothing is written and nothing is told.

use solmu_domain::ids::{RuleId, TeamId, TicketId};
use solmu_inquiry::Watched;
use solmu_proto::routing::v1 as proto;
use solmu_runtime::ApiError;

use super::{Service, parse};
use crate::{
    asking::{owns_of, words_of},
    core::{
        answers::{Answers, Parties},
        rules::{Rule, RuleSet, Ruling, Told},
        ticket::{Route, Ticket},
    },
    error::RoundError,
    store::{
        desk::{rules_load, stamp},
        ticket::tickets_latest,
    },
};

/// Tickets that are looked at if the request does not say.
const TICKETS: i32 = 200;
/// At most.
const TICKETS_MAX: i32 = 1_000;
/// Tickets whose words are asked for at a time.
const TEXTS_AT_ONCE: usize = 500;

impl Service {
    pub(super) async fn rule_try(
        &self,
        request: proto::DryRunRuleRequest,
    ) -> Result<proto::DryRunRuleResponse, ApiError> {
        let rule = request
            .rule
            .ok_or_else(|| ApiError::invalid("rule", "is missing"))?;
        let (spec, condition) = parse::rule(&rule)?;
        self.check_fields(&condition).await?;
        let replaces: Option<RuleId> = match rule.id.as_str() {
            "" => None,
            id => Some(parse::id("rule.id", id)?),
        };
        let limit = match request.tickets {
            0 => TICKETS,
            count if (1..=TICKETS_MAX).contains(&count) => count,
            _ => {
                let wanted = format!("must be 1 to {TICKETS_MAX}");
                return Err(ApiError::invalid("tickets", wanted));
            }
        };
        let warnings = self.warnings(&spec).await?;
        if spec.actions.restrict.is_some() {
            let told = self.restriction_try(&spec, condition, replaces, limit.into());
            return Ok(proto::DryRunRuleResponse {
                warnings,
                ..told.await?
            });
        }
        let new_id = || RuleId::generate(self.clock.as_ref(), self.rng.as_ref());
        let tried = spec.enabled.then(|| {
            Rule::new(
                replaces.unwrap_or_else(new_id),
                0,
                spec.display_name.clone(),
                condition,
                spec.actions.clone(),
            )
            .at(spec.position)
            .in_zone(spec.time_zone())
        });
        let (now, tickets) = self.rules_and_tickets(limit).await?;
        let now = now.in_zone(self.zone.clone());
        let then = now.with(replaces, tried.clone());
        let answers = self.answers_for(&tickets, &[&now, &then]).await?;
        let changes = tickets.iter().filter_map(|ticket| {
            let told = answers.told(ticket.id);
            let before = now.rule_on(&ticket.facts, told);
            let after = then.rule_on(&ticket.facts, told);
            let why = tried.as_ref().map(|rule| {
                let why = rule.explain(&ticket.facts, told, then.zone());
                why.sentence()
            });
            change(ticket, &before, &after, why.unwrap_or_default())
        });
        Ok(proto::DryRunRuleResponse {
            tickets: i32::try_from(tickets.len()).unwrap_or(i32::MAX),
            changes: changes.collect(),
            warnings,
        })
    }

    async fn rules_and_tickets(&self, limit: i32) -> Result<(RuleSet, Vec<Ticket>), ApiError> {
        let read = self
            .db
            .tx("routing.dry_run", |tx| {
                Box::pin(async move {
                    let stamp = stamp(tx).await?;
                    let rules = rules_load(tx, stamp).await?;
                    Ok::<_, RoundError>((rules, tickets_latest(tx, limit.into()).await?))
                })
            })
            .await;
        read.map_err(|error| match error {
            RoundError::Db(error) => error.into(),
            other => ApiError::internal(other),
        })
    }

    /// What one of the rule sets has to see of tickets besides their facts.
    pub(super) async fn answers_for(
        &self,
        tickets: &[Ticket],
        sets: &[&RuleSet],
    ) -> Result<Answers, ApiError> {
        let away = |what: &str| ApiError::FailedPrecondition {
            reason: "TEXTS_NOT_AVAILABLE",
            message: format!(
                "the rules look at {what}, and the ticket service does not give them now"
            ),
        };
        let mut answers = Answers::default();
        let mut watched = Watched::default();
        for set in sets {
            watched.add(set.watched());
        }
        let wants = |ticket: &Ticket, told: Told<'_>, ruling: &[Ruling]| {
            let mut sets = sets.iter();
            sets.any(|set| ruling.contains(&set.rule_on(&ticket.facts, told)))
        };
        if !watched.is_empty() {
            let asks = [Ruling::NeedsOwn, Ruling::NeedsText];
            let wanted = tickets.iter();
            let wanted = wanted.filter(|it| wants(it, Told::default(), &asks));
            let parties = wanted.map(|it| (it.id, Parties::of(&it.facts))).collect();
            let owns = owns_of(self.texts.as_ref(), &watched, &parties).await;
            answers.owns = owns.map_err(|_| away("fields of contacts"))?;
        }
        let wanted = tickets.iter();
        let wanted = wanted.filter(|it| wants(it, answers.told(it.id), &[Ruling::NeedsText]));
        let wanted: Vec<TicketId> = wanted.map(|it| it.id).collect();
        for chunk in wanted.chunks(TEXTS_AT_ONCE) {
            let found = words_of(self.texts.as_ref(), chunk).await;
            answers.texts.extend(found.map_err(|_| away("words"))?);
        }
        Ok(answers)
    }
}

fn change(
    ticket: &Ticket,
    before: &Ruling,
    after: &Ruling,
    why: String,
) -> Option<proto::DryRunChange> {
    let (before, after) = (route_of(before), route_of(after));
    let team = |route: Option<&Route>| route.map(|route| route.team);
    let mut differs = Vec::new();
    if let (Some(before), Some(after)) = (before, after) {
        let parts = [
            (
                "priority",
                before.effects.priority != after.effects.priority,
            ),
            ("tags", before.effects.tags != after.effects.tags),
            ("skills", before.wishes != after.wishes),
            ("vip", before.vip != after.vip),
            ("agent", before.agent != after.agent),
            ("hold", before.hold_s != after.hold_s),
        ];
        let parts = parts.into_iter().filter(|(_, differs)| *differs);
        differs.extend(parts.map(|(name, _)| name.to_owned()));
    }
    let moved = team(before) != team(after);
    let text = |team: Option<TeamId>| team.map(|id| id.to_string()).unwrap_or_default();
    (moved || !differs.is_empty()).then(|| proto::DryRunChange {
        ticket_id: ticket.id.to_string(),
        ticket_number: ticket.facts.number,
        team_id: text(team(before)),
        new_team_id: text(team(after)),
        differs,
        why,
    })
}

const fn route_of(ruling: &Ruling) -> Option<&Route> {
    match ruling {
        Ruling::To(route) => Some(route),
        Ruling::NeedsText | Ruling::NeedsOwn | Ruling::NoTeam => None,
    }
}
