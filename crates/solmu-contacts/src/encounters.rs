//! What a contact wrote, over all channels.

use solmu_bus::envelope::to_proto_time;
use solmu_db::SqlTimestamp;
use solmu_proto::contact::v1 as proto;
use solmu_runtime::access::Visibility;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{ContactError, read};

/// Characters of a text that are shown.
const SNIPPET: i32 = 200;

struct Row {
    id: Uuid,
    ticket_id: Uuid,
    number: i64,
    channel: i16,
    account: String,
    author_id: String,
    subject: String,
    snippet: String,
    address: String,
    created_at: SqlTimestamp,
}
solmu_db::from_row!(Row {
    id,
    ticket_id,
    number,
    channel,
    account,
    author_id,
    subject,
    snippet,
    address,
    created_at
});

/// The statement. Each contact of a person by the index of its own messages, so that the cost is that of a page,
/// whatever the person wrote. The contacts are read here and not bound: a plan for any list of them seems dear to the
/// planner, which would then make a plan for each call.
pub(crate) const STATEMENT: &str = "SELECT message.id, message.ticket_id, ticket.number, message.channel, \
        message.account, message.author_id, message.subject, left(message.body_text, $5) AS snippet, \
        message.address, message.created_at
     FROM tickets.contact AS named CROSS JOIN LATERAL (SELECT coalesce(named.root_id, named.id) AS id) AS root
     CROSS JOIN LATERAL (SELECT root.id UNION ALL
        SELECT merged.id FROM tickets.contact AS merged WHERE merged.root_id = root.id) AS author
     CROSS JOIN LATERAL (
        SELECT * FROM tickets.message AS own WHERE own.author_kind = 1 AND own.author_id = author.id::text
            AND (own.created_at, own.id) < ($2, $3)
            AND ($6::uuid[] IS NULL OR EXISTS (SELECT 1 FROM tickets.ticket AS seen WHERE seen.id = own.ticket_id
                AND CASE WHEN seen.restricted_to IS NOT NULL THEN seen.restricted_to && $6
                    ELSE $7::uuid[] IS NULL OR seen.team_id = ANY($7) OR seen.assignee_id = $8 END))
        ORDER BY own.created_at DESC, own.id DESC LIMIT $4
     ) AS message JOIN tickets.ticket ON ticket.id = message.ticket_id
     WHERE named.id = $1 ORDER BY message.created_at DESC, message.id DESC LIMIT $4";

/// What the person behind `contact` wrote, newest first, after `after`; of it, what is on tickets that the caller sees.
pub(crate) async fn list(
    connection: &mut PgConnection,
    contact: Uuid,
    after: Option<(i64, Uuid)>,
    limit: i64,
    visibility: &Visibility,
) -> Result<Vec<proto::Encounter>, ContactError> {
    let (at, id) = after.unwrap_or((i64::MAX, Uuid::max()));
    let at = jiff::Timestamp::from_microsecond(at).unwrap_or(jiff::Timestamp::MAX);
    let sight = visibility.sight_binds();
    let rows: Vec<Row> = sqlx::query_as(STATEMENT)
        .bind(contact)
        .bind(solmu_db::ToSqlx::to_sqlx(at))
        .bind(id)
        .bind(limit)
        .bind(SNIPPET)
        .bind(sight.names)
        .bind(sight.teams)
        .bind(sight.agent)
        .fetch_all(&mut *connection)
        .await?;
    if rows.is_empty() {
        // Nothing, or nobody.
        read::root(connection, contact).await?;
    }
    let encounters = rows.into_iter().map(|row| proto::Encounter {
        message_id: row.id.to_string(),
        ticket_id: row.ticket_id.to_string(),
        ticket_number: row.number,
        channel: row.channel.into(),
        account: row.account,
        contact_id: row.author_id,
        subject: row.subject,
        snippet: row.snippet,
        address: row.address,
        create_time: Some(to_proto_time(row.created_at.to_jiff())),
    });
    Ok(encounters.collect())
}
