//! What an event says for the log.

use jiff::Timestamp;
use prost::Message as _;
use solmu_bus::{EventBody, ReceivedEvent, envelope::to_proto_time};
use solmu_db::outbox::OutboxEvent;
use solmu_proto::{
    ticket::v1::{self as proto, Activity, ActivityChange, TicketState, activity::Kind},
    types::v1::{Actor, DeliveryState, TicketStatus, actor},
};
use uuid::Uuid;

use crate::model::status_from_proto;

/// Fields whose values are ids, states or words of the desk's own lists. Of all others, only the name is kept: a subject
/// or a field of the desk's own making may hold a person's data.
const KEPT: [&str; 25] = [
    "status",
    "state",
    "substatus",
    "same_matter",
    "priority",
    "tags",
    "category",
    "team_id",
    "assignee_id",
    "breached",
    "merged_into",
    "parent_id",
    "restricted",
    "restricted_with",
    "public_link",
    "followers",
    "snooze",
    "snooze_until",
    "next_due_time",
    "organization_ids",
    "links",
    "tasks",
    "delivery_state",
    "language",
    "time_entries",
];

/// An entry that has no place yet.
pub(super) struct Note {
    pub(super) ticket: Uuid,
    /// Without sequence and digest.
    pub(super) entry: Activity,
    pub(super) reason: String,
}

/// The entry that an event makes, if it tells of a change of a ticket.
pub(super) fn of(row: &OutboxEvent, now: Timestamp) -> Option<Note> {
    let event = solmu_proto::bus::v1::Event::decode(row.event.as_slice()).ok()?;
    let event = ReceivedEvent::from_proto(event).ok()?;
    let told = match event.event_type.as_str() {
        proto::TicketOpened::TYPE => opened(event.decode().ok()?),
        proto::TicketMessageAdded::TYPE => message_added(event.decode().ok()?),
        proto::TicketChanged::TYPE => changed(event.decode().ok()?),
        proto::TicketAssigned::TYPE => assigned(event.decode().ok()?),
        proto::DeliveryUpdated::TYPE => delivered(event.decode().ok()?),
        proto::TicketMerged::TYPE => merged(event.decode().ok()?),
        proto::TicketUnmerged::TYPE => unmerged(event.decode().ok()?),
        proto::MessageSplit::TYPE => split(event.decode().ok()?),
        _ => return None,
    };
    let ticket = Uuid::parse_str(&told.ticket?.ticket_id).ok()?;
    let entry = Activity {
        ticket_id: ticket.to_string(),
        create_time: Some(to_proto_time(now)),
        ..told.entry
    };
    Some(Note {
        ticket,
        entry,
        reason: told.reason,
    })
}

#[derive(Default)]
struct Told {
    ticket: Option<TicketState>,
    entry: Activity,
    reason: String,
}

fn entry(kind: Kind, actor: Option<Actor>) -> Activity {
    Activity {
        kind: kind.into(),
        actor,
        ..Activity::default()
    }
}

fn change(field: &str, from: &str, to: &str) -> ActivityChange {
    let kept = KEPT.contains(&field);
    let value = |text: &str| if kept { text.to_owned() } else { String::new() };
    ActivityChange {
        field: field.to_owned(),
        from: value(from),
        to: value(to),
        withheld: !kept,
    }
}

/// The name under which a status is known everywhere else; empty for none.
fn status(status: TicketStatus) -> String {
    status_from_proto(status).map_or_else(String::new, |status| status.name().to_owned())
}

/// Why a message is thought to be about a ticket.
fn grounds(same: &proto::SameMatter, what: &str) -> String {
    let proof = if same.proven {
        "proven requester"
    } else {
        "requester not proven"
    };
    format!(
        "{what}: same {}, {} of 100, {proof}",
        same.ground, same.score
    )
}

