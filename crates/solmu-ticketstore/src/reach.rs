//! Which addresses take no mail.
//!
//! A refusal for good marks an address at once, failures for the time being mark it when several messages met them
//! within days. Answers to a marked address fail before anybody waits for them; a delivery takes the mark away, and who
//! wrote from there since is answered. Only the address that the message went to is ever marked: who holds one mail of ours could name any other in a report.

use jiff::{SignedDuration, Timestamp};
use solmu_bus::envelope::from_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::contact::EmailAddress;
use solmu_proto::{
    inbound::v1::DeliveryReported,
    types::v1::{DeliveryState, Identity, IdentityKind},
};
use sqlx::PgConnection;

use crate::{config::Bounces, error::TicketError, model::small};

/// A full mailbox by its status (RFC 3463) or its reply code alone (RFC 5321): permanent by the first digit, and yet it
/// passes.
const MAILBOX_FULL: [&str; 2] = ["5.2.2", "552"];

/// What a report says about the address that a message went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It takes no mail.
    Gone,
    /// It took this one not.
    Soft,
    /// It took this one.
    Works,
    /// Nothing.
    Nothing,
}

/// Reads a report on a message to `address`.
pub fn finding(report: &DeliveryReported, address: &str) -> Finding {
    let other = !report.address.is_empty() && report.address != address;
    let soft = is_soft(&report.error_code);
    match report.state() {
        _ if other => Finding::Nothing,
        DeliveryState::Failed if report.address_invalid => Finding::Gone,
        DeliveryState::Failed if soft => Finding::Soft,
        DeliveryState::Delivered | DeliveryState::Read => Finding::Works,
        _ => Finding::Nothing,
    }
}

/// Whether a code says that it may work later. Of a reply code with a status (`552 5.2.2`) the status counts: it says
/// more (RFC 3463 section 1).
fn is_soft(code: &str) -> bool {
    let status = code.rsplit(' ').next().unwrap_or_default();
    status.starts_with('4') || MAILBOX_FULL.contains(&status)
}

/// An address as identities keep it.
pub fn normalised(raw: &str) -> Option<String> {
    let address = EmailAddress::parse(raw).ok()?;
    Some(address.as_str().to_owned())
}

/// Marks the address, or takes the mark away. `is_news` says that the report moves its message on: failures of
/// different messages are counted, and several servers may report one of them.
pub async fn note(
    tx: &mut PgConnection,
    config: &Bounces,
    (address, is_news): (&str, bool),
    report: &DeliveryReported,
    cause: &str,
    now: Timestamp,
) -> Result<(), TicketError> {
    let since = now
        .saturating_sub(SignedDuration::from_hours(24 * i64::from(config.soft_days)))
        .unwrap_or(Timestamp::MIN);
    let query = match finding(report, address) {
        Finding::Nothing => return Ok(()),
        Finding::Soft if !is_news => return Ok(()),
        Finding::Gone => sqlx::query(
            "UPDATE tickets.identity SET undeliverable_at = $3, undeliverable_cause = $4
             WHERE kind = $1 AND value = $2",
        )
        .bind(small(IdentityKind::Email.into()))
        .bind(address)
        .bind(now.to_sqlx())
        .bind(cause),
        Finding::Soft => sqlx::query(
            "UPDATE tickets.identity AS identity SET soft_failures = failed.times,
                undeliverable_cause = CASE WHEN cardinality(failed.times) >= $6 THEN $4 ELSE undeliverable_cause END,
                undeliverable_at = CASE WHEN cardinality(failed.times) >= $6 THEN $3
                    ELSE undeliverable_at END
             FROM (SELECT kind, scope, value,
                    array_append(ARRAY(SELECT at FROM unnest(soft_failures) AS at WHERE at > $5), $3) AS times
                FROM tickets.identity WHERE kind = $1 AND value = $2 FOR UPDATE) AS failed
             WHERE identity.kind = failed.kind AND identity.scope = failed.scope AND identity.value = failed.value",
        )
        .bind(small(IdentityKind::Email.into()))
        .bind(address)
        .bind(now.to_sqlx())
        .bind(cause)
        .bind(since.to_sqlx())
        .bind(i32::try_from(config.soft_failures.max(1)).unwrap_or(i32::MAX)),
        // A late report on an earlier message says nothing about what came after it.
        Finding::Works => sqlx::query(
            "UPDATE tickets.identity SET undeliverable_at = NULL, undeliverable_cause = '', soft_failures = '{}'
             WHERE kind = $1 AND value = $2 AND coalesce(undeliverable_at, soft_failures[cardinality(soft_failures)]) <= $3",
        )
        .bind(small(IdentityKind::Email.into()))
        .bind(address)
        .bind(report.report_time.as_ref().map_or(now, from_proto_time).to_sqlx()),
    };
    query.execute(tx).await?;
    Ok(())
}

/// Whether mail can be sent to `recipient`: [`TicketError::Undeliverable`] if it came back and nobody wrote from there
/// since (`wrote`).
pub async fn check(
    tx: &mut PgConnection,
    recipient: &Identity,
    wrote: SqlTimestamp,
) -> Result<(), TicketError> {
    if recipient.kind() != IdentityKind::Email {
        return Ok(());
    }
    let marked: Option<(SqlTimestamp, String)> = sqlx::query_as(
        "SELECT undeliverable_at, undeliverable_cause FROM tickets.identity
         WHERE kind = $1 AND value = $2 AND undeliverable_at >= $3 ORDER BY scope LIMIT 1",
    )
    .bind(small(recipient.kind))
    .bind(&recipient.value)
    .bind(wrote)
    .fetch_optional(tx)
    .await?;
    match marked {
        None => Ok(()),
        Some((since, cause)) => Err(TicketError::Undeliverable {
            address: recipient.value.clone(),
            since: since.to_jiff(),
            cause,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_that_it_went_to_is_judged() {
        let report = |code: &str, invalid, address: &str| DeliveryReported {
            state: DeliveryState::Failed.into(),
            error_code: code.to_owned(),
            address_invalid: invalid,
            address: address.to_owned(),
            ..DeliveryReported::default()
        };
        let judge = |report: &DeliveryReported| finding(report, "a@x.fi");
        assert_eq!(judge(&report("5.1.1", true, "")), Finding::Gone);
        assert_eq!(judge(&report("5.1.1", true, "a@x.fi")), Finding::Gone);
        assert_eq!(judge(&report("5.1.1", true, "b@x.fi")), Finding::Nothing);
        assert_eq!(judge(&report("5.2.2", false, "")), Finding::Soft);
        assert_eq!(judge(&report("552 5.2.2", false, "")), Finding::Soft);
        assert_eq!(judge(&report("552", false, "")), Finding::Soft);
        assert_eq!(judge(&report("452 4.2.2", false, "")), Finding::Soft);
        assert_eq!(judge(&report("552 5.3.4", false, "")), Finding::Nothing);
        assert_eq!(judge(&report("4.4.1", false, "")), Finding::Soft);
        assert_eq!(judge(&report("5.7.1", false, "")), Finding::Nothing);
        let works = DeliveryReported {
            state: DeliveryState::Delivered.into(),
            ..DeliveryReported::default()
        };
        assert_eq!(judge(&works), Finding::Works);
        assert_eq!(normalised("<A@X.fi>").as_deref(), Some("a@x.fi"));
    }
}
