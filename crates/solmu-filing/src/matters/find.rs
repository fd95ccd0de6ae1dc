//! Finds the open ticket that a message is about.
//!
//! What is compared is bounded: the newest open tickets of the message's contact, and of each the newest texts of the
//! customer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use solmu_contacts::{
    filing::{Identities, IdentityKey, keys_of},
    requesters,
};
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_matter::{Ground, Likeness, Writing};
use solmu_proto::{
    inbound::v1::{ContentKind, MessageReceived},
    types::v1::{AutomaticClass, actor::Kind},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Finding;
use crate::{
    config::MatterPolicy,
    context::Context,
    error::TicketError,
    file::{Author, sender_of, visible},
    model::{class_from_proto, small},
};

/// Messages of a ticket that are compared, the newest ones.
const TEXTS: i64 = 10;
/// Characters of each.
const TEXT: i32 = 4_000;
/// Messages of a ticket whose writers are looked at: of a longer ticket it is not certain who wrote on it.
const WRITERS: i64 = 300;

/// Whether a message may be about a ticket that it does not answer.
pub(super) fn counts(message: &MessageReceived) -> bool {
    let says = !matches!(
        message.content_kind(),
        ContentKind::Edit | ContentKind::Reaction | ContentKind::Deletion
    );
    says && class_from_proto(message.automatic_class()).opens_ticket()
        && !Author::of(message).failed()
}

/// An open ticket of a contact.
struct Candidate {
    /// The contact of the message.
    known_id: Uuid,
    id: Uuid,
    number: i64,
    subject: String,
    fields: serde_json::Value,
    channels: i32,
    created_at: SqlTimestamp,
    restricted: bool,
}
solmu_db::from_row!(Candidate {
    known_id,
    id,
    number,
    subject,
    fields,
    channels,
    created_at,
    restricted
});

/// A message, whom it is known to be from, and what it says.
struct Written<'a> {
    message: &'a MessageReceived,
    contacts: BTreeSet<Uuid>,
    writing: Writing,
}

impl Written<'_> {
    /// Whether what stands on the ticket tells if the message is about it: only what is on another channel is compared
    /// by its words.
    fn compares(&self, ticket: &Candidate) -> bool {
        self.contacts.contains(&ticket.known_id)
            && (self.writing.names_reference() || ticket.is_elsewhere(self.message))
    }
}

impl Candidate {
    /// Whether a message on another channel than this one is on the ticket.
    const fn is_elsewhere(&self, message: &MessageReceived) -> bool {
        self.channels & !(1 << message.channel) != 0
    }
}

/// A likeness with the ticket that it is with.
struct Match<'c> {
    ticket: &'c Candidate,
    likeness: Likeness,
    policy: MatterPolicy,
}

/// What the messages are about, by their ids.
pub(crate) async fn find<'a>(
    tx: &mut PgConnection,
    context: &Context,
    messages: impl Iterator<Item = &'a MessageReceived>,
    identities: &Identities,
    now: Timestamp,
) -> Result<HashMap<String, Finding>, TicketError> {
    let mut found = HashMap::new();
    if context.config.matter.is_off() {
        return Ok(found);
    }
    let known = |key: &IdentityKey| identities.known.get(key).map(|it| it.contact_id);
    let mut written: Vec<Written<'_>> = messages
        .filter(|message| counts(message))
        .map(|message| {
            let sender = sender_of(message);
            Written {
                message,
                contacts: keys_of(&sender).filter_map(|key| known(&key)).collect(),
                writing: Writing::default(),
            }
        })
        .collect();
    let contacts: BTreeSet<Uuid> = written
        .iter()
        .flat_map(|it| &it.contacts)
        .copied()
        .collect();
    let candidates = candidates(tx, context, &contacts, now).await?;
    if candidates.is_empty() {
        return Ok(found);
    }
    for it in &mut written {
        if candidates
            .iter()
            .any(|ticket| it.contacts.contains(&ticket.known_id))
        {
            it.writing = writing_of(context, it.message);
        }
    }
    let texts = texts(tx, context, &candidates, &written).await?;
    for it in &written {
        let message = it.message;
        let mut matches = matches(context, it, &candidates, &texts);
        // The surest first; of two alike the newer ticket.
        matches.sort_by_key(|it| {
            let surest = (it.likeness.ground, it.likeness.score);
            std::cmp::Reverse((surest, it.ticket.created_at.to_jiff(), it.ticket.number))
        });
        let ids: BTreeSet<Uuid> = matches.iter().map(|it| it.ticket.id).collect();
        let proven = proven(tx, message, &ids, now).await?;
        let join = matches
            .iter()
            .find(|it| it.policy == MatterPolicy::Join && proven.contains(&it.ticket.id));
        if let Some(best) = join.or(matches.first()) {
            found.insert(
                message.message_id.clone(),
                Finding {
                    ticket: best.ticket.id,
                    likeness: best.likeness.clone(),
                    proven: proven.contains(&best.ticket.id),
                    joins: join.is_some(),
                    restricted: best.ticket.restricted,
                },
            );
        }
    }
    Ok(found)
}

