//! Rules that restrict tickets as these are opened: what is in force of them, and what one would do.
//!
//! The ticket service asks them, in the transaction that opens a ticket (see `solmu-restrict`). Here they are put where it
//! finds them, in the transaction that saves the rule.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use solmu_conditions::Checked;
use solmu_domain::ids::{AgentId, ContactId, RuleId, TeamId, TicketId};
use solmu_proto::{routing::v1 as proto, ticket::v1::RoutingText};
use solmu_restrict::{Kept, MAX_RULES, Question, Restricting, Text};
use solmu_runtime::{ApiError, api_error::Violation};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Service, people::need_teams};
use crate::{
    core::{rules::needs_text, ticket::Ticket},
    error::RoundError,
    store::{
        rule::{RuleSpec, agents_missing, rule_lock},
        ticket::tickets_latest,
    },
};

/// Tickets whose words are asked for at a time.
const TEXTS_AT_ONCE: usize = 500;

/// What the ticket service is to find of a saved rule: it if it restricts and is enabled, else nothing.
pub(super) async fn keep(
    tx: &mut PgConnection,
    id: RuleId,
    spec: &RuleSpec,
    zone: &TimeZone,
) -> Result<(), ApiError> {
    let Some((whom, team)) = spec.actions.restrict.as_ref().zip(spec.actions.team) else {
        return Ok(solmu_restrict::remove(tx, id.as_uuid()).await?);
    };
    need_teams(tx, &whom.teams, "rule.restrict.team_ids").await?;
    let missing = agents_missing(tx, &whom.agents).await?;
    if !missing.is_empty() {
        let violations = missing.iter().map(|id| {
            let why = format!("there is no agent '{id}'");
            Violation::new("rule.restrict.agent_ids", why)
        });
        return Err(ApiError::InvalidArgument {
            violations: violations.collect(),
        });
    }
    if !spec.enabled {
        return Ok(solmu_restrict::remove(tx, id.as_uuid()).await?);
    }
    let own_zone = Some(&spec.zone).filter(|it| !it.is_empty());
    let kept = Kept {
        rule_id: id.as_uuid(),
        version: rule_lock(tx, id).await?.unwrap_or(1),
        position: spec.position,
        display_name: spec.display_name.clone(),
        condition: spec.condition.clone(),
        zone: own_zone
            .map(String::as_str)
            .or(zone.iana_name())
            .unwrap_or("UTC")
            .to_owned(),
        priority: spec.actions.effects.priority.map(|it| it.name().to_owned()),
        tags: spec.actions.effects.tags.clone(),
        team_id: team.as_uuid(),
        agent_ids: sorted(whom.agents.iter().copied().map(AgentId::as_uuid)),
        team_ids: sorted(
            whom.teams
                .iter()
                .chain([&team])
                .copied()
                .map(TeamId::as_uuid),
        ),
    };
    if solmu_restrict::put(tx, &kept).await? {
        return Ok(());
    }
    Err(ApiError::FailedPrecondition {
        reason: "TOO_MANY_RULES",
        message: format!(
            "at most {MAX_RULES} enabled rules restrict tickets: each new ticket is asked all of them"
        ),
    })
}

fn sorted(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Service {
    /// Which of the last `limit` tickets the rule would have restricted that no other rule in force would.
    pub(super) async fn restriction_try(
        &self,
        spec: &RuleSpec,
        condition: Checked,
        replaces: Option<RuleId>,
        limit: i64,
    ) -> Result<proto::DryRunRuleResponse, ApiError> {
        let read = self.db.tx("routing.dry_run_restriction", |tx| {
            Box::pin(async move {
                let rules = solmu_restrict::all(tx).await?;
                Ok::<_, RoundError>((rules, tickets_latest(tx, limit).await?))
            })
        });
        let (mut others, tickets) = read.await.map_err(|error| match error {
            RoundError::Db(error) => error.into(),
            other => ApiError::internal(other),
        })?;
        others.retain(|rule| replaces.is_none_or(|id| rule.id != id.as_uuid()));
        let team = spec.actions.team.map(|team| team.to_string());
        let wants = needs_text(&condition) || others.iter().any(|it| needs_text(&it.condition));
        let texts = if wants {
            self.words_of(&tickets).await?
        } else {
            HashMap::new()
        };
        let rule = [Restricting {
            id: replaces.map_or_else(Uuid::nil, RuleId::as_uuid),
            version: 0,
            name: spec.display_name.clone(),
            condition,
            zone: spec.time_zone().unwrap_or_else(|| self.zone.clone()),
            priority: None,
            tags: Vec::new(),
            team: spec.actions.team.map(TeamId::as_uuid).unwrap_or_default(),
            agents: Vec::new(),
            teams: Vec::new(),
        }];
        let nothing = Text::new("", "", "");
        let changes = tickets
            .iter()
            .filter(|_| spec.enabled)
            .filter_map(|ticket| {
                let text = texts.get(&ticket.id).unwrap_or(&nothing);
                let question = question(ticket, text);
                let new = solmu_restrict::first(&rule, &question).is_some()
                    && solmu_restrict::first(&others, &question).is_none();
                new.then(|| proto::DryRunChange {
                    ticket_id: ticket.id.to_string(),
                    ticket_number: ticket.facts.number,
                    team_id: ticket
                        .route
                        .as_ref()
                        .map(|route| route.team)
                        .or(ticket.facts.team)
                        .map(|team| team.to_string())
                        .unwrap_or_default(),
                    new_team_id: team.clone().unwrap_or_default(),
                    differs: vec!["restricted".to_owned()],
                    ..proto::DryRunChange::default()
                })
            });
        Ok(proto::DryRunRuleResponse {
            tickets: i32::try_from(tickets.len()).unwrap_or(i32::MAX),
            changes: changes.collect(),
            warnings: Vec::new(),
        })
    }

    async fn words_of(&self, tickets: &[Ticket]) -> Result<HashMap<TicketId, Text>, ApiError> {
        let ids: Vec<TicketId> = tickets.iter().map(|it| it.id).collect();
        let mut texts = HashMap::new();
        for chunk in ids.chunks(TEXTS_AT_ONCE) {
            let found = self.texts.fetch(chunk).await;
            let found = found.map_err(|_| ApiError::FailedPrecondition {
                reason: "TEXTS_NOT_AVAILABLE",
                message: "the rules look at words, and the ticket service does not give them now"
                    .to_owned(),
            })?;
            let read = |it: RoutingText| {
                let text = Text::new(&it.subject, &it.text, &it.sender);
                Some((it.ticket_id.parse().ok()?, text))
            };
            texts.extend(found.into_iter().filter_map(read));
        }
        Ok(texts)
    }
}

fn question<'a>(ticket: &'a Ticket, text: &'a Text) -> Question<'a> {
    let facts = &ticket.facts;
    Question {
        channel: &facts.channel,
        account: &facts.account,
        recipient: &facts.recipient,
        language: &facts.language,
        tags: &facts.tags,
        category: &facts.category,
        organizations: &facts.organizations,
        fields: &facts.fields,
        priority: facts.priority,
        contact: facts.contact.map(ContactId::as_uuid).unwrap_or_default(),
        created: facts.created,
        text,
    }
}
