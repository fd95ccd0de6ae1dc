//! Opens tickets for requesters who wrote nothing: what the service catalogue does.
//!
//! The first message is a note of whoever orders, so nothing is sent by opening one. Answers go to the requester's
//! address; the connector takes its default account, as for a form.

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_domain::ids::new_uuid;
use solmu_proto::{
    ticket::v1 as proto,
    types::v1::{Actor, Channel},
};
use solmu_runtime::ApiError;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    api::update,
    catalogue::{BY_CATALOGUE, address_of},
    context::Context,
    edit,
    error::TicketError,
    events::EventSink,
    fields::of_contacts,
    looked::Looked,
    model::{self, Ticket, small},
    restrict::by_rule,
    row::NewMessage,
};

/// For whom tickets are opened.
#[derive(Debug, Clone)]
pub struct Requester {
    /// The contact who stands for the person.
    pub contact: Uuid,
    /// What they are called.
    pub name: String,
    /// The language that they write, as a BCP 47 tag, or empty.
    pub language: String,
    /// Where an answer goes, normalised; empty if they have no e-mail address.
    address: String,
    organizations: Vec<Uuid>,
}

/// A ticket to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its number, of `Hands::next_number`.
    pub number: i64,
    /// What it is about; checked as in `UpdateTicket`.
    pub subject: &'a str,
    /// The note that is its first message.
    pub text: &'a str,
    /// Values of the paths of `mask`, as in `UpdateTicket`.
    pub wanted: &'a proto::Ticket,
    /// Paths of `UpdateTicket`, without `subject` and `parent_id`.
    pub mask: &'a [String],
    /// The ticket that it is a part of: opened in the same transaction.
    pub parent: Option<Uuid>,
    /// Who orders.
    pub by: &'a Actor,
}

/// The contact who stands for `contact`; NOT_FOUND if there is none.
pub(super) async fn requester(tx: &mut PgConnection, contact: Uuid) -> Result<Requester, ApiError> {
    let found: Option<(Uuid, String, String, bool)> = sqlx::query_as(
        "SELECT root.id, root.display_name, root.language, root.erased_at IS NOT NULL OR root.blocked_at IS NOT NULL
         FROM tickets.contact AS named JOIN tickets.contact AS root ON root.id = coalesce(named.root_id, named.id)
         WHERE named.id = $1 FOR SHARE OF root",
    )
    .bind(contact)
    .fetch_optional(&mut *tx)
    .await
    .map_err(TicketError::from)?;
    let (root, name, language, shut) =
        found.ok_or_else(|| ApiError::not_found("contact", &contact))?;
    if shut {
        return Err(ApiError::FailedPrecondition {
            reason: "CONTACT_CLOSED",
            message: "the contact is blocked or erased: nothing is opened for them".to_owned(),
        });
    }
    let address = address_of(tx, root).await?;
    let organizations = of_contacts(tx, &[root]).await?.remove(&root);
    Ok(Requester {
        contact: root,
        name,
        language,
        address,
        organizations: organizations.unwrap_or_default(),
    })
}

/// Opens the ticket with its first message.
pub(super) async fn open(
    tx: &mut PgConnection,
    context: &Context,
    requester: &Requester,
    opening: Opening<'_>,
) -> Result<(), ApiError> {
    let now = context.clock.now();
    let (mut edit, _) = update::edit_of(opening.wanted, opening.mask)?;
    edit.subject = Some(opening.subject.to_owned());
    let mut ticket = Ticket {
        number: opening.number,
        contact_id: requester.contact,
        conversation_key: format!("{BY_CATALOGUE}{}", opening.id),
        language: requester.language.clone(),
        organization_ids: requester.organizations.clone(),
        message_count: 1,
        touched: true,
        parent_id: opening.parent,
        ..Ticket::blank(opening.id, Channel::Email, now)
    };
    ticket.add_channel(Channel::Email);
    insert(tx, &ticket, now).await?;
    let looked = &mut Looked::default();
    edit::set(tx, context, looked, &mut ticket, &edit, now).await?;
    if ticket.assignee_id.is_some() || ticket.team_id.is_some() {
        "ordered from the catalogue".clone_into(&mut ticket.assign_reason);
    }
    let words = (opening.subject, opening.text);
    let done = by_rule::opened_by_hand(tx, &mut ticket, opening.parent, words).await?;
    model::update(tx, &[&ticket]).await?;
    if !requester.address.is_empty() {
        sqlx::query("INSERT INTO tickets.participant (ticket_id, address) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(ticket.id)
            .bind(&requester.address)
            .execute(&mut *tx)
            .await
            .map_err(TicketError::from)?;
    }
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    let note = NewMessage {
        subject: &ticket.subject,
        ..NewMessage::note(id, &ticket, opening.by.clone(), opening.text)
    };
    note.insert(tx, &ticket, now).await?;
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let opened = proto::TicketOpened {
        ticket: Some(ticket.state()),
        message: Some(note.facts(&ticket, now).to_proto()),
        restricted_by: done.map(|it| it.told),
        ..proto::TicketOpened::default()
    };
    events.add(&opened, TraceContext::current());
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    Ok(())
}

/// Adds the row; what can be edited is written by [`model::update`].
async fn insert(tx: &mut PgConnection, ticket: &Ticket, now: Timestamp) -> Result<(), TicketError> {
    sqlx::query(
        "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, language, created_at, updated_at, message_count, channels, touched, organization_ids,
            first_trace)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15, $16, $17)",
    )
    .bind(ticket.id)
    .bind(ticket.number)
    .bind(&ticket.subject)
    .bind(ticket.status.name())
    .bind(ticket.priority.name())
    .bind(ticket.contact_id)
    .bind(small(ticket.channel.into()))
    .bind(&ticket.account)
    .bind(&ticket.recipient)
    .bind(&ticket.conversation_key)
    .bind(&ticket.language)
    .bind(now.to_sqlx())
    .bind(ticket.message_count)
    .bind(ticket.channels)
    .bind(ticket.touched)
    .bind(&ticket.organization_ids)
    .bind(TraceContext::current().to_store())
    .execute(tx)
    .await?;
    Ok(())
}
