//! Caps against mail loops: token buckets, one row each, read and written with the batch that spends from them.
//!
//! Two automatic mailers that answer each other are only stopped by a count. It is kept per address, and per address
//! and ticket, in a table with a key for exactly that: counting the messages of a ticket would get slower as the loop
//! goes on. A bucket begins full and refills evenly, so a cap of 10 in three hours lets ten through at once and then
//! one every 18 minutes. An address counts without its plus tag: a mailer that tags each mail anew is one mailer.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use jiff::Timestamp;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    config::{Cap, Loops},
    error::TicketError,
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Acknowledgements on one ticket to one address.
    Acknowledgement,
    /// Automatic messages of ours to one address.
    AutomaticOut,
    /// Automatic messages of one address on one ticket.
    AutomaticIn,
    /// Automatic messages on one ticket, whoever sends them: bounces come from a new address each time.
    AutomaticOnTicket,
    /// Acknowledgements to anybody on any ticket.
    AcknowledgementTotal,
    /// Answers that an agent gives by mail on one ticket.
    AgentAnswer,
    /// Notifications of an agent about one ticket.
    Notification,
}

/// The address of a bucket that is nobody's.
pub(crate) const ANYBODY: &str = "";

impl Kind {
    const ALL: [Self; 7] = [
        Self::Acknowledgement,
        Self::AutomaticOut,
        Self::AutomaticIn,
        Self::AutomaticOnTicket,
        Self::AcknowledgementTotal,
        Self::AgentAnswer,
        Self::Notification,
    ];

    const fn code(self) -> i16 {
        match self {
            Self::Acknowledgement => 1,
            Self::AutomaticOut => 2,
            Self::AutomaticIn => 3,
            Self::AutomaticOnTicket => 4,
            Self::AcknowledgementTotal => 5,
            Self::AgentAnswer => 6,
            Self::Notification => 7,
        }
    }

    const fn cap(self, loops: &Loops) -> Cap {
        match self {
            Self::Acknowledgement => loops.acknowledgements_per_ticket,
            Self::AutomaticOut => loops.automatic_to_address,
            Self::AutomaticIn => loops.automatic_from_address,
            Self::AutomaticOnTicket => loops.automatic_on_ticket,
            Self::AcknowledgementTotal => loops.acknowledgements_total,
            Self::AgentAnswer => loops.agent_answers_per_ticket,
            Self::Notification => loops.notifications_per_ticket,
        }
    }
}

/// One bucket: what, whose, and on which ticket (nil: on all).
type Bucket = (Kind, String, Uuid);

/// The address without its plus tag: `a+7@x.fi` is `a@x.fi`.
fn untagged(address: &str) -> Cow<'_, str> {
    match address.rsplit_once('@') {
        Some((local, domain)) => match local.split_once('+') {
            Some((name, _)) if !name.is_empty() => Cow::Owned(format!("{name}@{domain}")),
            _ => Cow::Borrowed(address),
        },
        None => Cow::Borrowed(address),
    }
}

/// A token; one that is there but for rounding is there.
const ONE: f64 = 1.0 - 1e-6;

#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at: Timestamp,
    /// 0 for one that is not stored yet.
    version: i64,
    spent: bool,
}

impl Level {
    fn tokens_at(&self, now: Timestamp, cap: Cap) -> f64 {
        let elapsed = now.duration_since(self.at).as_secs_f64().max(0.0);
        let rate = f64::from(cap.messages) / f64::from(cap.seconds.max(1));
        (self.tokens + elapsed * rate).min(f64::from(cap.messages))
    }
}

/// The buckets that a batch may spend from.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    levels: HashMap<Bucket, Level>,
    /// Tokens of [`Kind::AcknowledgementTotal`] that this batch spent.
    total_spent: f64,
}

