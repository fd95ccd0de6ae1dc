//! Where a ticket stands: all that a merge ends on it, so that taking the merge back gives it back.
//!
//! The source gets it back always. The target gets back where it stood only if nobody moved it since the merge and nobody
//! wrote on it: whoever decided something in between decided it for good. The log says whether somebody did: a status that
//! was left and taken again looks the same on the ticket. What other merges brought does not
//! count; where such a one would keep somebody waiting, what is to be given back waits for its end.

use jiff::Timestamp;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::ticket::Status;
use solmu_proto::ticket::v1 as proto;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    change::snooze_text,
    error::TicketError,
    events::change,
    hierarchy,
    model::{Snooze, Ticket},
};

/// Where a ticket stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// Its status.
    pub status: Status,
    /// What that is more closely; empty for none.
    pub substatus: String,
    /// Until when it sleeps.
    pub snooze: Option<Snooze>,
    /// When it closes by itself.
    pub close_at: Option<Timestamp>,
    /// Since when it is over.
    pub resolved_at: Option<Timestamp>,
}

impl Stand {
    /// Of a ticket as it is.
    pub fn of(ticket: &Ticket) -> Self {
        Self {
            status: ticket.status,
            substatus: ticket.held_substatus().to_owned(),
            snooze: ticket.sleeps(),
            close_at: ticket.close_at,
            resolved_at: ticket.resolved_at,
        }
    }

    /// Sub-status and snooze as events tell that they end with a merge, or hold again after it.
    pub(crate) fn changes(&self, ends: bool) -> Vec<proto::FieldChange> {
        let told = |field: &str, value: &str| {
            let (from, to) = if ends { (value, "") } else { ("", value) };
            change(field, &from, &to)
        };
        let mut changes = Vec::new();
        if !self.substatus.is_empty() {
            changes.push(told("substatus", &self.substatus));
        }
        if self.snooze.is_some() {
            changes.push(told("snooze", &snooze_text(self.snooze)));
        }
        changes
    }

    /// Puts a ticket in memory there. Since when it is over is [`resolved`]'s.
    pub(crate) fn give_back(&self, ticket: &mut Ticket) {
        ticket.status = self.status;
        ticket.substatus =
            (!self.substatus.is_empty()).then(|| (self.status, self.substatus.clone()));
        ticket.snooze = self.snooze;
        ticket.close_at = self.close_at;
    }
}

/// Notes on a ticket that was written as resolved since when it is: as it was before.
pub(crate) async fn resolved(
    tx: &mut PgConnection,
    ticket: Uuid,
    stand: &Stand,
) -> Result<(), TicketError> {
    if let (Status::Resolved, Some(at)) = (stand.status, stand.resolved_at) {
        sqlx::query("UPDATE tickets.ticket SET resolved_at = $2 WHERE id = $1")
            .bind(ticket)
            .bind(at.to_sqlx())
            .execute(tx)
            .await?;
    }
    Ok(())
}

/// Fields whose change says that somebody decided where a ticket stands.
const DECIDED: [&str; 3] = ["status", "substatus", "snooze"];

/// A merge as it stands in its table.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: Uuid,
    pub(crate) participants: Vec<String>,
    source_status: String,
    source_substatus: String,
    source_snoozed: bool,
    source_wake_at: Option<SqlTimestamp>,
    source_close_at: Option<SqlTimestamp>,
    target_status: Option<String>,
    target_left: Option<String>,
    target_substatus: String,
    target_snoozed: bool,
    target_wake_at: Option<SqlTimestamp>,
    target_close_at: Option<SqlTimestamp>,
    target_resolved_at: Option<SqlTimestamp>,
    pub(crate) base: Option<i64>,
}
solmu_db::from_row!(Kept {
    id,
    participants,
    source_status,
    source_substatus,
    source_snoozed,
    source_wake_at,
    source_close_at,
    target_status,
    target_left,
    target_substatus,
    target_snoozed,
    target_wake_at,
    target_close_at,
    target_resolved_at,
    base
});

