//! What is sent next.
//!
//! Two looks at the table, and neither reads what waits behind lanes that rest or are full, however much that is. The
//! first reads the beginning of the line, whatever lanes it is of. Only if that is not enough, the second steps from
//! lane to lane over an index and reads of each lane that is open as much as it has room for. It goes on where the last
//! one stopped, so that each lane gets its turn. One query that leaves closed lanes out was rejected: it reads all that
//! waits behind them to find what it may take.
//!
//! Of one conversation only the oldest unfinished message is taken, so a message that waits for its retry holds back
//! those after it. The conversation is looked at before the row is locked. That is safe: a message that comes free
//! afterwards only waits for the next look, and one that is free stays so, because those before it are finished.

use jiff::Timestamp;
use prost::Message as _;
use solmu_db::{Db, DbError, ToSqlx as _};
use solmu_proto::outbound::v1::MessageQueued;
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::{
    lanes::{Openings, UNKNOWN_ROOM},
    state::Event,
};

/// Due messages that the first look reads for each one that is wanted.
const LOOKED_AT: i64 = 4;
/// Due messages that the first look reads at least.
const LEAST_LOOKED_AT: i64 = 64;
/// Lanes that one look steps over at most. Where more lanes wait than this, one that is passed by gets its turn at the
/// next look.
const MAX_STEPS: i64 = 500;

/// A message that this process has to send now.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) id: Uuid,
    /// Nothing if the stored bytes are no message.
    pub(crate) message: Option<MessageQueued>,
    pub(crate) trace: TraceContext,
    pub(crate) lane: String,
    /// This attempt's number, from 1.
    pub(crate) attempt: u32,
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) channel: &'a str,
    /// Messages at most.
    pub(crate) limit: usize,
    pub(crate) openings: &'a Openings,
    pub(crate) now: Timestamp,
    /// When whoever sends them must have come back.
    pub(crate) until: Timestamp,
}

impl Wanted<'_> {
    fn limit(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX)
    }

    fn room(&self, lane: &str) -> i64 {
        i64::try_from(self.openings.room(lane)).unwrap_or(i64::MAX)
    }
}

/// What the first look found.
#[derive(Debug, Default)]
pub(crate) struct InLine {
    pub(crate) claimed: Vec<Claimed>,
    /// Whether more is due than was looked at.
    pub(crate) more: bool,
}

/// Where the next walk over the lanes begins: at the first lane that is not before this.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(String);

impl Place {
    /// The first place behind `lane`. No text stands between a text and the same with the lowest character that
    /// PostgreSQL takes.
    fn behind(lane: &str) -> Self {
        Self(format!("{lane}\u{1}"))
    }
}

struct Row {
    message_id: Uuid,
    message: Vec<u8>,
    traceparent: String,
    tracestate: String,
    lane: String,
    attempts: i32,
}
solmu_db::from_row!(Row {
    message_id,
    message,
    traceparent,
    tracestate,
    lane,
    attempts
});

impl From<Row> for Claimed {
    fn from(row: Row) -> Self {
        Self {
            id: row.message_id,
            message: MessageQueued::decode(row.message.as_slice()).ok(),
            trace: TraceContext {
                traceparent: row.traceparent,
                tracestate: row.tracestate,
            },
            lane: row.lane,
            attempt: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        }
    }
}

/// The beginning of the line. `$1` channel, `$2` now, `$3` claimed until, `$4` limit, `$5` closed lanes, `$6` and `$7`
/// open lanes and their rooms, `$8` how many are looked at, `$9` the room of other lanes, `$10` the new state.
pub(super) const IN_LINE: &str = "WITH front AS MATERIALIZED ( \
     SELECT message_id, account, conversation_key, lane, next_attempt_at, sequence FROM connector.outbound \
     WHERE channel = $1 AND state = 'queued' AND next_attempt_at <= $2 ORDER BY next_attempt_at LIMIT $8), \
   near AS ( \
     SELECT mine.message_id, mine.lane, \
       row_number() OVER (PARTITION BY mine.lane ORDER BY mine.next_attempt_at, mine.sequence) AS turn \
     FROM front AS mine WHERE mine.lane <> ALL($5) \
       AND mine.sequence = ( \
         SELECT oldest.sequence FROM connector.outbound AS oldest \
         WHERE oldest.channel = $1 AND oldest.account = mine.account \
           AND oldest.conversation_key = mine.conversation_key AND oldest.state IN ('queued', 'sending') \
         ORDER BY oldest.sequence LIMIT 1)), \
   due AS ( \
     SELECT mine.message_id FROM connector.outbound AS mine \
     JOIN near ON near.message_id = mine.message_id \
     LEFT JOIN unnest($6::text[], $7::bigint[]) AS open (lane, room) ON open.lane = near.lane \
     WHERE mine.state <> 'sending' AND mine.finished_at IS NULL AND mine.next_attempt_at <= $2 AND near.turn <= coalesce(open.room, $9) \
     ORDER BY near.turn, mine.next_attempt_at, mine.sequence LIMIT $4 FOR UPDATE OF mine SKIP LOCKED), \
   taken AS ( \
     UPDATE connector.outbound AS row SET state = $10, attempts = row.attempts + 1, claimed_until = $3 \
     FROM due WHERE row.message_id = due.message_id \
     RETURNING row.message_id, row.message, row.traceparent, row.tracestate, row.lane, row.attempts) \
   SELECT (SELECT count(*) FROM front) AS looked_at, taken.message_id, taken.message, taken.traceparent, \
     taken.tracestate, taken.lane, taken.attempts \
   FROM (VALUES (1)) AS always LEFT JOIN taken ON true";

