//! What happened to a ticket, in one line for people.

use std::collections::HashSet;

use solmu_bus::{EventBody as _, ReceivedEvent};
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{
    ApiError,
    access::{Caller, Visibility},
};
use uuid::Uuid;

use crate::{
    context::Context,
    sight::{self, LINKS, OTHER_TICKETS},
};

/// In place of a ticket that the reader does not see.
const HIDDEN: &str = "another ticket";

/// The line, without the names of tickets that the caller does not see.
pub(super) async fn of(
    context: &Context,
    event: &ReceivedEvent,
    caller: &Caller,
) -> Result<String, ApiError> {
    let mut line = line(event);
    if caller.visibility() == &Visibility::Everything {
        return Ok(line);
    }
    let others = others(event);
    if others.is_empty() {
        return Ok(line);
    }
    let ids: Vec<Uuid> = others.iter().map(|(id, _)| *id).collect();
    let seen: HashSet<Uuid> = sight::among(context.db.pool(), caller, &ids)
        .await?
        .into_iter()
        .collect();
    for (id, text) in others {
        if !seen.contains(&id) {
            line = line.replace(&text, HIDDEN);
        }
    }
    Ok(line)
}

/// Other tickets that the line names, and how.
fn others(event: &ReceivedEvent) -> Vec<(Uuid, String)> {
    let numbered = |id: &str, number: i64| {
        let id = Uuid::parse_str(id).ok();
        id.map(|id| (id, format!("#{number}")))
    };
    let one = match event.event_type.as_str() {
        proto::TicketChanged::TYPE => {
            let body = event.decode::<proto::TicketChanged>().unwrap_or_default();
            let changes = body.changes.iter();
            let changes = changes
                .filter(|it| it.field == LINKS || OTHER_TICKETS.contains(&it.field.as_str()));
            let texts = changes.flat_map(|it| [it.from.as_str(), it.to.as_str()]);
            let words = texts.flat_map(|text| text.split([' ', ',', ':', ';']));
            return words
                .filter_map(|word| Some((Uuid::parse_str(word).ok()?, word.to_owned())))
                .collect();
        }
        proto::TicketMerged::TYPE => event
            .decode::<proto::TicketMerged>()
            .ok()
            .and_then(|body| numbered(&body.source_ticket_id, body.source_ticket_number)),
        proto::TicketUnmerged::TYPE => event
            .decode::<proto::TicketUnmerged>()
            .ok()
            .and_then(|body| numbered(&body.source_ticket_id, body.source_ticket_number)),
        proto::MessageSplit::TYPE => event
            .decode::<proto::MessageSplit>()
            .ok()
            .and_then(|body| numbered(&body.new_ticket_id, body.new_ticket_number)),
        _ => None,
    };
    one.into_iter().collect()
}

/// All of it, whoever reads it.
fn line(event: &ReceivedEvent) -> String {
    let number =
        |state: &Option<proto::TicketState>| state.as_ref().map_or(0, |state| state.number);
    match event.event_type.as_str() {
        proto::TicketOpened::TYPE => event
            .decode::<proto::TicketOpened>()
            .map(|body| format!("#{} opened", number(&body.ticket)))
            .unwrap_or_default(),
        proto::TicketMessageAdded::TYPE => event
            .decode::<proto::TicketMessageAdded>()
            .map(|body| format!("#{} has a new message", number(&body.ticket)))
            .unwrap_or_default(),
        proto::TicketAssigned::TYPE => event
            .decode::<proto::TicketAssigned>()
            .map(|body| format!("#{} assigned: {}", number(&body.ticket), body.reason))
            .unwrap_or_default(),
        proto::TicketChanged::TYPE => event
            .decode::<proto::TicketChanged>()
            .map(|body| {
                let changes: Vec<String> = body
                    .changes
                    .iter()
                    .map(|it| format!("{} {} -> {}", it.field, it.from, it.to))
                    .collect();
                format!("#{} changed: {}", number(&body.ticket), changes.join(", "))
            })
            .unwrap_or_default(),
        proto::DeliveryUpdated::TYPE => event
            .decode::<proto::DeliveryUpdated>()
            .map(|body| {
                format!(
                    "#{} answer is {}",
                    number(&body.ticket),
                    body.state().as_str_name()
                )
            })
            .unwrap_or_default(),
        proto::TicketMerged::TYPE => event
            .decode::<proto::TicketMerged>()
            .map(|body| {
                let (source, target) = (body.source_ticket_number, number(&body.ticket));
                format!("#{source} became part of #{target}")
            })
            .unwrap_or_default(),
        proto::TicketUnmerged::TYPE => event
            .decode::<proto::TicketUnmerged>()
            .map(|body| {
                let (source, target) = (body.source_ticket_number, number(&body.ticket));
                format!("#{source} is no longer part of #{target}")
            })
            .unwrap_or_default(),
        proto::MessageSplit::TYPE => event
            .decode::<proto::MessageSplit>()
            .map(|body| {
                let (old, new) = (number(&body.ticket), body.new_ticket_number);
                format!("a message of #{old} is on #{new} now")
            })
            .unwrap_or_default(),
        proto::MessageQuarantined::TYPE => "a message waits in the quarantine".to_owned(),
        _ => String::new(),
    }
}