impl Budgets {
    /// Reads the buckets of `addresses` on `tickets` and on all; nothing if nobody can spend.
    pub(crate) async fn load(
        tx: &mut PgConnection,
        addresses: &HashSet<String>,
        tickets: impl Iterator<Item = Uuid>,
    ) -> Result<Self, TicketError> {
        if addresses.is_empty() {
            return Ok(Self::default());
        }
        let tickets: Vec<Uuid> = tickets.chain([Uuid::nil()]).collect();
        let rows: Vec<(i16, String, Uuid, f64, SqlTimestamp, i64)> = sqlx::query_as(LOAD)
            .bind(
                addresses
                    .iter()
                    .map(|address| untagged(address))
                    .chain([Cow::Borrowed(ANYBODY)])
                    .collect::<Vec<_>>(),
            )
            .bind(tickets)
            .fetch_all(tx)
            .await?;
        let mut levels = HashMap::new();
        for (code, address, ticket, tokens, at, version) in rows {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.code() == code) else {
                continue;
            };
            let level = Level {
                tokens,
                at: at.to_jiff(),
                version,
                spent: false,
            };
            levels.insert((kind, address, ticket), level);
        }
        Ok(Self {
            levels,
            total_spent: 0.0,
        })
    }

    /// Spends one token; `false` if there is none. `ticket` is nil for a cap on the address alone.
    pub(crate) fn spend(
        &mut self,
        kind: Kind,
        address: &str,
        ticket: Uuid,
        loops: &Loops,
        now: Timestamp,
    ) -> bool {
        let cap = kind.cap(loops);
        let level = self
            .levels
            .entry((kind, untagged(address).into_owned(), ticket))
            .or_insert(Level {
                tokens: f64::from(cap.messages),
                at: now,
                version: 0,
                spent: false,
            });
        let tokens = level.tokens_at(now, cap);
        if tokens < ONE {
            return false;
        }
        level.tokens = tokens - 1.0;
        level.at = level.at.max(now);
        level.spent = true;
        if kind == Kind::AcknowledgementTotal {
            self.total_spent += 1.0;
        }
        true
    }

    /// Whether there is a token, without spending it.
    pub(crate) fn has(
        &self,
        kind: Kind,
        address: &str,
        ticket: Uuid,
        loops: &Loops,
        now: Timestamp,
    ) -> bool {
        let cap = kind.cap(loops);
        let bucket = (kind, untagged(address).into_owned(), ticket);
        let level = self.levels.get(&bucket);
        let tokens = level.map_or(f64::from(cap.messages), |level| level.tokens_at(now, cap));
        tokens >= ONE
    }

    /// Spends for an automatic message of `address` that joins `ticket`; `false` if it is one too many.
    pub(crate) fn spend_automatic(
        &mut self,
        address: &str,
        ticket: Uuid,
        loops: &Loops,
        now: Timestamp,
    ) -> bool {
        self.has(Kind::AutomaticOnTicket, ANYBODY, ticket, loops, now)
            && self.spend(Kind::AutomaticIn, address, ticket, loops, now)
            && self.spend(Kind::AutomaticOnTicket, ANYBODY, ticket, loops, now)
    }

    /// Writes what was spent. A bucket that another replica spent from meanwhile means that this batch was decided on
    /// old knowledge: it is decided again.
    pub(crate) async fn write(&self, tx: &mut PgConnection) -> Result<(), TicketError> {
        let mut spent: Vec<(&Bucket, &Level)> = self
            .levels
            .iter()
            .filter(|(_, level)| level.spent)
            .collect();
        if spent.is_empty() {
            return Ok(());
        }
        spent.sort_by(|(a, _), (b, _)| (&a.1, a.2, a.0.code()).cmp(&(&b.1, b.2, b.0.code())));
        // What everybody spends from is not decided again when somebody else did meanwhile: it would be time and again.
        let done = sqlx::query(
            "INSERT INTO tickets.loop_budget AS budget (kind, address, ticket_id, tokens, refilled_at, version)
             SELECT * FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::double precision[], $5::timestamptz[],
                $6::bigint[])
             ON CONFLICT (address, ticket_id, kind) DO UPDATE SET
                tokens = CASE WHEN budget.version = excluded.version - 1 THEN excluded.tokens
                    ELSE least(excluded.tokens, budget.tokens - $8) END,
                refilled_at = greatest(budget.refilled_at, excluded.refilled_at), version = budget.version + 1
             WHERE budget.version = excluded.version - 1 OR budget.kind = $7",
        )
        .bind(spent.iter().map(|(bucket, _)| bucket.0.code()).collect::<Vec<_>>())
        .bind(spent.iter().map(|(bucket, _)| bucket.1.as_str()).collect::<Vec<_>>())
        .bind(spent.iter().map(|(bucket, _)| bucket.2).collect::<Vec<_>>())
        .bind(spent.iter().map(|(_, level)| level.tokens).collect::<Vec<_>>())
        .bind(spent.iter().map(|(_, level)| level.at.to_sqlx()).collect::<Vec<_>>())
        .bind(spent.iter().map(|(_, level)| level.version + 1).collect::<Vec<_>>())
        .bind(Kind::AcknowledgementTotal.code())
        .bind(self.total_spent)
        .execute(tx)
        .await?;
        if done.rows_affected() == spent.len() as u64 {
            Ok(())
        } else {
            Err(TicketError::race())
        }
    }
}

/// One look at the primary key for each address, however many buckets there are: tickets are compared after that. With 500
/// addresses, 500 tickets and 200,000 rows that reads 1,600 pages (2 ms); an index of tickets beside it was no faster.
const LOAD: &str =
    "SELECT kind, address, ticket_id, tokens, refilled_at, version FROM tickets.loop_budget
    WHERE address = ANY($1) AND ticket_id = ANY($2)";

/// Forgets buckets that nobody spent from since `before`: they are full.
pub async fn purge(tx: &mut PgConnection, before: Timestamp) -> Result<u64, TicketError> {
    let done = sqlx::query("DELETE FROM tickets.loop_budget WHERE refilled_at < $1")
        .bind(before.to_sqlx())
        .execute(tx)
        .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests;
