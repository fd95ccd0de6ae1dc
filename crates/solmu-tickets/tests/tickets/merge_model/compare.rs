//! What is stored beside what the model says: each place in which they differ.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use solmu_db::SqlTimestamp;
use solmu_proto::ticket::v1::{
    Activity, ListActivitiesRequest, VerifyActivityRequest, activity::Kind,
};
use uuid::Uuid;

use super::{model::Row, play::Play};

/// Fields whose changes the log tells in full.
const LOGGED: [&str; 2] = ["status", "merged_into"];

struct Stored {
    id: Uuid,
    status: String,
    substatus: String,
    snoozed: bool,
    wake_at: Option<SqlTimestamp>,
    close_at: Option<SqlTimestamp>,
    resolved_at: Option<SqlTimestamp>,
    closed_at: Option<SqlTimestamp>,
    merged_into: Option<Uuid>,
    restricted: bool,
    told_restricted: bool,
    contact_id: Uuid,
    message_count: i64,
    moved_away: i64,
    people: Vec<String>,
}
solmu_db::from_row!(Stored {
    id,
    status,
    substatus,
    snoozed,
    wake_at,
    close_at,
    resolved_at,
    closed_at,
    merged_into,
    restricted,
    told_restricted,
    contact_id,
    message_count,
    moved_away,
    people
});

fn jiff(at: Option<SqlTimestamp>) -> Option<Timestamp> {
    at.map(SqlTimestamp::to_jiff)
}

impl Play<'_> {
    /// Looks at every ticket and message of this sequence.
    pub(super) async fn compare(&self) -> Result<(), String> {
        let tickets: Vec<Stored> = sqlx::query_as(
            "SELECT id, status, substatus, snoozed, wake_at, close_at, resolved_at, closed_at, merged_into,
                restricted_to IS NOT NULL AS restricted,
                EXISTS (SELECT 1 FROM access.restriction WHERE ticket_id = ticket.id) AS told_restricted,
                contact_id, message_count, moved_away,
                ARRAY(SELECT address FROM tickets.participant WHERE ticket_id = ticket.id) AS people
             FROM tickets.ticket WHERE id = ANY($1)",
        )
        .bind(&self.tickets)
        .fetch_all(self.api.world.pool())
        .await
        .unwrap();
        let messages: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
            "SELECT id, ticket_id, sequence FROM tickets.message WHERE ticket_id = ANY($1) ORDER BY sequence",
        )
        .bind(&self.tickets)
        .fetch_all(self.api.world.pool())
        .await
        .unwrap();
        let mut wrong = Vec::new();
        for row in tickets {
            let Some(ticket) = self.tickets.iter().position(|id| *id == row.id) else {
                continue;
            };
            if row.restricted != row.told_restricted {
                wrong.push(format!(
                    "ticket {ticket}: other services are told otherwise"
                ));
            }
            let there = messages.iter().filter(|(_, on, _)| *on == row.id);
            let there = there.map(|(id, _, sequence)| (self.place_of(*id), *sequence));
            let there = there.collect();
            let (found, wanted) = (self.row_of(row, there), self.model.row(ticket));
            if found != wanted {
                wrong.push(format!(
                    "ticket {ticket}\n  is   {found:?}\n  not  {wanted:?}"
                ));
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }

    fn place_of(&self, message: Uuid) -> usize {
        let place = self.messages.iter().position(|id| *id == message);
        place.unwrap_or(usize::MAX)
    }

    fn row_of(&self, row: Stored, messages: Vec<(usize, i64)>) -> Row {
        let place = |id: Uuid| self.tickets.iter().position(|it| *it == id);
        let people: BTreeMap<Uuid, usize> = self
            .contacts
            .iter()
            .map(|(person, contact)| (*contact, *person))
            .collect();
        Row {
            status: row.status,
            substatus: row.substatus,
            snooze: row.snoozed.then(|| jiff(row.wake_at).into()),
            close_at: jiff(row.close_at),
            resolved_at: jiff(row.resolved_at),
            closed_at: jiff(row.closed_at),
            merged_into: row.merged_into.map(|id| place(id).unwrap_or(usize::MAX)),
            restricted: row.restricted,
            person: people.get(&row.contact_id).copied().unwrap_or(usize::MAX),
            last: row.message_count,
            count: usize::try_from(row.message_count - row.moved_away).unwrap_or(usize::MAX),
            messages,
            people: row.people.into_iter().collect::<BTreeSet<String>>(),
        }
    }

    /// The log of every ticket is whole, and what it tells ends where the ticket stands.
    pub(super) async fn compare_logs(&self) -> Result<(), String> {
        for (ticket, id) in self.tickets.iter().enumerate() {
            let request = VerifyActivityRequest {
                ticket_id: id.to_string(),
                ..VerifyActivityRequest::default()
            };
            let call = self.api.admin(request);
            let verdict = self.api.activity().verify_activity(call).await;
            let verdict = verdict.map_err(|status| status.to_string())?.into_inner();
            if !verdict.intact {
                return Err(format!("the log of ticket {ticket}: {verdict:?}"));
            }
            let request = ListActivitiesRequest {
                ticket_id: id.to_string(),
                page_size: 500,
                ..ListActivitiesRequest::default()
            };
            let call = self.api.admin(request);
            let entries = self.api.activity().list_activities(call).await;
            let entries = entries.map_err(|status| status.to_string())?.into_inner();
            self.check_log(ticket, &entries.activities)?;
        }
        Ok(())
    }

    /// Each change goes on from the one before it.
    fn check_log(&self, ticket: usize, entries: &[Activity]) -> Result<(), String> {
        if entries.first().map(Activity::kind) != Some(Kind::Opened) {
            return Err(format!(
                "the log of ticket {ticket} begins without its opening"
            ));
        }
        let wanted = self.model.row(ticket);
        let part_of = wanted.merged_into.map(|it| self.tickets[it].to_string());
        for field in LOGGED {
            let changes = entries.iter().flat_map(|entry| &entry.changes);
            let mut stands = String::new();
            for change in changes.filter(|change| change.field == field) {
                if change.from != stands {
                    let told = (&change.from, &change.to);
                    return Err(format!(
                        "the log of ticket {ticket}: {field} {told:?} after '{stands}'"
                    ));
                }
                stands.clone_from(&change.to);
            }
            let is = if field == "status" {
                wanted.status.clone()
            } else {
                part_of.clone().unwrap_or_default()
            };
            if stands != is {
                return Err(format!(
                    "the log of ticket {ticket}: {field} '{stands}' instead of '{is}'"
                ));
            }
        }
        Ok(())
    }
}
