//! Writes a made-up desk into an empty database.
//!
//! By `COPY` past the services, because filing millions of messages one by one would measure intake and not reading; in
//! one transaction, so that there is all of it or nothing; and with the indexes made at the end, as for any large load.
//! Messages go in by time and not by ticket: that is how they lie on the pages of a desk that grew.

use anyhow::Context as _;
use jiff::Timestamp;
use solmu_cli::parts::Output;
use sqlx::{Connection as _, PgConnection};

use super::{
    copy::{Copying, NULL},
    language::{self, Document, Language, Vocabulary},
    spans::Spans,
    world::{Size, Ticket, World},
};
use crate::random::Random;

/// The account of everything that is made up.
const ACCOUNT: &str = "bench-desk";
const RECIPIENT: &str = "support@bench.example";
/// Tables that are filled.
pub(super) const TABLES: [&str; 6] = [
    "ticket",
    "message",
    "search_document",
    "contact",
    "identity",
    "activity",
];
/// What the large indexes are made with.
const MEMORY: &str = "768MB";

/// The desk that is there, if one was loaded.
pub(super) async fn loaded(connection: &mut PgConnection) -> anyhow::Result<Option<World>> {
    let made: bool = sqlx::query_scalar("SELECT to_regclass('bench.desk') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !made {
        return Ok(None);
    }
    let (tickets, messages, seed, micros): (i64, i64, i64, i64) =
        sqlx::query_as("SELECT tickets, messages, seed, loaded_at FROM bench.desk")
            .fetch_one(connection)
            .await
            .context("'bench.desk' does not say what was loaded")?;
    let size = Size {
        tickets: usize::try_from(tickets)?,
        messages: usize::try_from(messages)?,
        seed: u64::try_from(seed)?,
    };
    let now = Timestamp::from_microsecond(micros)?;
    Ok(Some(World { size, now }))
}

/// Loads `world` into an empty database.
pub(super) async fn load(
    connection: &mut PgConnection,
    world: World,
    out: Output,
) -> anyhow::Result<()> {
    let mut tx = connection.begin().await?;
    // No foreign key is looked up and nothing is queued for the index: both are right by construction.
    sqlx::query("SELECT set_config('session_replication_role', 'replica', true), set_config('maintenance_work_mem', $1, true)")
        .bind(MEMORY)
        .execute(&mut *tx)
        .await
        .context("the database user has to be a superuser to load a desk")?;
    let indexes = drop_indexes(&mut tx).await?;
    let vocabulary = Vocabulary::new();
    out.progress("Loading contacts.");
    contacts(&mut tx, &world).await?;
    out.progress("Loading tickets.");
    let first = tickets(&mut tx, &world, &vocabulary).await?;
    let order = order(&world);
    out.progress(format!("Loading {} messages.", order.len()));
    messages(&mut tx, &world, &vocabulary, &order).await?;
    out.progress("Loading their words.");
    documents(&mut tx, &world, &vocabulary, &order, first).await?;
    for (number, index) in indexes.iter().enumerate() {
        out.progress(format!("Making index {} of {}.", number + 1, indexes.len()));
        sqlx::query(sqlx::AssertSqlSafe(index.clone()))
            .execute(&mut *tx)
            .await
            .with_context(|| format!("cannot make again: {index}"))?;
    }
    note(&mut tx, world, order.len()).await?;
    tx.commit().await?;
    Ok(())
}

/// Drops the indexes that are no constraints, and says how to make them again.
async fn drop_indexes(tx: &mut PgConnection) -> anyhow::Result<Vec<String>> {
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT index.indexrelid::regclass::text, pg_get_indexdef(index.indexrelid)
         FROM pg_index AS index JOIN pg_class AS relation ON relation.oid = index.indrelid
         WHERE relation.relnamespace = 'tickets'::regnamespace AND relation.relname = ANY($1) AND NOT index.indisunique
         ORDER BY 1",
    )
    .bind(TABLES.as_slice())
    .fetch_all(&mut *tx)
    .await?;
    for (name, _) in &found {
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP INDEX {name}")))
            .execute(&mut *tx)
            .await?;
    }
    Ok(found
        .into_iter()
        .map(|(_, definition)| definition)
        .collect())
}