/// What [`Kept`] reads.
pub(crate) const COLUMNS: &str = "id, participants, source_status, source_substatus, source_snoozed, source_wake_at, \
    source_close_at, target_status, target_left, target_substatus, target_snoozed, target_wake_at, target_close_at, \
    target_resolved_at, base";

fn jiff(at: Option<SqlTimestamp>) -> Option<Timestamp> {
    at.map(SqlTimestamp::to_jiff)
}

impl Kept {
    /// Where the source stood.
    pub(crate) fn source(&self) -> Result<Stand, TicketError> {
        Ok(Stand {
            status: self.source_status.parse()?,
            substatus: self.source_substatus.clone(),
            snooze: self
                .source_snoozed
                .then(|| Snooze(jiff(self.source_wake_at))),
            close_at: jiff(self.source_close_at),
            // The ticket itself knows: it was over all the time.
            resolved_at: None,
        })
    }

    /// Where the target stood, if the merge moved it and it is still where it was moved to.
    fn target(&self, target: &Ticket) -> Result<Option<Stand>, TicketError> {
        let (Some(status), Some(left)) = (&self.target_status, &self.target_left) else {
            return Ok(None);
        };
        if target.status != left.parse()? || !target.held_substatus().is_empty() {
            return Ok(None);
        }
        Ok(Some(Stand {
            status: status.parse()?,
            substatus: self.target_substatus.clone(),
            snooze: self
                .target_snoozed
                .then(|| Snooze(jiff(self.target_wake_at))),
            close_at: jiff(self.target_close_at),
            resolved_at: jiff(self.target_resolved_at),
        }))
    }

    /// Where the target goes back to, now that the messages of this merge have gone home; none: it stays where it is.
    pub(crate) async fn for_target(
        &self,
        tx: &mut PgConnection,
        source: Uuid,
        target: &Ticket,
    ) -> Result<Option<Stand>, TicketError> {
        let (Some(stand), Some(base)) = (self.target(target)?, self.base) else {
            return Ok(None);
        };
        if activity::changed_since_merge(tx, target.id, source, &DECIDED).await? {
            return Ok(None);
        }
        let came: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM tickets.message WHERE ticket_id = $1 AND sequence > $2 AND NOT EXISTS (
                SELECT 1 FROM tickets.merged_message AS moved
                JOIN tickets.ticket_merge AS merge ON merge.id = moved.merge_id AND merge.unmerged_at IS NULL
                WHERE moved.message_id = message.id AND merge.target_id = $1))",
        )
        .bind(target.id)
        .bind(base)
        .fetch_one(&mut *tx)
        .await?;
        let open_parts = !stand.status.is_open()
            && !hierarchy::children(tx, &[target.id], false, 1)
                .await?
                .is_empty();
        if came || open_parts || self.hand_on(tx, target).await? {
            return Ok(None);
        }
        Ok(Some(stand))
    }

    /// Hands what is to be given back to another merge into the target that stands and that would have moved it, too.
    async fn hand_on(&self, tx: &mut PgConnection, target: &Ticket) -> Result<bool, TicketError> {
        let over = self.target_status.as_deref() == Some(Status::Resolved.name());
        let done = sqlx::query(
            "UPDATE tickets.ticket_merge AS later SET target_status = kept.target_status, target_left = kept.target_left,
                target_substatus = kept.target_substatus, target_snoozed = kept.target_snoozed,
                target_wake_at = kept.target_wake_at, target_close_at = kept.target_close_at,
                target_resolved_at = kept.target_resolved_at
             FROM tickets.ticket_merge AS kept
             WHERE kept.id = $1 AND later.id = (
                SELECT id FROM tickets.ticket_merge WHERE target_id = $2 AND unmerged_at IS NULL AND id <> $1
                    AND base >= $3 AND target_status IS NULL
                    AND (source_status IN ('new', 'customer_replied')
                        OR ($4 AND source_status NOT IN ('resolved', 'closed')))
                ORDER BY base, id LIMIT 1)",
        )
        .bind(self.id)
        .bind(target.id)
        .bind(self.base)
        .bind(over)
        .execute(tx)
        .await?;
        Ok(done.rows_affected() > 0)
    }
}
