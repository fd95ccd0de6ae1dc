//! What a split moves: one message, or the conversation that joined with it.
//!
//! A conversation that joined a ticket from another channel because of its matter leaves it whole: what its writer wrote
//! there, what they were answered there, and the way by which the next message would come.

use solmu_proto::types::v1::{Channel, actor::Kind};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{MAX_TOLD, split::Part};
use crate::{
    error::TicketError,
    keys::folded,
    model::{Ticket, small},
    recipient::answer_channel,
    ways::{self, ACCEPTED, JOINED, SPLIT, Way},
};

/// A way by which mail or a conversation finds its ticket: channel, account, key.
type Key = (i16, String, String);

/// Messages that leave a ticket, in order.
pub(super) struct Moving {
    messages: Vec<Uuid>,
    /// The conversation that they are, if they are one.
    way: Option<Way>,
}

impl Moving {
    /// What leaves `old`, which is locked, with `message`.
    pub(super) async fn of(
        tx: &mut PgConnection,
        old: &Ticket,
        part: &Part,
        message: Uuid,
    ) -> Result<Self, TicketError> {
        let ways = ways::of(tx, old.id, false).await?;
        // Mail on a ticket of mail is no conversation apart: its writer has others there from the same address.
        let apart = |way: &Way| !(is_mail(way.channel) && old.channel == Channel::Email);
        let way = ways.into_iter().find(|way| {
            let one = (way.channel, &way.account, &way.address);
            one == (part.channel, &part.account, &part.address)
                && way.contact_id.to_string() == part.author_id
                && apart(way)
        });
        let messages = match &way {
            Some(way) => all_of(tx, old, way).await?,
            None => vec![message],
        };
        Ok(Self { messages, way })
    }

    pub(super) fn count(&self) -> i64 {
        i64::try_from(self.messages.len()).unwrap_or(i64::MAX)
    }

    /// The first one, which opens the new ticket.
    pub(super) fn first(&self) -> Uuid {
        self.messages.first().copied().unwrap_or_default()
    }

    /// As an event names them.
    pub(super) fn told(&self) -> Vec<String> {
        let told = self.messages.iter().take(MAX_TOLD);
        told.map(Uuid::to_string).collect()
    }

    /// The address of ours that the new ticket's messages came to.
    pub(super) fn recipient(&self, old: &Ticket) -> String {
        let way = self.way.as_ref();
        way.map_or_else(|| old.recipient.clone(), |way| way.recipient.clone())
    }

    /// The conversation that the new ticket goes on with.
    pub(super) fn conversation_key(&self, old: &Ticket) -> String {
        let way = self.way.as_ref();
        way.map_or_else(
            || old.conversation_key.clone(),
            |way| way.conversation_key.clone(),
        )
    }

    /// Moves the messages, and what leads to them.
    pub(super) async fn write(
        &self,
        tx: &mut PgConnection,
        new: &Ticket,
        old: &Ticket,
    ) -> Result<(), TicketError> {
        let mut keys: Vec<Key> = sqlx::query_as(
            "UPDATE tickets.message AS message SET ticket_id = $2, sequence = moving.place
             FROM unnest($1::uuid[]) WITH ORDINALITY AS moving (id, place) WHERE message.id = moving.id
             RETURNING message.channel, message.account, coalesce(nullif(message_id_header, ''), external_id)",
        )
        .bind(&self.messages)
        .bind(new.id)
        .fetch_all(&mut *tx)
        .await?;
        keys.retain(|(channel, ..)| is_mail(*channel));
        if let Some(way) = &self.way {
            keys.push((
                way.channel,
                way.account.clone(),
                way.conversation_key.clone(),
            ));
        }
        self.forget(tx).await?;
        keys.retain(|(.., key)| !key.is_empty());
        lead(tx, &keys, new, old).await
    }

    /// The conversation, or the one message that joined, is no part of the old ticket any more.
    async fn forget(&self, tx: &mut PgConnection) -> Result<(), TicketError> {
        let way = self.way.as_ref();
        sqlx::query(
            "UPDATE tickets.matter SET state = $2 WHERE message_id = ANY($1) AND state = ANY($3)
                AND ($7::uuid IS NULL OR (channel = $4 AND account = $5 AND address = $6 AND contact_id = $7))",
        )
        .bind(&self.messages)
        .bind(SPLIT)
        .bind([JOINED, ACCEPTED])
        .bind(way.map(|way| way.channel))
        .bind(way.map(|way| way.account.as_str()))
        .bind(way.map(|way| way.address.as_str()))
        .bind(way.map(|way| way.contact_id))
        .execute(tx)
        .await?;
        Ok(())
    }
}

fn is_mail(channel: i16) -> bool {
    i32::from(channel) == i32::from(Channel::Email)
}

/// Everything public of a conversation that is on `old`: of its writer, and what they were answered on their channel.
async fn all_of(tx: &mut PgConnection, old: &Ticket, way: &Way) -> Result<Vec<Uuid>, TicketError> {
    let channel = Channel::try_from(i32::from(way.channel)).unwrap_or(old.channel);
    let messages = sqlx::query_scalar(
        "WITH names AS (
            SELECT $5::text AS name UNION
            SELECT raw FROM tickets.identity WHERE contact_id = $7::uuid AND value = $5)
         SELECT id FROM tickets.message WHERE ticket_id = $1 AND public AND (
            (author_kind = $2 AND channel = $3 AND account = $4 AND address = $5 AND author_id = $7::uuid::text)
            OR (author_kind <> $2 AND channel = $6 AND address IN (SELECT name FROM names)))
         ORDER BY sequence",
    )
    .bind(old.id)
    .bind(small(Kind::Customer.into()))
    .bind(way.channel)
    .bind(&way.account)
    .bind(&way.address)
    .bind(small(answer_channel(channel).into()))
    .bind(way.contact_id)
    .fetch_all(tx)
    .await?;
    Ok(messages)
}

/// Lets keys lead to the new ticket: only those that lead to the old one, for another mail may have the same id.
async fn lead(
    tx: &mut PgConnection,
    keys: &[Key],
    new: &Ticket,
    old: &Ticket,
) -> Result<(), TicketError> {
    for statement in [
        "WITH RECURSIVE family AS (
            SELECT $5::uuid AS id UNION
            SELECT source.id FROM tickets.ticket AS source JOIN family ON source.merged_into = family.id
         )
         UPDATE tickets.thread_key AS thread SET ticket_id = $4, named_by = ''
         FROM unnest($1::smallint[], $2::text[], $3::text[]) AS wanted (channel, account, key)
         WHERE thread.channel = wanted.channel AND thread.account = wanted.account AND thread.key = wanted.key
            AND thread.ticket_id IN (SELECT id FROM family)",
        "WITH RECURSIVE family AS (
            SELECT $5::uuid AS id UNION
            SELECT source.id FROM tickets.ticket AS source JOIN family ON source.merged_into = family.id
         )
         UPDATE tickets.thread_claim AS thread SET ticket_id = $4
         FROM unnest($1::smallint[], $2::text[], $3::text[]) AS wanted (channel, account, key)
         WHERE thread.channel = wanted.channel AND thread.account = wanted.account AND thread.key = wanted.key
            AND thread.ticket_id IN (SELECT id FROM family)",
    ] {
        sqlx::query(statement)
            .bind(keys.iter().map(|it| it.0).collect::<Vec<_>>())
            .bind(keys.iter().map(|it| it.1.as_str()).collect::<Vec<_>>())
            .bind(keys.iter().map(|it| folded(&it.2)).collect::<Vec<_>>())
            .bind(new.id)
            .bind(old.id)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}
