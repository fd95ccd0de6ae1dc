//! Writes the bytes that messages came as, or where they are.

use solmu_proto::inbound::v1::{MessageReceived, raw_original::Place};
use sqlx::PgConnection;
use uuid::Uuid;

use super::work::Quarantined;
use crate::error::TicketError;

/// Of what is filed and of what waits, in one statement.
///
/// Two replicas that take different mails under one Message-ID meet here, if not before: when one files its mail and the
/// other lets its own wait, they write to different tables. Then this one is decided again, and finds the other.
pub(crate) async fn write_originals<'a>(
    tx: &mut PgConnection,
    filed: impl Iterator<Item = (Uuid, &'a MessageReceived)> + Clone,
    waiting: &'a [Quarantined<'a>],
) -> Result<(), TicketError> {
    let quarantined = waiting.iter().map(|it| (it.id, it.message));
    let (mut ids, mut types, mut sizes, mut hashes, mut keys, mut contents) = (
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::<Option<&str>>::new(),
        Vec::<Option<&[u8]>>::new(),
    );
    for (id, message) in filed.clone().chain(quarantined) {
        let Some(raw) = &message.raw else { continue };
        ids.push(id);
        types.push(raw.content_type.as_str());
        sizes.push(raw.size_bytes);
        hashes.push(raw.sha256.as_str());
        keys.push(match &raw.place {
            Some(Place::ObjectKey(key)) => Some(key),
            _ => None,
        });
        contents.push(match &raw.place {
            Some(Place::Inline(bytes)) => Some(bytes),
            _ => None,
        });
    }
    if ids.is_empty() {
        return Ok(());
    }
    let wanted = ids.len() as u64;
    let done = sqlx::query(
        "INSERT INTO tickets.raw_original (message_id, content_type, size_bytes, sha256, object_key, content)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bytea[])
         ON CONFLICT (message_id) DO NOTHING",
    )
    .bind(ids)
    .bind(types)
    .bind(sizes)
    .bind(hashes)
    .bind(keys)
    .bind(contents)
    .execute(&mut *tx)
    .await?;
    // What waited and is filed now has its original already: that is none.
    if done.rows_affected() == wanted {
        return Ok(());
    }
    let other: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tickets.message WHERE id = ANY($1))
            OR EXISTS (SELECT 1 FROM tickets.quarantine WHERE message_id = ANY($2) AND released_at IS NULL)",
    )
    .bind(waiting.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind(filed.map(|(id, _)| id).collect::<Vec<_>>())
    .fetch_one(tx)
    .await?;
    if other {
        return Err(TicketError::race());
    }
    Ok(())
}
