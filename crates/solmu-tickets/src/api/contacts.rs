//! `ContactService`: reading contacts.

use std::{collections::HashMap, sync::Arc};

use solmu_conditions::{Field, FieldType, Schema};
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::{
    contact::v1::{
        Contact, GetContactRequest, ListContactsRequest, ListContactsResponse,
        contact_service_server::ContactService,
    },
    types::v1::Identity,
};
use solmu_runtime::{
    ApiError,
    access::{Role, caller},
};
use sqlx::{PgPool, Postgres, QueryBuilder};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{list::filter_error, page};
use crate::context::Context;

/// The service.
pub(crate) struct Contacts {
    pub(crate) context: Arc<Context>,
}

#[tonic::async_trait]
impl ContactService for Contacts {
    async fn get_contact(
        &self,
        request: Request<GetContactRequest>,
    ) -> Result<Response<Contact>, Status> {
        caller(&request)?.require(&[Role::Admin, Role::Agent, Role::Service])?;
        let id = super::uuid("id", &request.get_ref().id)?;
        let mut query = select();
        query.push(" WHERE contact.id = ").push_bind(id);
        let contact = fetch(self.context.db.pool(), query).await?.pop();
        Ok(Response::new(
            contact.ok_or_else(|| ApiError::not_found("contact", &id))?,
        ))
    }

    async fn list_contacts(
        &self,
        request: Request<ListContactsRequest>,
    ) -> Result<Response<ListContactsResponse>, Status> {
        caller(&request)?.require(&[Role::Admin, Role::Agent, Role::Service])?;
        let response = list(
            self.context.db.pool(),
            request.get_ref(),
            self.context.config.max_page_size,
        )
        .await?;
        Ok(Response::new(response))
    }
}

fn schema() -> Schema {
    Schema::new()
        .with(Field::new("name", FieldType::Text).column("contact.display_name"))
        .with(Field::new("language", FieldType::Keyword).column("contact.language"))
        .with(Field::new("create_time", FieldType::Timestamp).column("contact.created_at"))
        .with(Field::new("identity", FieldType::TextSet).column(
            "(SELECT coalesce(array_agg(identity.value), '{}') FROM tickets.identity \
             WHERE identity.contact_id = contact.id)",
        ))
}

struct Row {
    id: Uuid,
    display_name: String,
    language: String,
    created_at: SqlTimestamp,
    ticket_count: i64,
}
solmu_db::from_row!(Row {
    id,
    display_name,
    language,
    created_at,
    ticket_count
});

struct IdentityRow {
    contact_id: Uuid,
    kind: i16,
    scope: String,
    value: String,
    raw: String,
    assurance: i16,
    attested_by: String,
    undeliverable_at: Option<SqlTimestamp>,
    undeliverable_cause: String,
}
solmu_db::from_row!(IdentityRow {
    contact_id,
    kind,
    scope,
    value,
    raw,
    assurance,
    attested_by,
    undeliverable_at,
    undeliverable_cause
});

impl From<IdentityRow> for Identity {
    fn from(row: IdentityRow) -> Self {
        Self {
            kind: row.kind.into(),
            value: row.value,
            raw: row.raw,
            assurance: row.assurance.into(),
            attested_by: row.attested_by,
            scope: row.scope,
            undeliverable_time: row
                .undeliverable_at
                .map(|at| solmu_bus::envelope::to_proto_time(at.to_jiff())),
            undeliverable_cause: row.undeliverable_cause,
        }
    }
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT contact.id, contact.display_name, contact.language, contact.created_at,
            (SELECT count(*) FROM tickets.ticket WHERE ticket.contact_id = contact.id) AS ticket_count
         FROM tickets.contact",
    )
}

async fn list(
    pool: &PgPool,
    request: &ListContactsRequest,
    max_page: u32,
) -> Result<ListContactsResponse, ApiError> {
    let size = page::size(request.page_size, 50, max_page)?;
    let after: Option<(i64, Uuid)> = page::decode(&request.filter, &request.page_token)?;
    let mut query = select();
    query.push(" WHERE true");
    if !request.filter.trim().is_empty() {
        let checked = solmu_conditions::parse(&request.filter, &schema())
            .map_err(|error| filter_error(&error))?;
        query.push(" AND (");
        checked.push_sql(&mut query).map_err(ApiError::internal)?;
        query.push(")");
    }
    if let Some((at, id)) = after {
        let at = jiff::Timestamp::from_microsecond(at).map_err(ApiError::internal)?;
        query
            .push(" AND (contact.created_at, contact.id) < (")
            .push_bind(at.to_sqlx());
        query.push(", ").push_bind(id).push(")");
    }
    query
        .push(" ORDER BY contact.created_at DESC, contact.id DESC LIMIT ")
        .push_bind(size + 1);
    let mut contacts = fetch(pool, query).await?;
    let more = page::cut(&mut contacts, size);
    let next_page_token = match contacts.last().filter(|_| more) {
        Some(last) => {
            let at = last
                .create_time
                .as_ref()
                .map(solmu_bus::envelope::from_proto_time)
                .unwrap_or_default();
            page::encode(
                &request.filter,
                (at.as_microsecond(), super::uuid("id", &last.id)?),
            )
        }
        None => String::new(),
    };
    Ok(ListContactsResponse {
        contacts,
        next_page_token,
    })
}

async fn fetch(pool: &PgPool, mut query: QueryBuilder<Postgres>) -> Result<Vec<Contact>, ApiError> {
    let rows: Vec<Row> = query
        .build_query_as()
        .fetch_all(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let found: Vec<IdentityRow> = sqlx::query_as(
        "SELECT contact_id, kind, scope, value, raw, assurance, attested_by, undeliverable_at, undeliverable_cause
         FROM tickets.identity WHERE contact_id = ANY($1) ORDER BY first_seen, kind, value",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await
    .map_err(solmu_db::DbError::from)?;
    let mut identities: HashMap<Uuid, Vec<Identity>> = HashMap::new();
    for row in found {
        identities
            .entry(row.contact_id)
            .or_default()
            .push(row.into());
    }
    let contacts = rows.into_iter().map(|row| Contact {
        id: row.id.to_string(),
        display_name: row.display_name,
        identities: identities.remove(&row.id).unwrap_or_default(),
        create_time: Some(solmu_bus::envelope::to_proto_time(row.created_at.to_jiff())),
        language: row.language,
        ticket_count: row.ticket_count,
    });
    Ok(contacts.collect())
}