/// Notes what was loaded, so that a later run can measure over it.
async fn note(tx: &mut PgConnection, world: World, messages: usize) -> anyhow::Result<()> {
    for statement in [
        "CREATE SCHEMA IF NOT EXISTS bench",
        "CREATE TABLE bench.desk (tickets bigint NOT NULL, messages bigint NOT NULL, loaded bigint NOT NULL,
            seed bigint NOT NULL, loaded_at bigint NOT NULL)",
    ] {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    sqlx::query("INSERT INTO bench.desk (tickets, messages, loaded, seed, loaded_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(i64::try_from(world.size.tickets)?)
        .bind(i64::try_from(world.size.messages)?)
        .bind(i64::try_from(messages)?)
        .bind(i64::try_from(world.size.seed)?)
        .bind(world.now.as_microsecond())
        .execute(tx)
        .await?;
    Ok(())
}

async fn contacts(tx: &mut PgConnection, world: &World) -> anyhow::Result<()> {
    let since = world.began().to_string();
    let mut rows = Copying::into(tx, "contact", "id, display_name, created_at").await?;
    for number in 0..world.contacts() {
        let contact = world.contact(number);
        rows.row(&[&contact.id.to_string(), &contact.name, &since])
            .await?;
    }
    rows.finish().await?;
    let columns = "kind, scope, value, raw, contact_id, assurance, attested_by, first_seen";
    let mut rows = Copying::into(tx, "identity", columns).await?;
    for number in 0..world.contacts() {
        let contact = world.contact(number);
        let (id, address) = (contact.id.to_string(), contact.address);
        rows.row(&["1", "", &address, &address, &id, "1", "bench", &since])
            .await?;
    }
    rows.finish().await?;
    Ok(())
}

/// The words of a ticket's subject.
fn subject(world: &World, number: usize) -> Vec<usize> {
    let mut random = world.words_of(number, 0);
    (0..5).map(|_| language::rank(&mut random)).collect()
}

fn sentence(vocabulary: &Vocabulary, language: Language, ranks: &[usize]) -> String {
    let mut text = String::with_capacity(ranks.len() * 10);
    for rank in ranks {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(vocabulary.word(language, *rank));
    }
    text
}

fn language_of(ticket: &Ticket) -> Option<Language> {
    ticket.language_known.then_some(ticket.language)
}

/// Writes the tickets; says the number of the first.
async fn tickets(
    tx: &mut PgConnection,
    world: &World,
    vocabulary: &Vocabulary,
) -> anyhow::Result<i64> {
    let columns = "id, number, subject, status, priority, contact_id, channel, account, recipient, conversation_key, \
        team_id, assignee_id, tags, language, category, created_at, updated_at, resolution_due, message_count, channels";
    let first: i64 = sqlx::query_scalar("SELECT nextval('tickets.ticket_number')")
        .fetch_one(&mut *tx)
        .await?;
    let mut rows = Copying::into(tx, "ticket", columns).await?;
    for number in 0..world.size.tickets {
        let ticket = world.ticket(number);
        let times = world.message_times(number, &ticket);
        let last = times.last().copied().unwrap_or(ticket.opened);
        let assignee = ticket.assignee.map(|it| world.agent_id(it).to_string());
        rows.row(&[
            &ticket.id.to_string(),
            &(first + i64::try_from(number)?).to_string(),
            &sentence(vocabulary, ticket.language, &subject(world, number)),
            ticket.status,
            ticket.priority,
            &world.contact_id(ticket.contact).to_string(),
            "1",
            ACCOUNT,
            RECIPIENT,
            &format!("bench {number}"),
            &world.team_id(ticket.team).to_string(),
            assignee.as_deref().unwrap_or(NULL),
            &format!("{{{}}}", ticket.tags.join(",")),
            language_of(&ticket).map_or("", Language::code),
            ticket.category,
            &ticket.opened.to_string(),
            &last.to_string(),
            &ticket
                .due
                .map_or_else(|| NULL.to_owned(), |due| due.to_string()),
            &ticket.messages.to_string(),
            "2",
        ])
        .await?;
    }
    rows.finish().await?;
    sqlx::query("SELECT setval('tickets.ticket_number', $1)")
        .bind(first + i64::try_from(world.size.tickets)?)
        .execute(tx)
        .await?;
    Ok(first)
}

/// A message: when it came, and on which ticket as which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    micros: i64,
    ticket: u32,
    sequence: u32,
}

/// All messages by time.
fn order(world: &World) -> Vec<Place> {
    let mut order = Vec::with_capacity(world.size.messages + world.size.messages / 8);
    for number in 0..world.size.tickets {
        let ticket = world.ticket(number);
        let times = world.message_times(number, &ticket);
        order.extend((1..).zip(times).map(|(sequence, at)| Place {
            micros: at.as_microsecond(),
            ticket: u32::try_from(number).unwrap_or(u32::MAX),
            sequence,
        }));
    }
    order.sort_unstable();
    order
}

/// A message as it is written and as it is indexed.
struct Message {
    ticket: usize,
    at: Timestamp,
    customer: bool,
    ranks: Vec<usize>,
    order_number: usize,
}

