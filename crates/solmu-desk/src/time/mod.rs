//! Time that agents spend on tickets: by hand, by timer, and as a bill.
//!
//! An entry without seconds is a timer that runs; a unique index keeps everybody to one. Whatever counts as time is told
//! as a change of its ticket, so the log keeps who counted, changed or removed what; the words of an entry are not told.
//! Whoever changes an entry locks it before its ticket.

mod entry;
mod export;
mod list;
pub(crate) mod service;
mod timer;

use jiff::Timestamp;
use solmu_bus::envelope::{from_proto_time, to_proto_time};
use solmu_db::{DbError, SqlTimestamp};
use solmu_proto::{
    ticket::v1::{FieldChange, TimeEntry},
    types::v1::Actor,
};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role},
    api_error::Violation,
};
use solmu_tickets::{TicketError, desk::Held};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::context::Context;

/// Longest entry, in seconds: 100 hours.
const MAX_SECONDS: i64 = 360_000;
/// Longest name of an activity, in bytes.
const MAX_ACTIVITY: usize = 100;
/// Longest note, in bytes.
const MAX_NOTE: usize = 2_000;
/// Digits of a rate before and after its point.
const RATE_DIGITS: (usize, usize) = (12, 4);

/// An entry as it is stored, with the number of its ticket.
#[derive(Debug)]
struct Row {
    id: Uuid,
    ticket_id: Uuid,
    number: i64,
    agent_id: String,
    started_at: SqlTimestamp,
    seconds: Option<i64>,
    billable: bool,
    activity: String,
    rate: String,
    currency: String,
    note: String,
    created_by: String,
    created_at: SqlTimestamp,
    updated_at: SqlTimestamp,
    booked_at: Option<SqlTimestamp>,
    version: i64,
}
solmu_db::from_row!(Row {
    id,
    ticket_id,
    number,
    agent_id,
    started_at,
    seconds,
    billable,
    activity,
    rate,
    currency,
    note,
    created_by,
    created_at,
    updated_at,
    booked_at,
    version
});

/// Begins every statement that reads entries; its `WHERE` comes next.
const SELECT: &str = "SELECT entry.id, entry.ticket_id, ticket.number, entry.agent_id, entry.started_at, entry.seconds, \
    entry.billable, entry.activity, coalesce(trim_scale(entry.rate)::text, '') AS rate, entry.currency, entry.note, \
    entry.created_by, entry.created_at, entry.updated_at, entry.booked_at, entry.version \
    FROM tickets.time_entry AS entry JOIN tickets.ticket ON ticket.id = entry.ticket_id";

impl Row {
    fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    /// What the log says of it: how long it is, and none of its words.
    fn told(&self) -> String {
        let seconds = self.seconds.unwrap_or_default();
        let billable = if self.billable { " billable" } else { "" };
        format!("{} {seconds} s{billable}", self.id)
    }

    /// PERMISSION_DENIED unless the caller may change it.
    fn check_owner(&self, caller: &Caller, by: &Actor) -> Result<(), ApiError> {
        if caller.role == Role::Admin || self.agent_id == by.id {
            return Ok(());
        }
        Err(ApiError::PermissionDenied {
            reason: "NOT_YOURS",
            message: "agents look after their own time; that of others is an admin's".to_owned(),
        })
    }
}

impl From<Row> for TimeEntry {
    fn from(row: Row) -> Self {
        let time = |at: SqlTimestamp| Some(to_proto_time(at.to_jiff()));
        Self {
            id: row.id.to_string(),
            ticket_id: row.ticket_id.to_string(),
            ticket_number: row.number,
            etag: row.etag(),
            agent_id: row.agent_id,
            start_time: time(row.started_at),
            seconds: row.seconds.unwrap_or_default(),
            billable: row.billable,
            activity: row.activity,
            hourly_rate: row.rate,
            currency: row.currency,
            note: row.note,
            created_by: row.created_by,
            create_time: time(row.created_at),
            update_time: time(row.updated_at),
            book_time: row.booked_at.and_then(time),
        }
    }
}

/// What somebody says of the work, beside when and how long it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Terms {
    billable: bool,
    activity: String,
    /// A decimal, or empty.
    rate: String,
    currency: String,
    note: String,
}

