//! What requesters write: it goes into the bus as every inbound message does, and is filed from there.
//!
//! A call is answered when the message is on disk. Filing it at once, in the call, was rejected: it would need the lease
//! of its partition, and a second way in is a second set of rules.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use solmu_connector::{IntakeError, channel_name, object_store::ObjectRef};
use solmu_db::{DbError, ToSqlx as _};
use solmu_domain::ids::MessageId;
use solmu_proto::{
    inbound::v1::{
        Authenticity, ContentKind, MessageReceived, RawOriginal, Threading, authenticity::Verdict,
        raw_original::Place,
    },
    types::v1::{AutomaticClass, Channel},
};
use solmu_runtime::{ApiError, api_error::Violation};
use solmu_tickets::TicketError;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    find::{self, Ticket},
    service::Portal,
    who::Who,
};

/// Longest text, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// Longest subject, in bytes.
const MAX_SUBJECT: usize = 1_000;
/// How long requests are remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Old requests that a new one forgets.
const FORGET: i64 = 100;
/// Between two looks whether a message is filed.
const LOOK: Duration = Duration::from_millis(25);

/// Something that a requester writes.
#[derive(Debug)]
pub(crate) struct Writing {
    /// Of the request id.
    pub(crate) request: Uuid,
    /// Of what was asked under it.
    pub(crate) digest: Vec<u8>,
    pub(crate) subject: String,
    pub(crate) text: String,
    /// The ticket that it is written on.
    pub(crate) ticket: Option<Uuid>,
}

/// A subject, checked.
pub(crate) fn subject(text: &str) -> Result<String, Violation> {
    let subject = text.trim();
    if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.contains(char::is_control) {
        let why = format!("1 to {MAX_SUBJECT} bytes on one line");
        return Err(Violation::new("subject", why));
    }
    Ok(subject.to_owned())
}

/// A text, checked.
pub(crate) fn text(text: &str) -> Result<String, Violation> {
    let text = text.replace('\0', "");
    if text.trim().is_empty() || text.len() > MAX_TEXT {
        let why = format!("1 to {MAX_TEXT} bytes, not all of them blank");
        return Err(Violation::new("text", why));
    }
    Ok(text)
}

