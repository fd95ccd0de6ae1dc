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
    model::{Ticket, small},
};

/// Who writes what nobody wrote.
pub const AUTHOR: &str = "tickets";

/// A message as it is stored.
#[derive(Debug, Clone)]
pub struct NewMessage<'a> {
    /// Its id.
    pub id: Uuid,
    /// The channel that it is on.
    pub channel: Channel,
    /// The account of the connector that it goes or came by.
    pub account: &'a str,
    /// Who wrote it.
    pub author: Actor,
    /// What they are called.
    pub author_name: &'a str,
    /// Who wrote it, where it came by mail; empty otherwise.
    pub author_address: &'a str,
    /// Where it goes to; empty for one that goes nowhere.
    pub address: &'a str,
    /// Whether the requester sees it.
    pub public: bool,
    /// What it is about; empty for one that says nothing of its own.
    pub subject: &'a str,
    /// What it says.
    pub text: &'a str,
    /// The same as safe HTML; empty if there is none.
    pub html: &'a str,
    /// JSON.
    pub attachments: String,
    /// What its reader is told.
    pub notices: &'a [String],
    /// How automatic it is.
    pub class: AutomaticClass,
    /// Whether its author is certain.
    pub verified: bool,
    /// How far it got on its way out.
    pub state: DeliveryState,
    /// The same one on the same ticket is the same message.
    pub request_id: Option<&'a str>,
    /// The conversation with an expert that it is of.
    pub side_conversation: Option<Uuid>,
    /// Quoted tail and signature, in characters.
    pub offsets: (Option<u32>, Option<u32>),
    /// When it was sent, where its sender says so.
    pub sent_at: Option<Timestamp>,
}

impl<'a> NewMessage<'a> {
    /// An internal note on `ticket`.
    pub fn note(id: Uuid, ticket: &'a Ticket, author: Actor, text: &'a str) -> Self {
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
    pub fn facts(&self, ticket: &Ticket, now: Timestamp) -> MessageFacts {
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
    pub async fn insert(
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

/// Notices as one text: a statement takes them apart.
pub fn notices_column<'a>(notices: impl IntoIterator<Item = &'a String>) -> String {
    let all: Vec<&str> = notices.into_iter().map(String::as_str).collect();
    all.join("\u{1f}")
}