/// Lanes in the order of their names, each found by one step over its index: the first message of a lane says whether
/// something is due there. `$1` channel, `$2` now, `$3` the first lane, `$4` closed lanes, `$5` open lanes with
/// something due at most, `$6` steps at most.
pub(super) const WALK: &str = "WITH RECURSIVE walk AS ( \
     (SELECT lane COLLATE \"C\" AS lane, next_attempt_at <= $2 AND lane <> ALL($4) AS ready, \
        (next_attempt_at <= $2 AND lane <> ALL($4))::int::bigint AS found, 1::bigint AS step \
      FROM connector.outbound \
      WHERE channel = $1 AND claimed_until IS NULL AND finished_at IS NULL AND lane COLLATE \"C\" >= $3 \
      ORDER BY lane COLLATE \"C\", next_attempt_at, sequence LIMIT 1) \
     UNION ALL \
     SELECT next.lane, next.ready, walk.found + next.ready::int, walk.step + 1 \
     FROM walk CROSS JOIN LATERAL ( \
       SELECT lane COLLATE \"C\" AS lane, next_attempt_at <= $2 AND lane <> ALL($4) AS ready \
       FROM connector.outbound \
       WHERE channel = $1 AND claimed_until IS NULL AND finished_at IS NULL AND lane COLLATE \"C\" > walk.lane \
       ORDER BY lane COLLATE \"C\", next_attempt_at, sequence LIMIT 1) AS next \
     WHERE walk.found < $5 AND walk.step < $6) \
   SELECT lane, ready, step FROM walk WHERE ready OR step = (SELECT max(step) FROM walk) ORDER BY step";

/// The first messages of some lanes. `$1` channel, `$2` now, `$3` claimed until, `$4` limit, `$5` and `$6` lanes and
/// their rooms, `$7` the new state.
pub(super) const OF_LANES: &str = "WITH near AS ( \
     SELECT mine.message_id, \
       row_number() OVER (PARTITION BY open.lane ORDER BY mine.next_attempt_at, mine.sequence) AS turn \
     FROM unnest($5::text[], $6::bigint[]) AS open (lane, room) \
     CROSS JOIN LATERAL ( \
       SELECT one.message_id, one.next_attempt_at, one.sequence FROM connector.outbound AS one \
       WHERE one.channel = $1 AND one.claimed_until IS NULL AND one.finished_at IS NULL \
         AND one.lane COLLATE \"C\" = open.lane AND one.next_attempt_at <= $2 \
         AND one.sequence = ( \
           SELECT oldest.sequence FROM connector.outbound AS oldest \
           WHERE oldest.channel = $1 AND oldest.account = one.account \
             AND oldest.conversation_key = one.conversation_key AND oldest.state IN ('queued', 'sending') \
           ORDER BY oldest.sequence LIMIT 1) \
       ORDER BY one.next_attempt_at, one.sequence LIMIT least(open.room, $4)) AS mine), \
   due AS ( \
     SELECT mine.message_id FROM connector.outbound AS mine \
     JOIN near ON near.message_id = mine.message_id \
     WHERE mine.state <> 'sending' AND mine.finished_at IS NULL AND mine.next_attempt_at <= $2 \
     ORDER BY near.turn, mine.next_attempt_at, mine.sequence LIMIT $4 FOR UPDATE OF mine SKIP LOCKED) \
   UPDATE connector.outbound AS row SET state = $7, attempts = row.attempts + 1, claimed_until = $3 \
   FROM due WHERE row.message_id = due.message_id \
   RETURNING row.message_id, row.message, row.traceparent, row.tracestate, row.lane, row.attempts";