impl Portal {
    /// Takes a message in; returns its id, and the ticket that it is on if it was filed in time and is shown to them.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        who: &Who,
        writing: Writing,
    ) -> Result<(Uuid, Option<Ticket>), ApiError> {
        let (key, request, digest) = (who.key, writing.request, writing.digest.clone());
        self.db
            .tx("requester.claim", |tx| {
                let (portal, digest) = (Arc::clone(self), digest.clone());
                Box::pin(async move { portal.claim(tx, key, request, &digest).await })
            })
            .await?;
        let message = self.message(who, writing);
        let external_id = message.external_id.as_str();
        let channel = channel_name(Channel::Form);
        let id = MessageId::of_inbound(channel, &self.config.account, external_id).as_uuid();
        self.intake
            .accept(message)
            .await
            .map_err(|error| match error {
                IntakeError::Unavailable => ApiError::Unavailable(error.into()),
                IntakeError::TooLarge => ApiError::invalid("text", "it is too long"),
            })?;
        Ok((id, self.filed(who, id).await?))
    }

    /// Notes a request of the requester with this key that is new and may be made; does nothing for one that was made before.
    pub(crate) async fn claim(
        &self,
        tx: &mut PgConnection,
        key: Uuid,
        request: Uuid,
        digest: &[u8],
    ) -> Result<(), ApiError> {
        let now = self.clock.now();
        let new = claim(tx, request, digest, now)
            .await
            .map_err(DbError::from)?;
        if !new {
            return known(tx, request, digest).await;
        }
        // Refused, it rolls back: the request was not made.
        self.writes
            .check(&key)
            .map_err(|wait| ApiError::ResourceExhausted {
                reason: "TOO_MANY_WRITES",
                message: "this requester writes too much: try again later".to_owned(),
                retry_after: wait,
            })
    }

    fn message(&self, who: &Who, writing: Writing) -> MessageReceived {
        let external_id = writing.request.to_string();
        let original = writing.text.clone().into_bytes();
        let object = ObjectRef::of(&original);
        let threading = writing.ticket.map(|ticket| Threading {
            signed_ticket_ids: vec![ticket.to_string()],
            ..Threading::default()
        });
        MessageReceived {
            channel: Channel::Form.into(),
            account: self.config.account.clone(),
            // What is written on one ticket keeps its order.
            conversation_key: writing
                .ticket
                .map_or_else(|| external_id.clone(), |ticket| ticket.to_string()),
            external_id,
            sender: Some(who.sender.clone()),
            language: solmu_text::language(&writing.text)
                .unwrap_or_default()
                .to_owned(),
            subject: writing.subject,
            text: writing.text,
            authenticity: Some(Authenticity {
                verdict: Verdict::Verified.into(),
                method: "portal".to_owned(),
                ..Authenticity::default()
            }),
            automatic_class: AutomaticClass::Human.into(),
            threading,
            raw: Some(RawOriginal {
                content_type: "text/plain; charset=utf-8".to_owned(),
                size_bytes: i64::try_from(object.size).unwrap_or(i64::MAX),
                sha256: object.sha256,
                place: Some(Place::Inline(original)),
            }),
            notices: vec![format!(
                "written in a portal, which vouches for the sender (token {}, {})",
                who.token, who.method
            )],
            content_kind: ContentKind::Message.into(),
            ..MessageReceived::default()
        }
    }

    /// Waits a moment for a message to be filed.
    async fn filed(&self, who: &Who, message: Uuid) -> Result<Option<Ticket>, ApiError> {
        let filing = async {
            loop {
                let mut connection = self.connection().await?;
                if let Some(ticket) = find::ticket_of(&mut connection, message).await? {
                    return Ok::<Uuid, ApiError>(ticket);
                }
                drop(connection);
                tokio::time::sleep(LOOK).await;
            }
        };
        let wait = Duration::from_millis(self.config.filing_wait_ms);
        let Ok(ticket) = tokio::time::timeout(wait, filing).await else {
            return Ok(None);
        };
        let ticket = ticket?;
        let mut connection = self.connection().await?;
        let reached = self.reach(&mut connection, who).await?;
        Ok(find::ticket(&mut connection, &reached, ticket).await?)
    }
}

/// Notes a request; says whether it is new. Who makes the same at the same time waits here.
async fn claim(
    tx: &mut PgConnection,
    request: Uuid,
    digest: &[u8],
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query(
        "INSERT INTO tickets.requester_request (id, digest, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(request)
    .bind(digest)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    if noted.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "DELETE FROM tickets.requester_request WHERE id IN (SELECT id FROM tickets.requester_request
            WHERE created_at < $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(now.saturating_sub(REMEMBERED).unwrap_or(Timestamp::MIN).to_sqlx())
    .bind(FORGET)
    .execute(tx)
    .await?;
    Ok(true)
}

/// Whether a known request asked for the same.
async fn known(tx: &mut PgConnection, request: Uuid, digest: &[u8]) -> Result<(), ApiError> {
    let same: bool =
        sqlx::query_scalar("SELECT digest = $2 FROM tickets.requester_request WHERE id = $1")
            .bind(request)
            .bind(digest)
            .fetch_one(tx)
            .await
            .map_err(DbError::from)?;
    if same {
        return Ok(());
    }
    Err(TicketError::refused(
        "REQUEST_ID_REUSED",
        "the request id was used for something else: take a new one",
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept() {
        assert_eq!(subject(" Order ").unwrap(), "Order");
        assert_eq!(text("a\0b").unwrap(), "ab");
        for bad in ["", "  ", "a\nb", &"x".repeat(MAX_SUBJECT + 1)] {
            assert!(subject(bad).is_err());
        }
        for bad in ["", " \n", &"x".repeat(MAX_TEXT + 1)] {
            assert!(text(bad).is_err());
        }
        assert!(text(&"x".repeat(MAX_TEXT)).is_ok());
    }
}
