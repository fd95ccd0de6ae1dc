//! What an expert answers: an internal note, whatever it says and whoever sent it.

use std::collections::{HashMap, HashSet};

use solmu_domain::ticket::Status;
use solmu_proto::{ticket::v1 as proto, types::v1::Channel, types::v1::actor::Kind};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    agent_mail::proven_address,
    attachments::attachments_to_json,
    error::TicketError,
    events::actor,
    file::{Author, Work, notice},
    model::{self, Ticket, status_to_proto},
    row::NewMessage,
};

/// A conversation with one expert.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub(crate) id: Uuid,
    pub(crate) ticket_id: Uuid,
    /// Whom the agent asked.
    pub(crate) address: String,
}

/// The conversations among `ids`.
pub(crate) async fn load(
    tx: &mut PgConnection,
    ids: &HashSet<Uuid>,
) -> Result<HashMap<Uuid, Side>, TicketError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, Uuid, String)> = sqlx::query_as(
        "SELECT id, ticket_id, address FROM tickets.side_conversation WHERE id = ANY($1)",
    )
    .bind(ids.iter().copied().collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let sides = rows.into_iter().map(|(id, ticket_id, address)| {
        let side = Side {
            id,
            ticket_id,
            address,
        };
        (id, side)
    });
    Ok(sides.collect())
}

/// Adds it to `ticket`. A person's answer ends the waiting for a third party; nothing reopens a ticket that is over.
pub(crate) async fn file(
    work: &mut Work<'_, '_>,
    tx: &mut PgConnection,
    side: &Side,
    ticket: &mut Ticket,
    id: Uuid,
) -> Result<(), TicketError> {
    let (message, now) = (work.message, work.now);
    let author = Author::of(message);
    let mut notices = Vec::new();
    if author.failed() {
        notices.push(notice::FAILED.to_owned());
    }
    if author.address != side.address {
        notices.push(notice::OTHER_EXPERT.to_owned());
    }
    notices.extend(message.notices.iter().cloned());
    let human = work.class().is_human();
    let status_before = ticket.status;
    if human && status_before == Status::WaitingOnThirdParty {
        ticket.status = status_before.move_to(Status::Open)?;
    }
    ticket.message_count += 1;
    ticket.touch(now, ticket.status != status_before);
    let name = message.sender.as_ref();
    let note = NewMessage {
        channel: Channel::Email,
        account: &message.account,
        author_name: name.map_or("", |sender| sender.display_name.as_str()),
        author_address: &author.address,
        subject: &message.subject,
        html: &message.html,
        attachments: attachments_to_json(&message.attachments),
        notices: &notices,
        class: message.automatic_class(),
        verified: proven_address(message).is_some(),
        side_conversation: Some(side.id),
        offsets: (message.quote_offset, message.signature_offset),
        sent_at: work.sent_at(),
        ..NewMessage::note(id, ticket, actor(Kind::Expert, side.id), &message.text)
    };
    note.insert(tx, ticket, now).await?;
    let body = proto::TicketMessageAdded {
        ticket: Some(ticket.state()),
        message: Some(note.facts(ticket, now).to_proto()),
        previous_status: status_to_proto(status_before).into(),
        ..proto::TicketMessageAdded::default()
    };
    work.events.add(&body, work.trace.clone());
    drop(note);
    model::update(tx, &[ticket]).await?;
    work.keep(tx, id, "expert").await
}
