//! Which tickets: the one place where filters of lists, watchers, searches, views and bulk changes become SQL.

use jiff::tz::TimeZone;
use solmu_conditions::{Checked, Field, FieldType, FilterError, Limits, Schema};
use solmu_domain::ticket::{Priority, Status};
use solmu_runtime::{
    ApiError,
    access::{Caller, Visibility},
    api_error::Violation,
};
use sqlx::{PgPool, Postgres, QueryBuilder};

use crate::context::Context;

/// Everybody who is the same person as somebody, by what the comparison says of `named` or one of their identities.
macro_rules! person {
    ($from:literal) => {
        concat!(
            "ticket.contact_id IN (SELECT person.id FROM ",
            $from,
            " JOIN tickets.contact AS person ON person.id = coalesce(named.root_id, named.id)
                OR person.root_id = coalesce(named.root_id, named.id) WHERE "
        )
    };
}

/// Comparisons of one filter that look for a beginning, an end or a part of texts: each reads the text of every ticket
/// that the rest of the filter leaves.
const MAX_PARTS: usize = 32;

/// Fields of filters over tickets, custom fields apart.
fn schema() -> Schema {
    let time = |name, column| Field::new(name, FieldType::Timestamp).column(column);
    let text = |name, column| Field::new(name, FieldType::Keyword).column(column);
    let id = |name, column| Field::new(name, FieldType::Id).column(column);
    Schema::new()
        .with_limits(Limits {
            parts: MAX_PARTS,
            ..Limits::DEFAULT
        })
        .with(Field::one_of("status", Status::ALL.map(Status::name)).column("ticket.status"))
        .with(text("substatus", "ticket.substatus"))
        .with(
            Field::new("open", FieldType::Bool)
                .column("ticket.status NOT IN ('resolved', 'closed')"),
        )
        .with(
            Field::ordered("priority", Priority::ALL.map(Priority::name)).column("ticket.priority"),
        )
        .with(Field::new("number", FieldType::Integer).column("ticket.number"))
        .with(Field::new("subject", FieldType::Text).column("ticket.subject"))
        .with(text("category", "ticket.category"))
        .with(text("account", "ticket.account"))
        .with(text("recipient", "ticket.recipient"))
        .with(text("language", "ticket.language"))
        .with(text(
            "channel",
            "(CASE ticket.channel WHEN 1 THEN 'email' WHEN 2 THEN 'chat' WHEN 3 THEN 'form' WHEN 4 THEN 'whatsapp' \
             WHEN 5 THEN 'telegram' ELSE 'other' END)",
        ))
        .with(id("contact", "named.id").within(person!("tickets.contact AS named"), ")"))
        .with(
            Field::new("contact_name", FieldType::Text)
                .prepared_column("left(tickets.folded(named.display_name), 200)")
                .within(person!("tickets.contact AS named"), ")"),
        )
        .with(text("requester", "identity.value").within(
            person!("tickets.identity JOIN tickets.contact AS named ON named.id = identity.contact_id"),
            ")",
        ))
        .with(text("requester_email", "identity.value").within(
            person!(
                "(SELECT * FROM tickets.identity WHERE identity.kind = 1) AS identity
                 JOIN tickets.contact AS named ON named.id = identity.contact_id"
            ),
            ")",
        ))
        .with(id("organization", "ticket.organization_ids").in_set())
        .with(id("team", "ticket.team_id"))
        .with(id("assignee", "ticket.assignee_id"))
        .with(id("follower", "follower.agent_id").within(
            "ticket.id IN (SELECT follower.ticket_id FROM tickets.follower WHERE",
            ")",
        ))
        .with(id("parent", "ticket.parent_id"))
        .with(Field::new("snoozed", FieldType::Bool).column("ticket.snoozed"))
        .with(time("wake_time", "ticket.wake_at"))
        .with(Field::new("restricted", FieldType::Bool).column("ticket.restricted_to IS NOT NULL"))
        .with(Field::new("tags", FieldType::TextSet).column("ticket.tags"))
        .with(Field::new("breached", FieldType::Bool).column("ticket.breached"))
        .with(time("create_time", "ticket.created_at"))
        .with(time("created", "ticket.created_at"))
        .with(time("update_time", "ticket.updated_at"))
        .with(time("updated", "ticket.updated_at"))
        .with(time("resolved_time", "ticket.resolved_at"))
        .with(time("closed_time", "ticket.closed_at"))
        .with(time("first_response_due_time", "ticket.first_response_due"))
        .with(time("next_response_due_time", "ticket.next_response_due"))
        .with(time("resolution_due_time", "ticket.resolution_due"))
        .with(time("next_due_time", "ticket.next_due"))
        .with(time("due", "ticket.next_due"))
}

