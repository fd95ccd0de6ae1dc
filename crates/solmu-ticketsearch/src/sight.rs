//! Refuses calls about tickets that the caller does not see: as if they did not exist.
//!
//! Lists, searches and streams select by [`Visibility`] in their SQL; this is for calls that name a ticket. It is asked
//! before the work and not in its transaction: a ticket that moves to another team in between was seen a moment ago.

use std::collections::{HashMap, HashSet};

use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role, SightBinds, Visibility, caller},
    request::uuid,
};
use sqlx::{AssertSqlSafe, PgPool};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::{calls::actor_of, context::Context, list, restrict::later::RESTRICTED_WITH};

/// Fields of a ticket whose values are ids of other tickets.
pub const OTHER_TICKETS: [&str; 4] = ["same_matter", "merged_into", "parent_id", RESTRICTED_WITH];
/// The field whose values are a kind and the id of another ticket.
pub const LINKS: &str = "links";

/// What names a ticket.
#[derive(Debug, Clone, Copy)]
pub enum Named<'a> {
    /// By id or `#number`.
    Ticket(&'a str),
    /// The one that this ticket became part of, if it did.
    Target(&'a str),
    /// A message on it.
    Message(&'a str),
    /// A task of it.
    Task(&'a str),
}

/// A request that names tickets.
pub trait About {
    /// Every ticket that the caller has to see.
    fn named(&self) -> Vec<Named<'_>>;
}

macro_rules! about {
    ($($request:ident: $it:ident => $named:expr;)*) => {
        $(impl About for proto::$request {
            fn named(&self) -> Vec<Named<'_>> {
                let $it = self;
                $named
            }
        })*
    };
}

/// The tickets of requests that name one as `ticket_id`.
macro_rules! about_ticket {
    ($($request:ident)*) => {
        about! { $($request: it => vec![Named::Ticket(&it.ticket_id)];)* }
    };
}

about_ticket! {
    ListMessagesRequest ReplyToTicketRequest AddNoteRequest SetStatusRequest SetPriorityRequest AssignTicketRequest
    ForwardToExpertRequest RestrictTicketRequest UnrestrictTicketRequest ListTasksRequest
    AddFollowerRequest RemoveFollowerRequest SnoozeTicketRequest WakeTicketRequest
    BroadcastReplyRequest ListActivitiesRequest VerifyActivityRequest
}

about! {
    GetTicketRequest: it => vec![Named::Ticket(&it.id)];
    UpdateTicketRequest: it => {
        let ticket = it.ticket.iter();
        let parent = it.ticket.iter().filter(|ticket| !ticket.parent_id.is_empty());
        let named = ticket.map(|ticket| &ticket.id).chain(parent.map(|ticket| &ticket.parent_id));
        named.map(|id| Named::Ticket(id)).collect()
    };
    MergeTicketsRequest: it => {
        let tickets = it.source_ids.iter().chain([&it.target_id]);
        tickets.map(|id| Named::Ticket(id)).collect()
    };
    UnmergeTicketRequest: it => vec![Named::Ticket(&it.ticket_id), Named::Target(&it.ticket_id)];
    SplitMessageRequest: it => vec![Named::Message(&it.message_id)];
    CreateTaskRequest: it => it.task.iter().map(|task| Named::Ticket(&task.ticket_id)).collect();
    UpdateTaskRequest: it => it.task.iter().map(|task| Named::Task(&task.id)).collect();
    DeleteTaskRequest: it => vec![Named::Task(&it.id)];
    LinkTicketsRequest: it => vec![Named::Ticket(&it.ticket_id), Named::Ticket(&it.other_ticket_id)];
    UnlinkTicketsRequest: it => vec![Named::Ticket(&it.ticket_id), Named::Ticket(&it.other_ticket_id)];
}

/// A call about tickets that the caller sees.
#[derive(Debug)]
pub struct Call<T> {
    /// Who calls.
    pub caller: Caller,
    /// The caller, as others are told of them.
    pub by: Actor,
    /// What they ask for.
    pub request: T,
}

/// The call, if it is for one of `roles` and the caller sees every ticket that it names.
pub async fn call<T: About + Send + Sync>(
    context: &Context,
    request: Request<T>,
    roles: &[Role],
) -> Result<Call<T>, Status> {
    let caller = caller(&request)?.clone();
    caller.require(roles)?;
    let request = request.into_inner();
    check(context.db.pool(), &caller, request.named()).await?;
    Ok(Call {
        by: actor_of(&caller),
        caller,
        request,
    })
}

/// NOT_FOUND unless the caller sees the tickets. What is no name is left to the handler, which says what is wrong.
pub async fn check(pool: &PgPool, caller: &Caller, named: Vec<Named<'_>>) -> Result<(), ApiError> {
    if caller.visibility() == &Visibility::Everything {
        return Ok(());
    }
    for one in named {
        one.check(pool, caller.visibility()).await?;
    }
    Ok(())
}

/// The id of a ticket that is named by id or by `#number` and that the caller sees.
pub async fn seen_ticket(context: &Context, caller: &Caller, text: &str) -> Result<Uuid, ApiError> {
    check(context.db.pool(), caller, vec![Named::Ticket(text)]).await?;
    ticket_id(context, text).await
}

/// As [`seen_ticket`] for many.
pub async fn seen_tickets(
    context: &Context,
    caller: &Caller,
    named: &[String],
) -> Result<Vec<Result<Uuid, ApiError>>, ApiError> {
    let pool = context.db.pool();
    let numbers = named.iter().filter_map(|text| text.strip_prefix('#'));
    let numbers: Vec<i64> = numbers.filter_map(|it| it.parse().ok()).collect();
    let mut numbered: HashMap<i64, Uuid> = HashMap::new();
    if !numbers.is_empty() {
        let rows: Result<Vec<(i64, Uuid)>, _> =
            sqlx::query_as("SELECT number, id FROM tickets.ticket WHERE number = ANY($1)")
                .bind(&numbers)
                .fetch_all(pool)
                .await;
        numbered.extend(rows.map_err(solmu_db::DbError::from)?);
    }
    let mut ids = Vec::with_capacity(named.len());
    for text in named {
        ids.push(match text.strip_prefix('#').map(str::parse::<i64>) {
            Some(Ok(number)) => numbered.get(&number).copied().ok_or(()),
            Some(Err(_)) => Err(()),
            None => Uuid::parse_str(text).map_err(|_| ()),
        });
    }
    let found: Vec<Uuid> = ids.iter().filter_map(|id| id.ok()).collect();
    let seen: Option<HashSet<Uuid>> = match caller.visibility() {
        Visibility::Everything => None,
        _ => Some(among(pool, caller, &found).await?.into_iter().collect()),
    };
    let mut answers = Vec::with_capacity(named.len());
    for (text, id) in named.iter().zip(ids) {
        answers.push(match id {
            Ok(id) if seen.as_ref().is_none_or(|seen| seen.contains(&id)) => Ok(id),
            Ok(_) => Err(ApiError::not_found("ticket", text)),
            // What is no name, and what is nobody's: said as for one.
            Err(()) => seen_ticket(context, caller, text).await,
        });
    }
    Ok(answers)
}

/// The id of a ticket that is named by id or by `#number`.
pub async fn ticket_id(context: &Context, text: &str) -> Result<Uuid, ApiError> {
    if text.starts_with('#') {
        let ticket = list::ticket(context.db.pool(), text).await?;
        return uuid("ticket_id", &ticket.id);
    }
    uuid("ticket_id", text)
}

/// Those of `tickets` that the caller sees.
pub async fn among(
    pool: &PgPool,
    caller: &Caller,
    tickets: &[Uuid],
) -> Result<Vec<Uuid>, ApiError> {
    let mut query = sqlx::QueryBuilder::new("SELECT ticket.id FROM tickets.ticket WHERE id = ANY(");
    query.push_bind(tickets).push(")");
    caller.visibility().push(&mut query);
    let seen = query.build_query_scalar().fetch_all(pool).await;
    Ok(seen.map_err(solmu_db::DbError::from)?)
}

impl Named<'_> {
    async fn check(self, pool: &PgPool, visibility: &Visibility) -> Result<(), ApiError> {
        const SEEN: &str = "SELECT CASE WHEN t.restricted_to IS NOT NULL THEN t.restricted_to && $2
            ELSE $3::uuid[] IS NULL OR coalesce(t.team_id = ANY($3), false) OR coalesce(t.assignee_id = $4, false) END
            FROM tickets.ticket t";
        let (resource, text) = match self {
            Self::Ticket(text) | Self::Target(text) => ("ticket", text),
            Self::Message(text) => ("message", text),
            Self::Task(text) => ("task", text),
        };
        let SightBinds {
            names,
            teams,
            agent,
        } = visibility.sight_binds();
        let number = text.strip_prefix('#');
        let numbered = match self {
            Self::Ticket(_) => Some("WHERE t.number = $1"),
            Self::Target(_) => Some(
                "JOIN tickets.ticket source ON source.merged_into = t.id WHERE source.number = $1",
            ),
            Self::Message(_) | Self::Task(_) => None,
        };
        let seen: Option<bool> = if let (Some(place), Some(number)) = (numbered, number) {
            let Ok(number) = number.parse::<i64>() else {
                return Ok(());
            };
            sqlx::query_scalar(AssertSqlSafe(format!("{SEEN} {place}")))
                .bind(number)
                .bind(names)
                .bind(teams)
                .bind(agent)
                .fetch_optional(pool)
                .await
        } else {
            let Ok(id): Result<Uuid, _> = uuid(resource, text) else {
                return Ok(());
            };
            let place = match self {
                Self::Ticket(_) => "WHERE t.id = $1",
                Self::Target(_) => {
                    "JOIN tickets.ticket source ON source.merged_into = t.id WHERE source.id = $1"
                }
                Self::Message(_) => "JOIN tickets.message m ON m.ticket_id = t.id WHERE m.id = $1",
                Self::Task(_) => "JOIN tickets.task k ON k.ticket_id = t.id WHERE k.id = $1",
            };
            sqlx::query_scalar(AssertSqlSafe(format!("{SEEN} {place}")))
                .bind(id)
                .bind(names)
                .bind(teams)
                .bind(agent)
                .fetch_optional(pool)
                .await
        }
        .map_err(solmu_db::DbError::from)?;
        // What stands for itself has no target: the handler says so.
        if seen == Some(true) || (seen.is_none() && matches!(self, Self::Target(_))) {
            return Ok(());
        }
        Err(ApiError::not_found(resource, text))
    }
}
