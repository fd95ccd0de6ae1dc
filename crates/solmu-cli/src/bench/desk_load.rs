//! A desk of any size, made up: contacts, tickets and messages, the same for the same seed.
//!
//! Written by `COPY` past the services: filing a million tickets one by one would measure intake and not reading. The
//! search index is then filled by the running service, as it is for any message.

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    random::Random,
    texts::{ENGLISH, FINNISH},
};

/// The account of everything that is made up, by which it is known.
pub(crate) const ACCOUNT: &str = "bench-desk";
/// Bytes of one piece of a `COPY`.
const PIECE: usize = 1 << 20;
/// Different words; how often one is used falls with its rank (Zipf).
const WORDS: usize = 50_000;
/// Words of a message on average.
const LENGTH: usize = 60;
/// How long back messages go.
const SPAN: SignedDuration = SignedDuration::from_hours(365 * 24);

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) tickets: usize,
    pub(crate) messages: usize,
    pub(crate) seed: u64,
}

impl Size {
    fn contacts(self) -> usize {
        self.tickets.div_ceil(3)
    }
}

/// An id that only depends on what it is of.
fn id(kind: u64, number: usize) -> Uuid {
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    let mut random = Random::new(kind.wrapping_mul(0x9e37_79b9).wrapping_add(number));
    let mut half = || u64::try_from(random.below(usize::MAX)).unwrap_or(0);
    Uuid::from_u64_pair(half(), half())
}

pub(crate) fn contact_id(number: usize) -> Uuid {
    id(1, number)
}

pub(crate) fn ticket_id(number: usize) -> Uuid {
    id(2, number)
}

pub(crate) fn team_id(number: usize) -> Uuid {
    id(3, number % 12)
}

/// The word of a rank: the most common ones are words of both languages, the others are put together.
pub(crate) fn word(rank: usize) -> String {
    let base = |at: usize| {
        let words = if at.is_multiple_of(2) {
            FINNISH.words
        } else {
            ENGLISH.words
        };
        words[at / 2 % words.len()]
    };
    match rank {
        0..80 => base(rank).to_owned(),
        80..4_000 => format!("{}{}", base(rank), base(rank / 80)),
        _ => format!("{}{rank}", base(rank)),
    }
}

/// A rank by Zipf's law: each doubling of the rank is as likely as the one before.
fn rank(random: &mut Random) -> usize {
    let octaves = usize::BITS - WORDS.leading_zeros();
    let octave = random.below(usize::try_from(octaves).unwrap_or(16));
    let start = 1_usize << octave;
    (start + random.below(start)).min(WORDS) - 1
}

fn sentence(random: &mut Random, words: usize) -> String {
    let words: Vec<String> = (0..words).map(|_| word(rank(random))).collect();
    words.join(" ")
}

/// One table's rows on their way.
struct Copying<'a> {
    copy: sqlx::postgres::PgCopyIn<&'a mut PgConnection>,
    rows: String,
}

impl<'a> Copying<'a> {
    async fn into(
        connection: &'a mut PgConnection,
        table: &str,
        columns: &str,
    ) -> anyhow::Result<Self> {
        let statement = format!("COPY tickets.{table} ({columns}) FROM STDIN");
        let copy = connection
            .copy_in_raw(&statement)
            .await
            .with_context(|| format!("cannot copy into '{table}'"))?;
        Ok(Self {
            copy,
            rows: String::new(),
        })
    }

