//! Links that people make between tickets.

use std::sync::Arc;

use solmu_db::ToSqlx as _;
use solmu_proto::{
    ticket::v1::{LinkKind, ticket_link::Kind},
    types::v1::Actor,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    calls::Asked,
    change::made_before,
    context::Context,
    error::TicketError,
    events::change,
    model::{self, Ticket},
    tasks::tell,
};

/// Links of one kind that a ticket has to others: what one broadcast answers.
const MAX_LINKED: i64 = 500;

/// A link as somebody wants it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The ticket.
    pub ticket: Uuid,
    /// The other one.
    pub other: Uuid,
    /// How they belong together, seen from the ticket.
    pub kind: LinkKind,
    /// False: the link goes.
    pub linked: bool,
    /// Request id, and a digest of what was asked under it.
    pub asked: Option<Asked>,
    /// Who wants it.
    pub by: Actor,
}

/// Name of a kind as it is stored.
pub const PROBLEM: &str = "problem_of";

/// What a stored kind is, seen from the ticket that it was noted on and from the other one.
pub fn seen(kind: &str, from_other: bool) -> Kind {
    match (kind, from_other) {
        ("mentions", false) => Kind::Mentions,
        ("mentions", true) => Kind::MentionedBy,
        ("same_thread", _) => Kind::SameThread,
        ("split", false) => Kind::SplitFrom,
        ("split", true) => Kind::SplitInto,
        ("related", _) => Kind::Related,
        ("duplicate", false) => Kind::DuplicateOf,
        ("duplicate", true) => Kind::DuplicatedBy,
        (PROBLEM, false) => Kind::ProblemOf,
        (PROBLEM, true) => Kind::IncidentOf,
        _ => Kind::Unspecified,
    }
}

/// Links two tickets, or ends that.
pub async fn set(context: &Arc<Context>, wanted: Wanted) -> Result<(), TicketError> {
    let wanted = Arc::new(wanted);
    context
        .db
        .tx("ticket.link", |tx| {
            let (context, wanted) = (context.clone(), wanted.clone());
            Box::pin(async move { set_in(tx, &context, &wanted).await })
        })
        .await
}

async fn set_in(tx: &mut PgConnection, context: &Context, it: &Wanted) -> Result<(), TicketError> {
    let kind = match it.kind {
        LinkKind::Unspecified => return Err(TicketError::invalid("kind", "say which link")),
        LinkKind::Related => "related",
        LinkKind::Duplicate => "duplicate",
        LinkKind::ProblemOf => PROBLEM,
    };
    if it.ticket == it.other {
        let why = "a ticket cannot be linked with itself";
        return Err(TicketError::refused("LINK_WITH_ITSELF", why));
    }
    let mut tickets = model::lock(tx, &[it.ticket, it.other]).await?;
    for id in [it.ticket, it.other] {
        if !tickets.iter().any(|ticket| ticket.id == id) {
            return Err(TicketError::UnknownTicket(id.to_string()));
        }
    }
    if made_before(tx, it.ticket, it.asked.as_ref(), context.clock.now()).await? {
        return Ok(());
    }
    let (first, second) = match it.kind {
        LinkKind::Related => (it.ticket.min(it.other), it.ticket.max(it.other)),
        _ => (it.ticket, it.other),
    };
    if it.linked {
        if let Some(target) = tickets.iter().find_map(|ticket| ticket.merged_into) {
            return Err(TicketError::Merged { target });
        }
        if !add(tx, context, first, second, kind, &it.by).await? {
            return Ok(());
        }
    } else {
        let gone = sqlx::query(
            "DELETE FROM tickets.ticket_link WHERE ticket_id = $1 AND other_id = $2 AND kind = $3",
        )
        .bind(first)
        .bind(second)
        .bind(kind)
        .execute(&mut *tx)
        .await?;
        if gone.rows_affected() == 0 {
            let id = format!("{kind} {}", it.other);
            return Err(TicketError::Unknown { what: "link", id });
        }
    }
    tickets.sort_by_key(|ticket| ticket.id != first);
    let told = |from_other: bool, other: Uuid| {
        let name = seen(kind, from_other)
            .as_str_name()
            .trim_start_matches("KIND_");
        let text = format!("{} {other}", name.to_lowercase());
        if it.linked {
            change("links", &"", &text)
        } else {
            change("links", &text, &"")
        }
    };
    if let [noted, other] = &mut tickets[..] {
        let changes = [told(false, other.id), told(true, noted.id)];
        let both: [&mut Ticket; 2] = [noted, other];
        for (ticket, change) in both.into_iter().zip(changes) {
            tell(tx, context, ticket, change, &it.by).await?;
        }
    }
    Ok(())
}

/// Notes the link; false if it is there.
async fn add(
    tx: &mut PgConnection,
    context: &Context,
    first: Uuid,
    second: Uuid,
    kind: &str,
    by: &Actor,
) -> Result<bool, TicketError> {
    let (same, contrary, most): (bool, bool, i64) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM tickets.ticket_link WHERE ticket_id = $1 AND other_id = $2 AND kind = $3),
            EXISTS (SELECT 1 FROM tickets.ticket_link WHERE ticket_id = $2 AND other_id = $1 AND kind = $3),
            greatest((SELECT count(*) FROM tickets.ticket_link WHERE ticket_id = $1 AND kind = $3),
                (SELECT count(*) FROM tickets.ticket_link WHERE other_id = $2 AND kind = $3))",
    )
    .bind(first)
    .bind(second)
    .bind(kind)
    .fetch_one(&mut *tx)
    .await?;
    if same {
        return Ok(false);
    }
    if contrary {
        let why = "the same link is there the other way round";
        return Err(TicketError::refused("LINK_CONTRADICTS", why));
    }
    if most >= MAX_LINKED {
        let why = format!("one of them has {MAX_LINKED} such links already");
        return Err(TicketError::refused("TOO_MANY_LINKS", why));
    }
    sqlx::query(
        "INSERT INTO tickets.ticket_link (ticket_id, other_id, kind, created_at, created_by) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(first)
    .bind(second)
    .bind(kind)
    .bind(context.clock.now().to_sqlx())
    .bind(&by.id)
    .execute(tx)
    .await?;
    Ok(true)
}
