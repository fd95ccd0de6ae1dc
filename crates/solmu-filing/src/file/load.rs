//! Reads and locks everything that a batch may touch, in a few statements.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use prost::Message as _;
use solmu_contacts::filing::{self, Identities};
use solmu_db::SqlTimestamp;
use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    author::sender_of,
    budget::Budgets,
    load_threads::load_threads,
    repeat::{Names, Stamp},
    thread::Threads,
    words::{notice, sender_address},
    work::Incoming,
};
use crate::{
    agent_mail::{self, Agent},
    attachments::attachments_from_json,
    blocks,
    context::Context,
    error::TicketError,
    matters::{self, Finding},
    model::class_from_proto,
};

/// What the database has of a batch.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) identities: Identities,
    pub(crate) threads: Threads,
    /// Messages that are filed or quarantined already, with what makes them what they are.
    pub(crate) filed: HashMap<Uuid, Option<Stamp>>,
    pub(crate) budgets: Budgets,
    /// Senders of this batch that are blocked.
    pub(crate) blocked: HashSet<String>,
    /// Senders of this batch whose address is an agent's.
    pub(crate) agents: HashMap<String, Agent>,
    /// What messages are about, by their ids.
    pub(crate) matters: HashMap<String, Finding>,
}

impl Loaded {
    /// What readers are told of a mail from an agent's address that is filed as anybody's.
    pub(super) fn no_agent(&self, incoming: &Incoming<'_>) -> Option<String> {
        let proven = agent_mail::proven_address(incoming.message).is_some();
        let claimed = self.agents.contains_key(&incoming.author.address);
        (claimed && !proven).then(|| notice::NO_AGENT.to_owned())
    }
}

pub(crate) async fn load<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived> + Clone,
    context: &Context,
    now: Timestamp,
) -> Result<Loaded, TicketError> {
    let config = &context.config;
    let filed = load_filed(tx, messages.clone()).await?;
    let keys = messages
        .clone()
        .flat_map(|message| filing::keys_of(&sender_of(message)).collect::<Vec<_>>());
    let identities = filing::load(tx, keys).await?;
    let matters = matters::find(tx, context, messages.clone(), &identities, now).await?;
    let joined = matters.values().filter(|it| it.joins).map(|it| it.ticket);
    let threads = load_threads(tx, messages.clone(), joined.collect(), config).await?;
    let blocked = blocks::among(tx, &messages.clone().map(sender_address).collect()).await?;
    let mails = messages.filter(|message| message.channel() == Channel::Email);
    let addresses: HashSet<String> = mails.clone().map(sender_address).collect();
    let agents = agent_mail::among(tx, &addresses).await?;
    let spenders = mails
        .filter(|mail| {
            config.acknowledgement.enabled || !class_from_proto(mail.automatic_class()).is_human()
        })
        .map(sender_address)
        .collect();
    let budgets = Budgets::load(tx, &spenders, threads.tickets.keys().copied()).await?;
    Ok(Loaded {
        identities,
        threads,
        filed,
        budgets,
        blocked,
        agents,
        matters,
    })
}

struct FiledRow {
    id: Uuid,
    address: String,
    subject: String,
    text: String,
    sent_at: Option<SqlTimestamp>,
    attachments: serde_json::Value,
    raw: String,
}
solmu_db::from_row!(FiledRow {
    id,
    address,
    subject,
    text,
    sent_at,
    attachments,
    raw
});

/// Which of the messages are filed or wait already. A mail may be there under the id of a repeated Message-ID, too.
pub(super) async fn load_filed<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived>,
) -> Result<HashMap<Uuid, Option<Stamp>>, TicketError> {
    let ids: Vec<Uuid> = messages
        .filter_map(|message| Some((message, Uuid::parse_str(&message.message_id).ok()?)))
        .flat_map(|(message, id)| {
            let other = Names::other(message, id).map(|names| names.id);
            std::iter::once(id).chain(other)
        })
        .collect();
    let rows: Vec<FiledRow> = sqlx::query_as(
        "SELECT id, coalesce(nullif(author_address, ''), address) AS address, subject, encode(sha256(convert_to(body_text, 'UTF8')), 'hex') AS text, sent_at, attachments,
            coalesce(raw.sha256, '') AS raw
         FROM tickets.message LEFT JOIN tickets.raw_original AS raw ON raw.message_id = message.id WHERE id = ANY($1)",
    )
    .bind(&ids)
    .fetch_all(&mut *tx)
    .await?;
    let mut filed: HashMap<Uuid, Option<Stamp>> = rows
        .into_iter()
        .map(|row| {
            let attachments = attachments_from_json(&row.attachments);
            let stamp = Stamp {
                sender: row.address,
                subject: row.subject,
                text: row.text,
                sent: row.sent_at.map(|at| at.to_jiff().as_microsecond()),
                attachments: attachments.into_iter().map(|it| it.sha256).collect(),
                raw: row.raw,
            };
            (row.id, Some(stamp))
        })
        .collect();
    let waiting: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT message_id, message FROM tickets.quarantine WHERE message_id = ANY($1) AND released_at IS NULL",
    )
    .bind(&ids)
    .fetch_all(tx)
    .await?;
    for (id, bytes) in waiting {
        let message = MessageReceived::decode(bytes.as_slice()).ok();
        filed.insert(id, message.as_ref().and_then(Stamp::of));
    }
    Ok(filed)
}

/// Keys as three arrays for `unnest`.
pub(super) fn columns(
    keys: HashSet<(i16, String, String)>,
) -> (Vec<i16>, Vec<String>, Vec<String>) {
    let mut columns = (
        Vec::with_capacity(keys.len()),
        Vec::with_capacity(keys.len()),
        Vec::with_capacity(keys.len()),
    );
    for (first, second, third) in keys {
        columns.0.push(first);
        columns.1.push(second);
        columns.2.push(third);
    }
    columns
}
