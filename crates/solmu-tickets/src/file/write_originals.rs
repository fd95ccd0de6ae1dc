//! Writes the bytes that messages came as, or where they are.

use solmu_proto::inbound::v1::raw_original::Place;
use sqlx::PgConnection;

use super::plan::Plan;
use crate::error::TicketError;

/// Of what is filed and of what waits, in one statement.
pub(crate) async fn write_originals(
    tx: &mut PgConnection,
    plan: &Plan<'_>,
) -> Result<(), TicketError> {
    let messages = plan
        .filed
        .iter()
        .map(|filed| (filed.names.id, filed.message))
        .chain(
            plan.quarantined
                .iter()
                .map(|waiting| (waiting.id, waiting.message)),
        );
    let (mut ids, mut types, mut sizes, mut hashes, mut keys, mut contents) = (
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::<Option<&str>>::new(),
        Vec::<Option<&[u8]>>::new(),
    );
    for (id, message) in messages {
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
    sqlx::query(
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
    .execute(tx)
    .await?;
    Ok(())
}