impl Message {
    fn of(world: &World, place: Place) -> anyhow::Result<Self> {
        let number = usize::try_from(place.ticket)?;
        let (ranks, order_number) = written(world, &mut world.words_of(number, place.sequence));
        Ok(Self {
            ticket: number,
            at: Timestamp::from_microsecond(place.micros)?,
            // The first one and every other.
            customer: place.sequence % 2 == 1,
            ranks,
            order_number,
        })
    }
}

/// What a search can find: the language of a ticket, and the words and the number of its first message.
pub(super) fn first_message(world: &World, number: usize) -> (Language, Vec<String>, usize) {
    let ticket = world.ticket(number);
    let mut random = world.words_of(number, 1);
    let (ranks, order_number) = written(world, &mut random);
    let words = ranks
        .into_iter()
        .map(|rank| language::word(ticket.language, rank));
    (ticket.language, words.collect(), order_number)
}

fn written(world: &World, random: &mut Random) -> (Vec<usize>, usize) {
    let length = language::length(random);
    let ranks = (0..length).map(|_| language::rank(random)).collect();
    (ranks, 100_000 + random.below(world.size.messages * 2))
}

async fn messages(
    tx: &mut PgConnection,
    world: &World,
    vocabulary: &Vocabulary,
    order: &[Place],
) -> anyhow::Result<()> {
    let columns = "id, ticket_id, sequence, channel, account, author_kind, author_id, author_name, address, public, \
        body_text, automatic_class, sender_verified, created_at";
    let mut rows = Copying::into(tx, "message", columns).await?;
    for place in order {
        let message = Message::of(world, *place)?;
        let ticket = world.ticket(message.ticket);
        let contact = world.contact(ticket.contact);
        let text = sentence(vocabulary, ticket.language, &message.ranks);
        let (kind, author) = if message.customer {
            ("1", contact.id)
        } else {
            ("2", world.agent_id(ticket.assignee.unwrap_or_default()))
        };
        rows.row(&[
            &world
                .message_id(message.ticket, place.sequence, message.at)
                .to_string(),
            &ticket.id.to_string(),
            &place.sequence.to_string(),
            "1",
            ACCOUNT,
            kind,
            &author.to_string(),
            if message.customer { &contact.name } else { "" },
            if message.customer {
                &contact.address
            } else {
                ""
            },
            "t",
            &format!("{text} ORD-{}", message.order_number),
            "1",
            "t",
            &message.at.to_string(),
        ])
        .await?;
    }
    rows.finish().await?;
    Ok(())
}

async fn documents(
    tx: &mut PgConnection,
    world: &World,
    vocabulary: &Vocabulary,
    order: &[Place],
    first: i64,
) -> anyhow::Result<()> {
    let columns = "id, ticket_id, is_message, created_at, words";
    let mut spans = Spans::default();
    let mut rows = Copying::into(&mut *tx, "search_document", columns).await?;
    for place in order {
        let message = Message::of(world, *place)?;
        let ticket = world.ticket(message.ticket);
        let mut document = Document::default();
        if place.sequence == 1 {
            let own = ticket_document(world, vocabulary, message.ticket, &ticket, first)?;
            let id = ticket.id.to_string();
            let words = own.vector(spans.of(ticket.opened)?);
            rows.row(&[&id, &id, "f", &ticket.opened.to_string(), &words])
                .await?;
        }
        if message.customer {
            let contact = world.contact(ticket.contact);
            document.text(&contact.name);
            document.text(&contact.address);
        }
        for rank in &message.ranks {
            document.text(vocabulary.word(ticket.language, *rank));
        }
        document.text(&format!("ORD-{}", message.order_number));
        let id = world.message_id(message.ticket, place.sequence, message.at);
        rows.row(&[
            &id.to_string(),
            &ticket.id.to_string(),
            "t",
            &message.at.to_string(),
            &document.vector(spans.of(message.at)?),
        ])
        .await?;
    }
    rows.finish().await?;
    spans.write(tx).await
}

/// What the indexer takes of a ticket itself, in its order.
fn ticket_document(
    world: &World,
    vocabulary: &Vocabulary,
    number: usize,
    ticket: &Ticket,
    first: i64,
) -> anyhow::Result<Document> {
    let mut document = Document::default();
    document.text(&(first + i64::try_from(number)?).to_string());
    for rank in subject(world, number) {
        document.text(vocabulary.word(ticket.language, rank));
    }
    document.text(ticket.category);
    for tag in ticket.tags {
        document.text(tag);
    }
    let contact = world.contact(ticket.contact);
    document.text(&contact.name);
    document.text(&contact.address);
    Ok(document)
}