/// A custom field, by what its definition says it holds.
fn custom(key: &str, kind: &str) -> Field {
    let name = format!("fields.{key}");
    let (kind, before, after) = match kind {
        "number" => (
            FieldType::Decimal,
            "(ticket.fields #>> ARRAY[",
            "::text, '0'])::numeric",
        ),
        // At noon, so that a day is itself in every zone.
        "date" => (
            FieldType::Timestamp,
            "((ticket.fields #>> ARRAY[",
            "::text, '0'])::date + time '12:00') AT TIME ZONE 'UTC'",
        ),
        "datetime" => (
            FieldType::Timestamp,
            "(ticket.fields #>> ARRAY[",
            "::text, '0'])::timestamptz",
        ),
        "boolean" => (
            FieldType::Bool,
            "(ticket.fields #>> ARRAY[",
            "::text, '0'])::boolean",
        ),
        "multi_choice" => (
            FieldType::TextSet,
            "ARRAY(SELECT jsonb_array_elements_text(ticket.fields -> (",
            "::text)))",
        ),
        _ => (
            FieldType::Keyword,
            "ticket.fields #>> ARRAY[",
            "::text, '0']",
        ),
    };
    let exact = matches!(kind, FieldType::Keyword | FieldType::Decimal);
    let field = Field::new(name, kind).keyed_column(before, key, after);
    if exact {
        field.in_arrays("ticket.fields")
    } else {
        field
    }
}

/// What is wrong with a filter, as the caller is told.
fn filter_error(error: &FilterError) -> ApiError {
    match error {
        FilterError::Invalid(violations) => ApiError::InvalidArgument {
            violations: violations
                .iter()
                .map(|violation| {
                    let at = violation.position.map(|at| format!("at character {at}: "));
                    let said = format!("{}{violation}", at.unwrap_or_default());
                    Violation::new("filter", said)
                })
                .collect(),
        },
        other => ApiError::invalid("filter", other.to_string()),
    }
}

/// A filter as somebody wrote it.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// The filter.
    pub filter: &'a str,
    /// IANA name; UTC if empty.
    pub time_zone: &'a str,
    /// Whose `me` it is, and who sees what is selected; everything if nobody in particular.
    pub caller: Option<&'a Caller>,
}

/// A filter that can be asked: it selects tickets that stand for themselves (merged ones never), and that the caller sees.
#[derive(Debug, Clone)]
pub struct Selection {
    checked: Option<Checked>,
    visibility: Visibility,
}

impl Selection {
    /// Reads a filter; the empty one selects every ticket.
    pub async fn read(context: &Context, written: Written<'_>) -> Result<Self, ApiError> {
        let zone = match written.time_zone {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| {
                let what = format!("'{name}' is no time zone, such as \"Europe/Helsinki\"");
                ApiError::invalid("time_zone", what)
            })?,
        };
        let visibility = written.caller.map(|caller| caller.visibility().clone());
        let visibility = visibility.unwrap_or_default();
        if written.filter.trim().is_empty() {
            return Ok(Self {
                checked: None,
                visibility,
            });
        }
        let mut schema = schema().read_at(context.clock.now(), zone);
        if let Some(agent) = written.caller.and_then(|caller| caller.agent_id) {
            schema = schema.naming("me", agent.to_string());
        }
        if written.filter.contains("fields.") {
            for (key, kind) in definitions(context.db.pool()).await? {
                schema = schema.with(custom(&key, &kind));
            }
        }
        let checked = solmu_conditions::parse(written.filter, &schema)
            .map_err(|error| filter_error(&error))?;
        Ok(Self {
            checked: Some(checked),
            visibility,
        })
    }

    /// Whether no ticket is left out for who asks.
    pub(crate) fn sees_everything(&self) -> bool {
        self.visibility == Visibility::Everything
    }

    /// Whether it selects every ticket but restricted ones that do not name who asks.
    pub(crate) fn is_every_team(&self) -> bool {
        self.checked.is_none() && !self.visibility.is_bound()
    }

    /// Whether its statement is kept prepared: filters are many, and for most of them the best index is seen by their
    /// values; queues of a team or an agent are what everybody asks for all day, with one index for all.
    pub(crate) fn is_kept(&self) -> bool {
        self.checked.as_ref().is_none_or(Checked::is_of_exact_ids)
    }

    /// Whether it asks for the tickets of somebody, or for one: mostly few, and found by an index.
    pub(super) fn is_about_somebody(&self) -> bool {
        const FEW: [&str; 6] = [
            "contact",
            "requester",
            "requester_email",
            "number",
            "parent",
            "follower",
        ];
        let checked = self.checked.as_ref();
        checked.is_some_and(|checked| checked.needs_one_of(&FEW))
    }

    /// The condition, for a `WHERE` over `tickets.ticket`.
    pub fn push(&self, query: &mut QueryBuilder<Postgres>) -> Result<(), ApiError> {
        query.push("ticket.merged_into IS NULL");
        if let Some(checked) = &self.checked {
            query.push(" AND ");
            checked.push_sql(query).map_err(ApiError::internal)?;
        }
        self.visibility.push(query);
        Ok(())
    }
}