impl Terms {
    /// INVALID_ARGUMENT names everything that is wrong.
    fn check(self) -> Result<Self, ApiError> {
        let mut wrong = Vec::new();
        let mut refuse = |bad: bool, field: &str, why: &str| {
            if bad {
                wrong.push(Violation::new(field, why));
            }
        };
        let long = self.activity.len() > MAX_ACTIVITY;
        refuse(
            long || self.activity.contains(char::is_control),
            "activity",
            "at most 100 bytes on one line",
        );
        refuse(
            self.note.len() > MAX_NOTE || self.note.contains('\0'),
            "note",
            "at most 2000 bytes",
        );
        refuse(
            !self.rate.is_empty() && !is_rate(&self.rate),
            "hourly_rate",
            "a decimal with at most 4 places, such as \"85.50\"",
        );
        let currency =
            self.currency.len() == 3 && self.currency.bytes().all(|byte| byte.is_ascii_uppercase());
        refuse(
            self.rate.is_empty() != self.currency.is_empty()
                || !(self.currency.is_empty() || currency),
            "currency",
            "three capital letters, such as \"EUR\", with a rate and only then",
        );
        if wrong.is_empty() {
            return Ok(self);
        }
        Err(ApiError::InvalidArgument { violations: wrong })
    }

    /// Whether a row says the same, whatever its rate: that is one decimal in many forms.
    fn are_of(&self, row: &Row) -> bool {
        let said = (self.billable, &self.activity, &self.currency, &self.note);
        said == (row.billable, &row.activity, &row.currency, &row.note)
    }

    fn rate(&self) -> Option<&str> {
        Some(self.rate.as_str()).filter(|it| !it.is_empty())
    }
}

/// Whether it is a decimal that the column holds exactly.
fn is_rate(text: &str) -> bool {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    digits(whole, RATE_DIGITS.0) && digits(places, RATE_DIGITS.1)
}

/// How long an entry is; INVALID_ARGUMENT if it cannot be that long.
fn checked_seconds(seconds: i64) -> Result<i64, ApiError> {
    if (1..=MAX_SECONDS).contains(&seconds) {
        return Ok(seconds);
    }
    Err(ApiError::invalid("seconds", format!("1 to {MAX_SECONDS}")))
}

/// A time of a request as it is stored: in whole microseconds.
fn stored(at: &prost_types::Timestamp) -> Timestamp {
    let at = from_proto_time(at);
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// When work began; INVALID_ARGUMENT for a time to come.
fn checked_start(at: &prost_types::Timestamp, now: Timestamp) -> Result<Timestamp, ApiError> {
    let at = stored(at);
    if at > now {
        return Err(ApiError::invalid("start_time", "has not come yet"));
    }
    Ok(at)
}

/// One entry; locked if it is `held`.
async fn read(tx: &mut PgConnection, id: Uuid, held: bool) -> Result<Row, ApiError> {
    let lock = if held { " FOR UPDATE OF entry" } else { "" };
    let found = find(tx, &format!("{SELECT} WHERE entry.id = $1{lock}"), id).await?;
    found.ok_or_else(|| ApiError::not_found("time entry", &id))
}

async fn find<'a, V>(tx: &mut PgConnection, sql: &str, value: V) -> Result<Option<Row>, ApiError>
where
    V: sqlx::Encode<'a, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + 'a,
{
    let found = sqlx::query_as(sqlx::AssertSqlSafe(sql.to_owned()))
        .bind(value)
        .fetch_optional(tx)
        .await;
    Ok(found.map_err(TicketError::from)?)
}

/// Tells of a change of the time of a locked ticket.
async fn tell(
    tx: &mut PgConnection,
    context: &Context,
    held: &mut Held,
    (from, to): (String, String),
    by: &Actor,
) -> Result<(), ApiError> {
    let told = FieldChange {
        field: "time_entries".to_owned(),
        from,
        to,
    };
    Ok(context.hands.tell(tx, held, told, (by, "by hand")).await?)
}

/// Somebody else did the same at the same time: the transaction runs again and finds what they made.
fn race() -> ApiError {
    TicketError::Race(DbError::Race).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_decimals_of_the_column() {
        for good in ["0", "85", "85.5", "85.5000", "999999999999.9999"] {
            assert!(is_rate(good), "{good}");
        }
        for bad in [
            "",
            ".5",
            "5.",
            "-1",
            "+1",
            "1e3",
            "1.23456",
            "1 000",
            "NaN",
            "1.2.3",
            "１",
            "9999999999999",
        ] {
            assert!(!is_rate(bad), "{bad}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let bad = Terms {
            activity: "x".repeat(101),
            rate: "dear".to_owned(),
            note: "n".repeat(2_001),
            ..Terms::default()
        };
        let Err(ApiError::InvalidArgument { violations }) = bad.check() else {
            panic!("it was taken");
        };
        let fields: Vec<&str> = violations.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["activity", "note", "hourly_rate", "currency"]);
        let good = Terms {
            rate: "85.5".to_owned(),
            currency: "EUR".to_owned(),
            ..Terms::default()
        };
        assert!(good.clone().check().is_ok());
        let without = Terms {
            rate: String::new(),
            ..good
        };
        assert!(without.check().is_err(), "a currency of nothing");
    }
}
