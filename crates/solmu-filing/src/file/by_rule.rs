//! Asks the rules that restrict tickets about what a batch brings: tickets that it opens, and more words on those that are
//! there.

use solmu_restrict::{Restricting, Text};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Plan,
    words::visible,
    work::{Effect, Filed},
};
use crate::{
    error::TicketError,
    events::EventSink,
    restrict::{by_rule::ask, later},
};

/// Restricts what rules say. Before the batch is written: the restrictions of what it opens are written with that
/// ([`super::follow_up`]), those of other tickets here. `events` tells of the latter.
pub(crate) async fn ask_rules(
    tx: &mut PgConnection,
    plan: &mut Plan<'_>,
    events: &mut EventSink<'_>,
) -> Result<(), TicketError> {
    if plan.opened.is_empty() && plan.filed.is_empty() {
        return Ok(());
    }
    let rules = solmu_restrict::all(tx).await?;
    if rules.is_empty() {
        return Ok(());
    }
    for id in plan.opened.clone() {
        opened(&rules, plan, id);
    }
    joined(tx, &rules, plan, events).await
}

/// A ticket that the batch opens: by its first message, or by the words of one that came with it.
fn opened(rules: &[Restricting], plan: &mut Plan<'_>, id: Uuid) {
    let on_it = plan.filed.iter().filter(|filed| filed.ticket.id == id);
    let mut texts: Vec<Text> = on_it.map(words).collect();
    if texts.is_empty() {
        // An agent opens it by mail: what is written on it comes after.
        texts.push(Text::new("", "", ""));
    }
    let Some(ticket) = plan.ticket_mut(id) else {
        return;
    };
    let Some(done) = texts.iter().find_map(|text| ask(rules, ticket, text)) else {
        return;
    };
    let ticket = ticket.clone();
    for filed in plan.filed.iter_mut().filter(|filed| filed.ticket.id == id) {
        filed.ticket.team_id = ticket.team_id;
        filed.ticket.priority = ticket.priority;
        filed.ticket.tags.clone_from(&ticket.tags);
        filed.ticket.restricted_to.clone_from(&ticket.restricted_to);
    }
    plan.restricted.insert(id, done);
}

/// Tickets that were there, on which customers wrote more.
async fn joined(
    tx: &mut PgConnection,
    rules: &[Restricting],
    plan: &mut Plan<'_>,
    events: &mut EventSink<'_>,
) -> Result<(), TicketError> {
    let added = plan
        .filed
        .iter()
        .filter(|filed| !plan.opened.contains(&filed.ticket.id));
    let asked: Vec<(Uuid, Text)> = added.map(|filed| (filed.ticket.id, words(filed))).collect();
    for (id, text) in asked {
        let id = head(plan, id);
        if plan.opened.contains(&id) {
            continue;
        }
        let now = plan.now;
        let held = plan.loaded.threads.tickets.values_mut().collect();
        let changed = later::ask(tx, rules, (id, &text), held, events, now).await?;
        for id in changed {
            let names = plan.ticket(id).and_then(|it| it.restricted_to.clone());
            for filed in plan.filed.iter_mut().filter(|filed| filed.ticket.id == id) {
                filed.ticket.restricted_to.clone_from(&names);
            }
            plan.changed.insert(id);
        }
    }
    Ok(())
}

/// What a ticket has become part of, also by this batch.
fn head(plan: &Plan<'_>, mut id: Uuid) -> Uuid {
    while let Some(target) = plan.ticket(id).and_then(|ticket| ticket.merged_into) {
        id = target;
    }
    id
}

/// What a message says: the first one of a ticket whole, of a later one what is new in it.
fn words(filed: &Filed<'_>) -> Text {
    let (message, address) = (filed.message, &filed.author.address);
    match filed.effect {
        Effect::Opened { .. } => Text::new(&message.subject, &message.text, address),
        Effect::Joined { .. } => Text::new(&message.subject, &visible(message), address),
    }
}