/// Custom fields in use, by key.
async fn definitions(pool: &PgPool) -> Result<Vec<(String, String)>, ApiError> {
    let found = sqlx::query_as("SELECT key, kind FROM tickets.field WHERE archived_at IS NULL")
        .fetch_all(pool)
        .await
        .map_err(solmu_db::DbError::from)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_column_and_the_sentence_of_the_issue_can_be_said() {
        let helsinki = TimeZone::get("Europe/Helsinki").unwrap();
        let schema = schema()
            .with(custom("order_no", "text"))
            .with(custom("amount", "number"))
            .with(custom("delivery", "date"))
            .naming("me", "0198c5d2-7a10-7bb2-8e4f-0242ac120002")
            .read_at("2026-05-02T09:00:00Z".parse().unwrap(), helsinki);
        for filter in [
            "category = complaint AND contact = 0198c5d2-7a10-7bb2-8e4f-0242ac120002 AND created = 2026-04 AND open = true",
            "tags:complaint requester_email = \"aino@c.example\" created = 2026-04 open = true",
            "category = \"billing/*\" (assignee = me OR follower = me) due < +2h",
            "fields.order_no = A-1 fields.amount >= 100 fields.delivery < 2026-05",
            "organization = 0198c5d2-7a10-7bb2-8e4f-0242ac120002 -status = (resolved OR closed)",
            "fields.amount = 12.5 OR fields.amount != 0.1 OR fields.amount = (1 OR 2.25)",
            "contact_name = \"Aino*\" restricted = true wake_time > +1d first_response_due_time < 2026",
            "requester_email != \"aino@c.example\" contact != me organization != me follower != me created < 9999-12-31",
            "substatus = \"waiting_for_parts\" OR (resolved_time > -7d AND closed_time = 2026-04)",
        ] {
            let checked = solmu_conditions::parse(filter, &schema)
                .unwrap_or_else(|error| panic!("{filter}: {error}"));
            let mut query = QueryBuilder::<Postgres>::new("");
            checked.push_sql(&mut query).unwrap();
        }
        let wild = vec!["subject:\"*a*\""; MAX_PARTS].join(" OR ");
        assert!(solmu_conditions::parse(&wild, &schema).is_ok());
        let refused = solmu_conditions::parse(&format!("{wild} OR subject:b"), &schema);
        assert!(refused.is_err_and(|error| error.to_string().contains("more than 32 comparisons")));
        let refused = solmu_conditions::parse("stauts = open", &schema).unwrap_err();
        assert!(
            refused.to_string().contains("at character 1")
                && refused.to_string().contains("status")
        );
    }

    #[test]
    fn queues_of_teams_and_agents_keep_their_statements_and_other_filters_do_not() {
        let me = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";
        let schema = schema()
            .naming("me", me)
            .read_at("2026-05-02T09:00:00Z".parse().unwrap(), TimeZone::UTC);
        let kept = |filter: &str| {
            let checked = solmu_conditions::parse(filter, &schema).unwrap();
            Selection {
                checked: Some(checked),
                visibility: Visibility::Everything,
            }
            .is_kept()
        };
        assert!(kept("open = true AND assignee = me") && kept(&format!("team = {me}")));
        for filter in [
            "open = true AND priority = urgent",
            "open = true AND (assignee = me OR parent = me)",
            "NOT assignee = me",
            "assignee != me",
            "follower = me",
            "organization = me",
            "created >= -60d",
        ] {
            assert!(!kept(filter), "{filter}");
        }
    }
}