/// The open tickets of contacts; public, so that a test can look at its plan.
pub const CANDIDATES: &str =
    "SELECT wanted.id AS known_id, ticket.id, ticket.number, ticket.subject, ticket.fields,
        ticket.channels, ticket.created_at, ticket.restricted_to IS NOT NULL AS restricted
     FROM unnest($1::uuid[]) AS wanted (id)
     JOIN tickets.contact AS named ON named.id = wanted.id
     JOIN tickets.contact AS person ON person.id = coalesce(named.root_id, named.id)
        OR person.root_id = coalesce(named.root_id, named.id)
     CROSS JOIN LATERAL (
        SELECT * FROM tickets.ticket WHERE contact_id = person.id AND merged_into IS NULL
            AND status NOT IN ('resolved', 'closed') AND updated_at >= $2
        ORDER BY created_at DESC LIMIT $3) AS ticket";

/// The newest open tickets of everybody who is the same person as one of `contacts`.
async fn candidates(
    tx: &mut PgConnection,
    context: &Context,
    contacts: &BTreeSet<Uuid>,
    now: Timestamp,
) -> Result<Vec<Candidate>, TicketError> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let settings = &context.config.matter;
    let window = SignedDuration::from_hours(24 * i64::from(settings.window_days));
    let since = now.saturating_sub(window).unwrap_or(Timestamp::MIN);
    let found = sqlx::query_as(CANDIDATES)
        .bind(contacts.iter().copied().collect::<Vec<_>>())
        .bind(since.to_sqlx())
        .bind(i64::from(settings.max_tickets))
        .fetch_all(tx)
        .await?;
    Ok(found)
}

/// Reads what customers wrote on those candidates that it matters of.
async fn texts(
    tx: &mut PgConnection,
    context: &Context,
    candidates: &[Candidate],
    written: &[Written<'_>],
) -> Result<HashMap<Uuid, Writing>, TicketError> {
    /// Texts, and fields by name.
    type Words = (Vec<String>, Vec<(String, String)>);
    let compared = |ticket: &&Candidate| written.iter().any(|it| it.compares(ticket));
    let candidates: Vec<&Candidate> = candidates.iter().filter(compared).collect();
    let ids: BTreeSet<Uuid> = candidates.iter().map(|it| it.id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, String, String, Option<serde_json::Value>)> = sqlx::query_as(
        "SELECT message.ticket_id, message.subject, left(message.body_text,
                least(message.quote_offset, message.signature_offset, $3)), message.fields
         FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
            SELECT * FROM tickets.message WHERE ticket_id = wanted.id AND author_kind = $4 AND public
            ORDER BY sequence DESC LIMIT $2) AS message",
    )
    .bind(ids.into_iter().collect::<Vec<_>>())
    .bind(TEXTS)
    .bind(TEXT)
    .bind(small(Kind::Customer.into()))
    .fetch_all(tx)
    .await?;
    let mut all: HashMap<Uuid, Words> = HashMap::new();
    for candidate in candidates {
        let (texts, fields) = all.entry(candidate.id).or_default();
        if texts.is_empty() {
            texts.push(candidate.subject.clone());
            fields.extend(values(Some(&candidate.fields)));
        }
    }
    for (ticket, subject, text, given) in rows {
        let (texts, fields) = all.entry(ticket).or_default();
        texts.extend([subject, text]);
        fields.extend(values(given.as_ref()));
    }
    let read = all.into_iter().map(|(ticket, (texts, fields))| {
        let writing = context.matters.read_ticket(
            texts.iter().map(String::as_str),
            pairs(&fields),
            written.iter().map(|it| &it.writing),
        );
        (ticket, writing)
    });
    Ok(read.collect())
}

/// Reads a message: what its writer wrote anew, and its fields.
pub(super) fn writing_of(context: &Context, message: &MessageReceived) -> Writing {
    let given = serde_json::from_str(&message.fields_json).ok();
    let written = [message.subject.clone(), visible(message)];
    let fields = values(given.as_ref());
    context
        .matters
        .read(written.iter().map(String::as_str), pairs(&fields))
}

