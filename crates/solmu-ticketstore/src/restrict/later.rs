//! Asks the rules that restrict tickets again once a ticket is there: when its customer writes more, and when its category,
//! tags, custom fields or organisations change.
//!
//! All happens in the transaction of what was written or changed, so there is no time in between in which others see it. A
//! rule only ever restricts: what is restricted stays as it is, and what somebody ended no rule puts back. As when people
//! restrict, sub-tickets and what became part of the ticket go with it, and an owner who may not see it loses it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_proto::types::v1::{Actor, actor::Kind};
use solmu_restrict::{Restricting, Text};
use solmu_runtime::access::Restriction;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    apply,
    by_rule::question,
    store,
    taken::{self, Taken},
};
use crate::{
    change::tell_also,
    error::TicketError,
    events::{EventSink, actor, change},
    looked::Looked,
    model::{self, Ticket, small},
};

/// The change that tells with which other ticket one was restricted.
pub const RESTRICTED_WITH: &str = "restricted_with";
/// Who restricts when a rule says so.
const ACTOR: &str = "tickets";
/// Messages of the customer whose words are looked at after a change of the ticket: the newest ones.
const MAX_MESSAGES: i64 = 100;
/// Characters that are looked at of each.
const MAX_TEXT: i32 = 10_000;

/// Asks the rules about a locked ticket that changed from `before`, with the words that its customer has written so far.
/// `held` are the locked tickets that the caller writes; returns which of them were changed here.
pub async fn changed(
    tx: &mut PgConnection,
    looked: &mut Looked,
    before: &Ticket,
    held: Vec<&mut Ticket>,
    events: &mut EventSink<'_>,
    now: Timestamp,
) -> Result<Vec<Uuid>, TicketError> {
    let Some(ticket) = held.iter().find(|it| it.id == before.id) else {
        return Ok(Vec::new());
    };
    if ticket.restricted_to.is_some() || !may_matter(before, ticket) {
        return Ok(Vec::new());
    }
    let rules = looked.restricting(tx).await?;
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let text = words(tx, ticket).await?;
    ask(tx, &rules, (before.id, &text), held, events, now).await
}

/// Whether something changed that rules look at.
fn may_matter(before: &Ticket, after: &Ticket) -> bool {
    before.category != after.category
        || before.tags != after.tags
        || before.fields != after.fields
        || before.organization_ids != after.organization_ids
}

/// What the customer has written: the first message whole, as when the ticket was opened; of later ones what is new in them.
async fn words(tx: &mut PgConnection, ticket: &Ticket) -> Result<Text, TicketError> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT subject, left(body_text, least($3, CASE WHEN sequence > 1 THEN least(quote_offset, signature_offset) END)),
            CASE WHEN author_kind = $2 THEN address ELSE '' END
         FROM tickets.message WHERE ticket_id = $1 AND ((author_kind = $2 AND public) OR sequence = 1)
         ORDER BY sequence DESC LIMIT $4",
    )
    .bind(ticket.id)
    .bind(small(Kind::Customer.into()))
    .bind(MAX_TEXT)
    .bind(MAX_MESSAGES)
    .fetch_all(tx)
    .await?;
    let sender = rows.last().map_or("", |(.., address)| address.as_str());
    let written = rows
        .iter()
        .map(|(subject, text, _)| format!("{subject}\n{text}"));
    let written: Vec<String> = written.collect();
    Ok(Text::new(&ticket.subject, &written.join("\n"), sender))
}

/// Restricts the locked ticket `id` of `held`, and what goes with it, by the first of `rules` that holds. Returns which of
/// `held` were changed: the caller writes these, the others are written.
pub async fn ask(
    tx: &mut PgConnection,
    rules: &[Restricting],
    (id, text): (Uuid, &Text),
    mut held: Vec<&mut Ticket>,
    events: &mut EventSink<'_>,
    now: Timestamp,
) -> Result<Vec<Uuid>, TicketError> {
    let ticket = held.iter().find(|it| it.id == id);
    let Some(ticket) = ticket.filter(|it| it.restricted_to.is_none()) else {
        return Ok(Vec::new());
    };
    let organizations = ticket.organization_texts();
    let Some(rule) = solmu_restrict::first(rules, &question(ticket, &organizations, text)) else {
        return Ok(Vec::new());
    };
    if was_lifted(tx, id).await? {
        return Ok(Vec::new());
    }
    let known: BTreeSet<Uuid> = held.iter().map(|it| it.id).collect();
    let (kin, mut others) = family(tx, id, &known).await?;
    let by = Hand::new(rule, id);
    let mut changed = Vec::new();
    let mut restricted = Vec::new();
    let mut together = Vec::new();
    for ticket in held.iter_mut().map(|it| &mut **it).chain(&mut others) {
        // What names others already keeps its own names.
        if !kin.contains(&ticket.id) || ticket.restricted_to.is_some() {
            continue;
        }
        let before = ticket.clone();
        by.restrict(tx, ticket, events, now).await?;
        together.push(Taken::of(&before, ticket));
        restricted.push(ticket.id);
        if known.contains(&ticket.id) {
            changed.push(ticket.id);
        }
    }
    store(tx, &restricted, Some(&by.restriction)).await?;
    taken::note(tx, id, &together).await?;
    let others: Vec<&Ticket> = others
        .iter()
        .filter(|it| restricted.contains(&it.id))
        .collect();
    model::update(tx, &others).await?;
    Ok(changed)
}