fn opened(body: proto::TicketOpened) -> Told {
    let message = body.message.unwrap_or_default();
    let state = body.ticket.unwrap_or_default();
    let same = body.same_matter;
    let reason = same.as_ref().map(|it| grounds(it, "perhaps one matter"));
    let proposed = same.map(|it| change("same_matter", "", &it.ticket_id));
    let stands = change("status", "", &status(state.status()));
    let rule = body.restricted_by;
    let hidden = rule.iter().flat_map(|it| {
        let names = change("restricted", "", &it.names.join(","));
        [names, change("team_id", "", &state.team_id)]
    });
    let why = rule.as_ref().map(|it| {
        let (name, version) = (&it.rule_name, it.rule_version);
        format!("rule '{name}' (version {version}) restricts it")
    });
    let reasons: Vec<String> = why.into_iter().chain(reason).collect();
    let changes = std::iter::once(stands).chain(hidden).chain(proposed);
    let entry = Activity {
        changes: changes.collect(),
        message_id: message.message_id,
        other_ticket_id: body.previous_ticket_id,
        ..entry(Kind::Opened, message.author)
    };
    Told {
        ticket: Some(state),
        entry,
        reason: reasons.join("; "),
    }
}

fn message_added(body: proto::TicketMessageAdded) -> Told {
    let before = status(body.previous_status());
    let message = body.message.unwrap_or_default();
    let state = body.ticket.unwrap_or_default();
    let after = status(state.status());
    let moved = (before != after).then(|| change("status", &before, &after));
    let joined = body.same_matter.map(|it| grounds(&it, "one matter"));
    let entry = Activity {
        changes: moved.into_iter().collect(),
        message_id: message.message_id,
        ..entry(Kind::MessageAdded, message.author)
    };
    Told {
        ticket: Some(state),
        entry,
        reason: joined.unwrap_or(message.reason),
    }
}

fn changed(body: proto::TicketChanged) -> Told {
    let changes = body.changes.iter();
    let entry = Activity {
        changes: changes
            .map(|it| change(&it.field, &it.from, &it.to))
            .collect(),
        ..entry(Kind::Changed, body.actor)
    };
    Told {
        ticket: body.ticket,
        entry,
        reason: body.reason,
    }
}

fn assigned(body: proto::TicketAssigned) -> Told {
    let state = body.ticket.unwrap_or_default();
    let (agent, team) = (&body.previous_assignee_id, &body.previous_team_id);
    let mut changes = Vec::new();
    if *agent != state.assignee_id {
        changes.push(change("assignee_id", agent, &state.assignee_id));
    }
    if *team != state.team_id {
        changes.push(change("team_id", team, &state.team_id));
    }
    let entry = Activity {
        changes,
        decision_id: body.decision_id,
        ..entry(Kind::Assigned, body.actor)
    };
    Told {
        ticket: Some(state),
        entry,
        reason: body.reason,
    }
}

fn delivered(body: proto::DeliveryUpdated) -> Told {
    let state = body.state();
    let name = state.as_str_name().trim_start_matches("DELIVERY_STATE_");
    let name = if state == DeliveryState::Unspecified {
        String::new()
    } else {
        name.to_lowercase()
    };
    let connector = Actor {
        kind: actor::Kind::Service.into(),
        id: "connector".to_owned(),
    };
    let entry = Activity {
        changes: vec![change("delivery_state", "", &name)],
        message_id: body.message_id,
        ..entry(Kind::Delivery, Some(connector))
    };
    Told {
        ticket: body.ticket,
        entry,
        ..Told::default()
    }
}

fn merged(body: proto::TicketMerged) -> Told {
    let entry = Activity {
        other_ticket_id: body.source_ticket_id,
        ..entry(Kind::Merged, body.actor)
    };
    Told {
        ticket: body.ticket,
        entry,
        reason: body.reason,
    }
}

fn unmerged(body: proto::TicketUnmerged) -> Told {
    let entry = Activity {
        other_ticket_id: body.source_ticket_id,
        ..entry(Kind::Unmerged, body.actor)
    };
    Told {
        ticket: body.ticket,
        entry,
        reason: body.reason,
    }
}

fn split(body: proto::MessageSplit) -> Told {
    let entry = Activity {
        message_id: body.message_id,
        other_ticket_id: body.new_ticket_id,
        ..entry(Kind::MessageSplit, body.actor)
    };
    Told {
        ticket: body.ticket,
        entry,
        reason: body.reason,
    }
}
