//! The quarantine: what waits, and letting it in.

use std::sync::Arc;

use prost::Message as _;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::{inbound::v1::MessageReceived, ticket::v1 as proto};
use solmu_runtime::{ApiError, access::Caller};
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::{page, uuid};
use crate::{
    activity,
    calls::actor_of,
    context::Context,
    error::TicketError,
    events::EventSink,
    file::release_message,
    quarantine::{self, MAX_REASON},
};

struct Waiting {
    message_id: Uuid,
    channel: i16,
    account: String,
    sender: String,
    subject: String,
    cause_code: String,
    automatic_class: i16,
    quarantined_at: SqlTimestamp,
    rejected_at: Option<SqlTimestamp>,
    rejected_by: String,
    reject_reason: String,
}
solmu_db::from_row!(Waiting {
    message_id,
    channel,
    account,
    sender,
    subject,
    cause_code,
    automatic_class,
    quarantined_at,
    rejected_at,
    rejected_by,
    reject_reason
});

const COLUMNS: &str = "message_id, channel, account, sender, subject, cause_code, automatic_class, quarantined_at, \
    rejected_at, rejected_by, reject_reason";

impl Waiting {
    fn view(self, team_id: &str) -> proto::QuarantinedMessage {
        let time = |at: SqlTimestamp| solmu_bus::envelope::to_proto_time(at.to_jiff());
        proto::QuarantinedMessage {
            message_id: self.message_id.to_string(),
            channel: self.channel.into(),
            account: self.account,
            sender: self.sender,
            subject: self.subject,
            cause_code: self.cause_code,
            quarantine_time: Some(time(self.quarantined_at)),
            automatic_class: self.automatic_class.into(),
            team_id: team_id.to_owned(),
            reject_time: self.rejected_at.map(time),
            rejected_by: self.rejected_by,
            reject_reason: self.reject_reason,
        }
    }
}

/// Whether the quarantine is none of the caller's business: it is its team's, if agents are bound to their teams.
fn is_hidden(context: &Context, caller: &Caller) -> bool {
    let team = context.config.quarantine.team_id.parse().ok();
    caller.visibility().excludes_team(team)
}

/// PERMISSION_DENIED for who may not look after the quarantine: what they block would wait there.
pub(super) fn check_keeper(context: &Context, caller: &Caller) -> Result<(), ApiError> {
    if is_hidden(context, caller) {
        return Err(ApiError::PermissionDenied {
            reason: "QUARANTINE_TEAM",
            message: "only the team that looks after the quarantine may do this".to_owned(),
        });
    }
    Ok(())
}

/// The message that a caller names, unless they do not see what waits.
fn named(context: &Context, caller: &Caller, message: &str) -> Result<Uuid, ApiError> {
    if is_hidden(context, caller) {
        return Err(ApiError::not_found("quarantined message", message));
    }
    uuid("message_id", message)
}

/// A page of what waits, or of what was rejected, oldest first.
pub(crate) async fn list(
    context: &Context,
    caller: &Caller,
    request: &proto::ListQuarantineRequest,
) -> Result<proto::ListQuarantineResponse, ApiError> {
    let size = page::size(request.page_size, 50, context.config.max_page_size)?;
    if is_hidden(context, caller) {
        return Ok(proto::ListQuarantineResponse::default());
    }
    let (kind, rejected) = if request.rejected {
        ("rejected", "rejected_at IS NOT NULL")
    } else {
        ("quarantine", "rejected_at IS NULL")
    };
    let (at, id): (i64, Uuid) =
        page::decode(kind, &request.page_token)?.unwrap_or((i64::MIN, Uuid::nil()));
    let at = jiff::Timestamp::from_microsecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let sql = format!(
        "SELECT {COLUMNS} FROM tickets.quarantine
         WHERE released_at IS NULL AND {rejected} AND (quarantined_at, message_id) > ($1, $2)
         ORDER BY quarantined_at, message_id LIMIT $3"
    );
    let mut rows: Vec<Waiting> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(at.to_sqlx())
        .bind(id)
        .bind(size + 1)
        .fetch_all(context.db.pool())
        .await
        .map_err(solmu_db::DbError::from)?;
    let more = page::cut(&mut rows, size);
    let next_page_token = match rows.last().filter(|_| more) {
        Some(last) => page::encode(
            kind,
            (
                last.quarantined_at.to_jiff().as_microsecond(),
                last.message_id,
            ),
        ),
        None => String::new(),
    };
    let team_id = &context.config.quarantine.team_id;
    let messages = rows.into_iter().map(|row| row.view(team_id));
    Ok(proto::ListQuarantineResponse {
        messages: messages.collect(),
        next_page_token,
    })
}

/// Rejects a waiting message; returns what is known of it.
pub(crate) async fn reject(
    context: &Context,
    caller: &Caller,
    request: &proto::RejectQuarantinedRequest,
) -> Result<proto::QuarantinedMessage, ApiError> {
    let id = named(context, caller, &request.message_id)?;
    if request.reason.len() > MAX_REASON {
        return Err(ApiError::invalid(
            "reason",
            format!("longer than {MAX_REASON} bytes"),
        ));
    }
    quarantine::reject(context, id, &request.reason, &actor_of(caller).id).await?;
    let sql = format!("SELECT {COLUMNS} FROM tickets.quarantine WHERE message_id = $1");
    let row: Option<Waiting> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(context.db.pool())
        .await
        .map_err(solmu_db::DbError::from)?;
    row.map(|row| row.view(&context.config.quarantine.team_id))
        .ok_or_else(|| ApiError::not_found("quarantined message", &id))
}

/// Files a waiting message that a caller names; returns the ticket's id.
pub(crate) async fn release_by(
    context: &Arc<Context>,
    caller: &Caller,
    message: &str,
) -> Result<Uuid, ApiError> {
    let message = named(context, caller, message)?;
    Ok(release(context, message).await?)
}

/// Files a waiting message as a ticket after all, also one that was rejected; returns the ticket's id. Once.
pub(crate) async fn release(context: &Arc<Context>, message: Uuid) -> Result<Uuid, TicketError> {
    let (ticket, tally) = context
        .db
        .tx("ticket.release_quarantined", |tx| {
            let context = context.clone();
            Box::pin(async move {
                let now = context.clock.now();
                let stored: Option<Vec<u8>> = sqlx::query_scalar(
                    "UPDATE tickets.quarantine SET released_at = $2, sweep_at = NULL
                     WHERE message_id = $1 AND released_at IS NULL RETURNING message",
                )
                .bind(message)
                .bind(now.to_sqlx())
                .fetch_optional(&mut *tx)
                .await?;
                let stored =
                    stored.ok_or_else(|| TicketError::NotQuarantined(message.to_string()))?;
                let original = MessageReceived::decode(stored.as_slice())
                    .map_err(|_| TicketError::BadEvent("message"))?;
                let mut events = EventSink::new(
                    &context.bus,
                    context.clock.as_ref(),
                    context.rng.as_ref(),
                    now,
                );
                let filed = release_message(
                    tx,
                    &context,
                    &original,
                    TraceContext::current(),
                    &mut events,
                    now,
                )
                .await?;
                activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
                Ok::<_, TicketError>(filed)
            })
        })
        .await?;
    context.metrics.record(&tally);
    Ok(ticket)
}