/// Locks what goes with a ticket and is not in `known`: sub-tickets, and what became part of any of them. Looked for again
/// until nothing is found: what is locked gets no more.
async fn family(
    tx: &mut PgConnection,
    id: Uuid,
    known: &BTreeSet<Uuid>,
) -> Result<(BTreeSet<Uuid>, Vec<Ticket>), TicketError> {
    let (mut kin, mut locked) = (BTreeSet::new(), Vec::new());
    loop {
        let found: Vec<Uuid> = sqlx::query_scalar(
            "WITH RECURSIVE kin AS (
                SELECT $1::uuid AS id
                UNION SELECT other.id FROM kin
                    JOIN tickets.ticket AS other ON other.merged_into = kin.id OR other.parent_id = kin.id)
             SELECT id FROM kin",
        )
        .bind(id)
        .fetch_all(&mut *tx)
        .await?;
        let fresh: Vec<Uuid> = found.into_iter().filter(|it| kin.insert(*it)).collect();
        if fresh.is_empty() {
            return Ok((kin, locked));
        }
        let free: Vec<Uuid> = fresh.into_iter().filter(|it| !known.contains(it)).collect();
        locked.extend(model::lock(tx, &free).await?);
    }
}

/// A rule that restricts tickets.
struct Hand<'a> {
    rule: &'a Restricting,
    restriction: Restriction,
    by: Actor,
    /// The ticket that it holds for.
    meant: Uuid,
}

impl<'a> Hand<'a> {
    fn new(rule: &'a Restricting, meant: Uuid) -> Self {
        Self {
            rule,
            restriction: Restriction::new(rule.agents.clone(), rule.teams.clone()),
            by: actor(Kind::Service, ACTOR),
            meant,
        }
    }

    /// Restricts a ticket in memory and tells of it. The one that the rule holds for gets its tags and priority, too.
    async fn restrict(
        &self,
        tx: &mut PgConnection,
        ticket: &mut Ticket,
        events: &mut EventSink<'_>,
        now: Timestamp,
    ) -> Result<(), TicketError> {
        let (before, rule) = (ticket.clone(), self.rule);
        let admitted = self.restriction.admits(ticket.assignee_id, ticket.team_id);
        apply(tx, ticket, Some(&self.restriction)).await?;
        if !admitted {
            (ticket.team_id, ticket.assignee_id) = (Some(rule.team), None);
        }
        let (name, version) = (&rule.name, rule.version);
        let reason = format!("rule '{name}' (version {version}) restricts it");
        // Which ticket brought it along stands in a field and not in the reason: not everybody who reads this sees that.
        let along = (ticket.id != self.meant).then(|| change(RESTRICTED_WITH, &"", &self.meant));
        if along.is_none() {
            ticket.priority = ticket
                .priority
                .max(rule.priority.unwrap_or(ticket.priority));
            let tags = rule.tags.iter();
            let new: Vec<String> = tags
                .filter(|tag| !ticket.tags.contains(tag))
                .cloned()
                .collect();
            ticket.tags.extend(new);
        }
        tell_also(&before, ticket, &self.by, (&reason, along), now, events);
        Ok(())
    }
}

/// Notes that somebody ended the restriction of `tickets`: no rule restricts them again.
pub(super) async fn lift(
    tx: &mut PgConnection,
    tickets: &[Uuid],
    by: &str,
    now: Timestamp,
) -> Result<(), TicketError> {
    sqlx::query(
        "INSERT INTO tickets.lifted_restriction (ticket_id, lifted_by, lifted_at)
         SELECT id, $2, $3 FROM unnest($1::uuid[]) AS new (id)
         ON CONFLICT (ticket_id) DO UPDATE SET lifted_by = excluded.lifted_by, lifted_at = excluded.lifted_at",
    )
    .bind(tickets)
    .bind(by)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

async fn was_lifted(tx: &mut PgConnection, ticket: Uuid) -> Result<bool, TicketError> {
    let lifted = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tickets.lifted_restriction WHERE ticket_id = $1)",
    )
    .bind(ticket)
    .fetch_one(tx)
    .await?;
    Ok(lifted)
}