    /// No value has a tab, a line's end or a backslash.
    async fn row(&mut self, values: &[&str]) -> anyhow::Result<()> {
        self.rows.push_str(&values.join("\t"));
        self.rows.push('\n');
        if self.rows.len() >= PIECE {
            self.copy
                .send(std::mem::take(&mut self.rows).into_bytes())
                .await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<u64> {
        self.copy
            .send(std::mem::take(&mut self.rows).into_bytes())
            .await?;
        Ok(self.copy.finish().await?)
    }
}

/// Loads a desk into an empty database.
pub(crate) async fn load(
    connection: &mut PgConnection,
    size: Size,
    now: Timestamp,
) -> anyhow::Result<()> {
    contacts(connection, size, now).await?;
    tickets(connection, size, now).await?;
    messages(connection, size, now).await
}

/// When the ticket was opened: evenly over the year.
fn opened(size: Size, number: usize, now: Timestamp) -> Timestamp {
    let step = SPAN.as_millis() / i128::try_from(size.tickets.max(1)).unwrap_or(1);
    let back = step * i128::try_from(size.tickets - number).unwrap_or(0);
    now - SignedDuration::from_millis(i64::try_from(back).unwrap_or(0))
}

async fn contacts(connection: &mut PgConnection, size: Size, now: Timestamp) -> anyhow::Result<()> {
    let since = (now - SPAN).to_string();
    let mut random = Random::new(size.seed);
    let mut rows = Copying::into(connection, "contact", "id, display_name, created_at").await?;
    for number in 0..size.contacts() {
        let texts = random.pick(&[FINNISH, ENGLISH]);
        let (first, last) = (
            random.pick(texts.first_names),
            random.pick(texts.last_names),
        );
        let name = format!("{first} {last}");
        rows.row(&[&contact_id(number).to_string(), &name, &since])
            .await?;
    }
    rows.finish().await?;
    let columns = "kind, scope, value, raw, contact_id, assurance, attested_by, first_seen";
    let mut rows = Copying::into(connection, "identity", columns).await?;
    for number in 0..size.contacts() {
        let address = format!("customer{number}@bench{}.example", number % 997);
        let contact = contact_id(number).to_string();
        rows.row(&["1", "", &address, &address, &contact, "1", "bench", &since])
            .await?;
    }
    rows.finish().await?;
    Ok(())
}

async fn tickets(connection: &mut PgConnection, size: Size, now: Timestamp) -> anyhow::Result<()> {
    let columns = "id, number, subject, status, priority, contact_id, channel, account, recipient, conversation_key, \
        team_id, assignee_id, tags, language, category, created_at, updated_at, resolution_due, message_count, channels";
    let first: i64 = sqlx::query_scalar("SELECT nextval('tickets.ticket_number')")
        .fetch_one(&mut *connection)
        .await?;
    let mut random = Random::new(size.seed ^ 2);
    let mut rows = Copying::into(connection, "ticket", columns).await?;
    for number in 0..size.tickets {
        let at = opened(size, number, now);
        // Most of an old desk is closed.
        let status = match random.below(100) {
            0..3 => "new",
            3..8 => "open",
            8..10 => "waiting_on_customer",
            10..20 => "resolved",
            _ => "closed",
        };
        let open = !matches!(status, "resolved" | "closed");
        let minutes = i64::try_from(random.below(20_000)).unwrap_or(0);
        let due = if open {
            (now + SignedDuration::from_mins(minutes - 2_000)).to_string()
        } else {
            "\\N".to_owned()
        };
        let assignee = if open && random.below(3) == 0 {
            id(4, random.below(60)).to_string()
        } else {
            "\\N".to_owned()
        };
        let number_of = first + i64::try_from(number).unwrap_or(0) + 1;
        let values = [
            ticket_id(number).to_string(),
            number_of.to_string(),
            sentence(&mut random, 5),
            status.to_owned(),
            (*random.pick(&["low", "normal", "normal", "normal", "high", "urgent"])).to_owned(),
            contact_id(random.below(size.contacts())).to_string(),
            (1 + random.below(5)).to_string(),
            ACCOUNT.to_owned(),
            "support@bench.example".to_owned(),
            format!("bench {number}"),
            team_id(random.below(12)).to_string(),
            assignee,
            (*random.pick(&["{}", "{}", "{}", "{vip}", "{complaint,invoice}"])).to_owned(),
            (*random.pick(&["fi", "fi", "en", "sv", ""])).to_owned(),
            (*random.pick(&["", "billing/refund", "complaint", "delivery"])).to_owned(),
            at.to_string(),
            at.to_string(),
            due,
            size.messages.div_ceil(size.tickets).to_string(),
            "2".to_owned(),
        ];
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        rows.row(&values).await?;
    }
    rows.finish().await?;
    sqlx::query("SELECT setval('tickets.ticket_number', $1)")
        .bind(first + i64::try_from(size.tickets).unwrap_or(0) + 1)
        .execute(connection)
        .await?;
    Ok(())
}

async fn messages(connection: &mut PgConnection, size: Size, now: Timestamp) -> anyhow::Result<()> {
    let columns = "id, ticket_id, sequence, channel, account, author_kind, author_id, author_name, address, public, \
        subject, body_text, automatic_class, sender_verified, created_at";
    let mut random = Random::new(size.seed ^ 3);
    let mut rows = Copying::into(connection, "message", columns).await?;
    for number in 0..size.messages {
        let (ticket, sequence) = (number % size.tickets, number / size.tickets + 1);
        let hours = i64::try_from(sequence - 1).unwrap_or(0);
        let at = (opened(size, ticket, now) + SignedDuration::from_hours(hours)).min(now);
        let customer = sequence % 2 == 1;
        let contact = ticket % size.contacts();
        let (author, address) = if customer {
            (
                contact_id(contact),
                format!("customer{contact}@bench{}.example", contact % 997),
            )
        } else {
            (id(4, random.below(60)), String::new())
        };
        let length = LENGTH / 2 + random.below(LENGTH);
        let values = [
            id(5, number).to_string(),
            ticket_id(ticket).to_string(),
            sequence.to_string(),
            "1".to_owned(),
            ACCOUNT.to_owned(),
            if customer { "1" } else { "2" }.to_owned(),
            author.to_string(),
            String::new(),
            address,
            "t".to_owned(),
            String::new(),
            format!(
                "{} ORD-{}",
                sentence(&mut random, length),
                random.below(size.messages)
            ),
            "1".to_owned(),
            "t".to_owned(),
            at.to_string(),
        ];
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        rows.row(&values).await?;
    }
    rows.finish().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_all_there_and_common_ones_are_common() {
        let mut random = Random::new(1);
        let ranks: Vec<usize> = (0..100_000).map(|_| rank(&mut random)).collect();
        assert!(ranks.iter().all(|rank| *rank < WORDS));
        let first = ranks.iter().filter(|rank| **rank == 0).count();
        assert!((4_000..9_000).contains(&first), "{first}");
        assert_eq!(word(0), word(0));
        assert_ne!(word(79), word(80));
        assert_eq!(ticket_id(7), ticket_id(7));
        assert_ne!(ticket_id(7), contact_id(7));
    }
}
