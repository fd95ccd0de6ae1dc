//! Writes one message that no batch brings: an answer, a note, what an agent or an expert sent by mail.
//!
//! What customers send goes in batches and has statements of its own (`file/write.rs`).

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_proto::types::v1::{Actor, AutomaticClass, Channel, DeliveryState};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::TicketError,
    events::MessageFacts,
    file::notices_column,
    model::{Ticket, small},
};

/// A message as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage<'a> {
    pub(crate) id: Uuid,
    pub(crate) channel: Channel,
    pub(crate) account: &'a str,
    pub(crate) author: Actor,
    pub(crate) author_name: &'a str,
    /// Who wrote it, where it came by mail; empty otherwise.
    pub(crate) author_address: &'a str,
    /// Where it goes to; empty for one that goes nowhere.
    pub(crate) address: &'a str,
    pub(crate) public: bool,
    pub(crate) subject: &'a str,
    pub(crate) text: &'a str,
    pub(crate) html: &'a str,
    /// JSON.
    pub(crate) attachments: String,
    pub(crate) notices: &'a [String],
    pub(crate) class: AutomaticClass,
    pub(crate) verified: bool,
    pub(crate) state: DeliveryState,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) side_conversation: Option<Uuid>,
    /// Quoted tail and signature, in characters.
    pub(crate) offsets: (Option<u32>, Option<u32>),
    pub(crate) sent_at: Option<Timestamp>,
}

impl<'a> NewMessage<'a> {
    /// An internal note on `ticket`.
    pub(crate) fn note(id: Uuid, ticket: &'a Ticket, author: Actor, text: &'a str) -> Self {
        Self {
            id,
            channel: ticket.channel,
            account: &ticket.account,
            author,
            author_name: "",
            author_address: "",
            address: "",
            public: false,
            subject: "",
            text,
            html: "",
            attachments: "[]".to_owned(),
            notices: &[],
            class: AutomaticClass::Human,
            verified: true,
            state: DeliveryState::Unspecified,
            request_id: None,
            side_conversation: None,
            offsets: (None, None),
            sent_at: None,
        }
    }

    /// As events tell of it, right after it became the last message of `ticket`.
    pub(crate) fn facts(&self, ticket: &Ticket, now: Timestamp) -> MessageFacts {
        MessageFacts {
            message_id: self.id,
            author: self.author.clone(),
            public: self.public,
            class: self.class,
            at: now,
            sequence: ticket.message_count,
            channel: self.channel,
        }
    }

    /// Stores it as the last message of `ticket`, which has counted it already.
    pub(crate) async fn insert(
        &self,
        tx: &mut PgConnection,
        ticket: &Ticket,
        now: Timestamp,
    ) -> Result<(), TicketError> {
        let offset = |at: Option<u32>| at.and_then(|at| i32::try_from(at).ok());
        sqlx::query(
            "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, author_name,
                author_address, address, public, subject, body_text, body_html, attachments, notices, automatic_class,
                sender_verified, created_at, sent_at, delivery_state, request_id, side_conversation_id, quote_offset,
                signature_offset)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb,
                coalesce(string_to_array(nullif($16, ''), E'\\x1f'), '{}'), $17, $18, $19, $20, $21, $22, $23, $24, $25)",
        )
        .bind(self.id)
        .bind(ticket.id)
        .bind(ticket.message_count)
        .bind(small(self.channel.into()))
        .bind(self.account)
        .bind(small(self.author.kind))
        .bind(&self.author.id)
        .bind(self.author_name)
        .bind(self.author_address)
        .bind(self.address)
        .bind(self.public)
        .bind(self.subject)
        .bind(self.text)
        .bind(self.html)
        .bind(&self.attachments)
        .bind(notices_column(self.notices))
        .bind(small(self.class.into()))
        .bind(self.verified)
        .bind(now.to_sqlx())
        .bind(self.sent_at.map(solmu_db::ToSqlx::to_sqlx))
        .bind(small(self.state.into()))
        .bind(self.request_id)
        .bind(self.side_conversation)
        .bind(offset(self.offsets.0))
        .bind(offset(self.offsets.1))
        .execute(tx)
        .await?;
        Ok(())
    }
}