/// Takes what is first in line and marks it as being sent. Of one lane no more is taken than it has room for, and lanes
/// take turns.
pub(crate) async fn in_line(db: &Db, wanted: Wanted<'_>) -> Result<InLine, DbError> {
    struct Seen {
        looked_at: i64,
        message_id: Option<Uuid>,
        message: Option<Vec<u8>>,
        traceparent: Option<String>,
        tracestate: Option<String>,
        lane: Option<String>,
        attempts: Option<i32>,
    }
    solmu_db::from_row!(Seen {
        looked_at,
        message_id,
        message,
        traceparent,
        tracestate,
        lane,
        attempts
    });
    let looked_at = wanted
        .limit()
        .saturating_mul(LOOKED_AT)
        .max(LEAST_LOOKED_AT);
    let (open, rooms): (Vec<&str>, Vec<i64>) = wanted
        .openings
        .open
        .iter()
        .map(|(lane, room)| (lane.as_str(), *room))
        .unzip();
    let seen: Vec<Seen> = sqlx::query_as(IN_LINE)
        .bind(wanted.channel)
        .bind(wanted.now.to_sqlx())
        .bind(wanted.until.to_sqlx())
        .bind(wanted.limit())
        .bind(&wanted.openings.closed)
        .bind(open)
        .bind(rooms)
        .bind(looked_at)
        .bind(i64::try_from(UNKNOWN_ROOM).unwrap_or(1))
        .bind(Event::Claimed.leads_to().name())
        .fetch_all(db.pool())
        .await?;
    let more = seen.iter().any(|row| row.looked_at >= looked_at);
    let row = |seen: Seen| {
        Some(Row {
            message_id: seen.message_id?,
            message: seen.message?,
            traceparent: seen.traceparent?,
            tracestate: seen.tracestate?,
            lane: seen.lane?,
            attempts: seen.attempts?,
        })
    };
    let claimed = seen.into_iter().filter_map(row).map(Claimed::from);
    Ok(InLine {
        claimed: claimed.collect(),
        more,
    })
}

/// Takes messages lane by lane, from `place` on and once around at most. `place` is then where the next walk begins.
pub(crate) async fn lane_by_lane(
    db: &Db,
    wanted: Wanted<'_>,
    place: &mut Place,
) -> Result<Vec<Claimed>, DbError> {
    let mut claimed = Vec::new();
    match go_around(db, wanted, place, &mut claimed).await {
        // What was taken must be sent; if the database is still away, the next look says so.
        Err(error) if claimed.is_empty() => Err(error),
        _ => Ok(claimed),
    }
}

async fn go_around(
    db: &Db,
    wanted: Wanted<'_>,
    place: &mut Place,
    claimed: &mut Vec<Claimed>,
) -> Result<(), DbError> {
    let origin = place.clone();
    let mut around = false;
    let mut steps = MAX_STEPS;
    while claimed.len() < wanted.limit && steps > 0 {
        let left = Wanted {
            limit: wanted.limit - claimed.len(),
            ..wanted
        };
        let mut walked = walk(db, left, place, steps).await?;
        steps -= walked.steps.max(1);
        *place = walked.next;
        if around {
            walked.ready.retain(|lane| *lane < origin.0);
        }
        if !walked.ready.is_empty() {
            claimed.extend(of_lanes(db, left, &walked.ready).await?);
        }
        let is_whole = if around {
            walked.at_end || *place >= origin
        } else {
            walked.at_end && origin == Place::default()
        };
        if is_whole {
            break;
        }
        around |= walked.at_end;
    }
    Ok(())
}

/// A part of the way around.
struct Walked {
    /// Open lanes in which something is due.
    ready: Vec<String>,
    /// Lanes that were stepped over.
    steps: i64,
    /// Where it goes on.
    next: Place,
    /// Whether no lane is left behind this part.
    at_end: bool,
}

async fn walk(
    db: &Db,
    wanted: Wanted<'_>,
    place: &Place,
    max_steps: i64,
) -> Result<Walked, DbError> {
    let lanes: Vec<(String, bool, i64)> = sqlx::query_as(WALK)
        .bind(wanted.channel)
        .bind(wanted.now.to_sqlx())
        .bind(&place.0)
        .bind(&wanted.openings.closed)
        .bind(wanted.limit())
        .bind(max_steps)
        .fetch_all(db.pool())
        .await?;
    let steps = lanes.last().map_or(0, |(.., step)| *step);
    let last = lanes.last().map(|(lane, ..)| Place::behind(lane));
    let ready: Vec<String> = lanes
        .into_iter()
        .filter_map(|(lane, ready, _)| ready.then_some(lane))
        .collect();
    let at_end = steps < max_steps && ready.len() < wanted.limit;
    Ok(Walked {
        ready,
        steps,
        next: last.filter(|_| !at_end).unwrap_or_default(),
        at_end,
    })
}

async fn of_lanes(db: &Db, wanted: Wanted<'_>, lanes: &[String]) -> Result<Vec<Claimed>, DbError> {
    let rooms: Vec<i64> = lanes.iter().map(|lane| wanted.room(lane)).collect();
    let rows: Vec<Row> = sqlx::query_as(OF_LANES)
        .bind(wanted.channel)
        .bind(wanted.now.to_sqlx())
        .bind(wanted.until.to_sqlx())
        .bind(wanted.limit())
        .bind(lanes)
        .bind(rooms)
        .bind(Event::Claimed.leads_to().name())
        .fetch_all(db.pool())
        .await?;
    Ok(rows.into_iter().map(Claimed::from).collect())
}
