//! A ticket that an agent opens by mail for a customer.
//!
//! The requester is the customer. Where the agent wrote to them, that mail is the first message and is not sent again.
//! Where the agent forwards what they wrote, their text is the first message, as far as the agent's mail tells it, and
//! the agent's mail itself stands beside it as a note, whole.

use solmu_contacts::filing::NewContact;
use solmu_domain::{ids::new_uuid, ticket::Status};
use solmu_proto::{
    inbound::v1::{MessageReceived, Sender, Threading},
    ticket::v1 as proto,
    types::v1::{
        Assurance, AutomaticClass, Channel, DeliveryState, Identity, IdentityKind, Mailbox,
        actor::Kind,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    author::sender_of,
    divert::Work,
    load,
    plan::{Plan, new_ticket},
    thread::own_key,
    words::{display_name, notice},
    write,
};
use crate::{
    agent_mail::{
        Agent,
        start::{Forwarded, Start},
    },
    attachments::attachments_to_json,
    error::TicketError,
    events::actor,
    model::{self, status_to_proto},
    restrict,
    row::NewMessage,
};

/// Files the mail; returns the ticket.
pub(super) async fn file(
    work: &mut Work<'_, '_>,
    tx: &mut PgConnection,
    agent: &Agent,
    start: &Start,
    id: Uuid,
) -> Result<Uuid, TicketError> {
    match start {
        Start::Written(customer) => written(work, tx, agent, customer, id).await,
        Start::Forwarded(forwarded) => told(work, tx, agent, forwarded, id).await,
    }
}

/// The agent's word is all that says who the customer is.
fn customer_of(mailbox: &Mailbox) -> Sender {
    Sender {
        display_name: mailbox.name.clone(),
        identities: vec![Identity {
            kind: IdentityKind::Email.into(),
            value: mailbox.address.clone(),
            raw: mailbox.address.clone(),
            assurance: Assurance::Claimed.into(),
            attested_by: "agent".to_owned(),
            ..Identity::default()
        }],
    }
}

/// The agent wrote to the customer, with us in the copy.
async fn written(
    work: &mut Work<'_, '_>,
    tx: &mut PgConnection,
    agent: &Agent,
    customer: &Mailbox,
    id: Uuid,
) -> Result<Uuid, TicketError> {
    let (context, now) = (work.context, work.now);
    let message = MessageReceived {
        sender: Some(customer_of(customer)),
        authenticity: None,
        threading: work.message.threading.as_ref().map(|own| Threading {
            message_id_header: own.message_id_header.clone(),
            ..Threading::default()
        }),
        conversation_key: String::new(),
        ..work.message.clone()
    };
    let loaded = load::load(tx, std::iter::once(&message), context, now).await?;
    let mut plan = Plan::new(loaded, context, now);
    let ticket_id = plan.begin(&message);
    if let Some(key) = own_key(&message)
        && !plan.loaded.threads.keys.contains_key(&key)
    {
        plan.keys.push((key, ticket_id));
    }
    plan.participants
        .insert((ticket_id, customer.address.clone()));
    write::write(tx, &mut plan, work.events).await?;
    let restricted_by = plan.restricted_by(ticket_id);
    let ticket = plan
        .ticket_mut(ticket_id)
        .ok_or(TicketError::BadEvent("ticket"))?;
    ticket.status = Status::WaitingOnCustomer;
    if restrict::may_have(tx, ticket, agent.id).await? {
        ticket.assignee_id = Some(agent.id);
        "opened by the agent's mail".clone_into(&mut ticket.assign_reason);
    }
    ticket.touched = true;
    ticket.message_count = 1;
    ticket.add_channel(Channel::Email);
    let stored = NewMessage {
        public: true,
        address: &customer.address,
        ..agents_message(work, agent, id)
    };
    stored.insert(tx, ticket, now).await?;
    let opened = proto::TicketOpened {
        ticket: Some(ticket.state()),
        message: Some(stored.facts(ticket, now).to_proto()),
        restricted_by,
        ..proto::TicketOpened::default()
    };
    work.events.add(&opened, work.trace.clone());
    model::update(tx, &[ticket]).await?;
    work.keep(tx, id, "opened").await?;
    Ok(ticket_id)
}

/// The agent forwards what the customer wrote.
async fn told(
    work: &mut Work<'_, '_>,
    tx: &mut PgConnection,
    agent: &Agent,
    forwarded: &Forwarded,
    id: Uuid,
) -> Result<Uuid, TicketError> {
    let (context, now) = (work.context, work.now);
    let own = Uuid::new_v5(&id, b"forwarded");
    let message = MessageReceived {
        message_id: own.to_string(),
        external_id: String::new(),
        conversation_key: String::new(),
        sender: Some(customer_of(&forwarded.from)),
        subject: forwarded.subject.clone(),
        text: forwarded.text.clone(),
        html: String::new(),
        sent_time: None,
        authenticity: None,
        automatic_class: AutomaticClass::Human.into(),
        threading: None,
        raw: None,
        to: Vec::new(),
        cc: Vec::new(),
        quote_offset: None,
        signature_offset: None,
        attached_mail: None,
        notices: vec![notice::FORWARDED.to_owned()],
        ..work.message.clone()
    };
    let loaded = load::load(tx, std::iter::once(&message), context, now).await?;
    let mut plan = Plan::new(loaded, context, now);
    // By an agent's wish: whatever the sender is, and without an automatic answer.
    plan.released = true;
    plan.file(&message, work.trace.clone())?;
    write::write(tx, &mut plan, work.events).await?;
    let opened = plan.opened.first().copied();
    let ticket_id = opened.ok_or(TicketError::BadEvent("forwarded"))?;
    let ticket = plan
        .ticket_mut(ticket_id)
        .ok_or(TicketError::BadEvent("ticket"))?;
    ticket.message_count += 1;
    ticket.touch(now, false);
    let note = agents_message(work, agent, id);
    note.insert(tx, ticket, now).await?;
    let added = proto::TicketMessageAdded {
        ticket: Some(ticket.state()),
        message: Some(note.facts(ticket, now).to_proto()),
        previous_status: status_to_proto(ticket.status).into(),
        ..proto::TicketMessageAdded::default()
    };
    work.events.add(&added, work.trace.clone());
    model::update(tx, &[ticket]).await?;
    work.keep(tx, id, "opened").await?;
    Ok(ticket_id)
}

/// The mail as the agent sent it, on their ticket.
fn agents_message<'a>(work: &Work<'a, '_>, agent: &'a Agent, id: Uuid) -> NewMessage<'a> {
    let message = work.message;
    NewMessage {
        id,
        channel: Channel::Email,
        account: &message.account,
        author: actor(Kind::Agent, agent.id),
        author_name: &agent.name,
        author_address: &agent.address,
        address: "",
        public: false,
        subject: &message.subject,
        text: &message.text,
        html: &message.html,
        attachments: attachments_to_json(&message.attachments),
        notices: &message.notices,
        class: AutomaticClass::Human,
        verified: true,
        state: DeliveryState::Unspecified,
        request_id: None,
        side_conversation: None,
        offsets: (message.quote_offset, message.signature_offset),
        sent_at: work.sent_at(),
    }
}

impl Plan<'_> {
    /// A new ticket of a customer who has not written on it.
    fn begin(&mut self, message: &MessageReceived) -> Uuid {
        let fresh = || new_uuid(self.context.clock.as_ref(), self.context.rng.as_ref());
        let (id, contact) = (fresh(), fresh());
        let sender = sender_of(message);
        let resolved = self.loaded.identities.resolve(&sender, contact);
        if resolved.is_new {
            self.contacts.push(NewContact {
                id: resolved.contact_id,
                name: display_name(&sender),
                language: message.language.clone(),
            });
        }
        self.identities.extend(resolved.writes);
        let mut ticket = new_ticket(id, message, self.now);
        ticket.contact_id = resolved.contact_id;
        ticket.recipient = message.delivered_to.first().cloned().unwrap_or_default();
        ticket.language.clone_from(&message.language);
        self.loaded.threads.tickets.insert(id, ticket);
        self.opened.push(id);
        id
    }
}