fn pairs(fields: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Fields with their values: each a value, or a list of them.
fn values(fields: Option<&serde_json::Value>) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let all = fields.and_then(|it| it.as_object()).into_iter().flatten();
    let flat = all.flat_map(|(name, value)| {
        let list = value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice);
        let texts: Vec<_> = list.iter().filter_map(text).collect();
        texts.into_iter().map(move |text| (name.clone(), text))
    });
    flat.collect()
}

/// The tickets that a message is about, with what may be done.
fn matches<'c>(
    context: &Context,
    written: &Written<'_>,
    candidates: &'c [Candidate],
    texts: &HashMap<Uuid, Writing>,
) -> Vec<Match<'c>> {
    let settings = &context.config.matter;
    let human = class_from_proto(written.message.automatic_class()).is_human();
    let unread = Writing::default();
    let mut found: Vec<Match<'c>> = Vec::new();
    for ticket in candidates
        .iter()
        .filter(|it| written.contacts.contains(&it.known_id))
    {
        let theirs = texts.get(&ticket.id).unwrap_or(&unread);
        let (reader, ours) = (&context.matters, &written.writing);
        let elsewhere = ticket.is_elsewhere(written.message);
        let named = reader.names(ours, theirs, ticket.number);
        let Some(likeness) = named.or_else(|| {
            let words = elsewhere.then(|| reader.resembles(ours, theirs));
            words.flatten()
        }) else {
            continue;
        };
        let policy = match likeness.ground {
            // Who names the number means that ticket, on whatever channel.
            Ground::Number => settings.reference,
            Ground::Reference if elsewhere => settings.reference,
            Ground::Reference if human => settings.on_same_channel(),
            Ground::Words if human && elsewhere => settings.words,
            Ground::Reference | Ground::Words => MatterPolicy::Off,
        };
        let policy = if human {
            policy
        } else {
            policy.min(MatterPolicy::Propose)
        };
        let seen = found.iter().any(|it| it.ticket.id == ticket.id);
        if policy != MatterPolicy::Off && !seen {
            found.push(Match {
                ticket,
                likeness,
                policy,
            });
        }
    }
    found
}

/// Those of `tickets` that the writer of `message` wrote, and proved it on both sides: everybody who is that person for
/// agents and wrote on the ticket must be the requester who writes now.
async fn proven(
    tx: &mut PgConnection,
    message: &MessageReceived,
    tickets: &BTreeSet<Uuid>,
    now: Timestamp,
) -> Result<BTreeSet<Uuid>, TicketError> {
    if tickets.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows: Vec<(Uuid, Option<Uuid>, SqlTimestamp, i64)> = sqlx::query_as(
        "SELECT ticket.id, message.sighting_id, max(message.created_at), count(*)
         FROM tickets.ticket JOIN tickets.contact AS requester ON requester.id = ticket.contact_id
         CROSS JOIN LATERAL (
            SELECT * FROM tickets.message WHERE ticket_id = ticket.id AND author_kind = $2 AND public
                AND automatic_class <= $4 ORDER BY sequence DESC LIMIT $3) AS message
         JOIN tickets.contact AS author
            ON author.id = CASE WHEN message.author_kind = $2 THEN message.author_id::uuid END
         WHERE ticket.id = ANY($1)
            AND coalesce(author.root_id, author.id) = coalesce(requester.root_id, requester.id)
         GROUP BY ticket.id, message.sighting_id",
    )
    .bind(tickets.iter().copied().collect::<Vec<_>>())
    .bind(small(Kind::Customer.into()))
    .bind(WRITERS)
    .bind(small(AutomaticClass::Human.into()))
    .fetch_all(&mut *tx)
    .await?;
    let mut others: BTreeMap<Uuid, Timestamp> = BTreeMap::new();
    for (_, sighting, at, _) in &rows {
        if let Some(sighting) = sighting {
            let last = others.entry(*sighting).or_insert_with(|| at.to_jiff());
            *last = (*last).max(at.to_jiff());
        }
    }
    let same = requesters::same(tx, &sender_of(message), &others, now).await?;
    let mut wrote: BTreeMap<Uuid, (bool, i64)> = BTreeMap::new();
    for (ticket, sighting, _, count) in rows {
        let all = wrote.entry(ticket).or_insert((true, 0));
        all.0 &= sighting.is_some_and(|it| same.contains(&it));
        all.1 += count;
    }
    let sure = wrote
        .into_iter()
        .filter(|(_, (all, count))| *all && *count < WRITERS);
    Ok(sure.map(|(ticket, _)| ticket).collect())
}
