//! `UpdateTicket`: a field mask becomes an edit.

use std::sync::Arc;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::{ApiError, access::Caller, api_error::Violation};
use sqlx::PgPool;
use uuid::Uuid;

use super::{links, restrict, uuid};
use crate::{
    calls::checked_request_id,
    context::Context,
    edit::{self, Edit, Update},
    followers, hierarchy, list,
    model::{priority_from_proto, status_from_proto},
    sight::{self, ticket_id},
};

/// Where the owner of a ticket stands in its resource.
pub(crate) const OWNER_FIELDS: (&str, &str) = ("ticket.assignee_id", "ticket.team_id");

/// One ticket, by id or by `#number`, with what only the answer for one says: its links and sub-tickets, who follows it and who sees it.
pub(super) async fn whole(
    pool: &PgPool,
    caller: &Caller,
    id: &str,
) -> Result<proto::Ticket, ApiError> {
    let (mut ticket, kin) = list::ticket_with_kin(pool, id).await?;
    let id = uuid("id", &ticket.id)?;
    if kin.linked {
        ticket.links = links::of(pool, id, caller.visibility()).await?;
    }
    if !(kin.followed || kin.may_be_parent() || ticket.restricted) {
        return Ok(ticket);
    }
    let mut connection = pool.acquire().await.map_err(solmu_db::DbError::from)?;
    let children =
        hierarchy::children(&mut connection, &[id], true, hierarchy::MAX_CHILDREN).await?;
    if ticket.restricted {
        restrict::show(&mut connection, id, &mut ticket).await?;
    }
    let followers = followers::of(&mut connection, id).await?;
    ticket.follower_ids = followers.iter().map(Uuid::to_string).collect();
    // Given back first: who holds one connection and waits for a second stops everybody once all are held.
    drop(connection);
    if children.is_empty() {
        return Ok(ticket);
    }
    let ids: Vec<Uuid> = children.iter().map(|child| child.id).collect();
    let seen = sight::among(pool, caller, &ids).await?;
    let shown = children.into_iter().map(|child| {
        let seen = seen.contains(&child.id);
        let child = proto::SubTicket::from(child);
        if seen {
            return child;
        }
        proto::SubTicket {
            status: child.status,
            restricted: true,
            ..proto::SubTicket::default()
        }
    });
    ticket.children = shown.collect();
    Ok(ticket)
}

/// Changes a ticket as the mask says.
pub(crate) async fn ticket(
    context: &Arc<Context>,
    request: proto::UpdateTicketRequest,
    by: Actor,
) -> Result<proto::Ticket, ApiError> {
    let mut wanted = request
        .ticket
        .ok_or_else(|| ApiError::invalid("ticket", "say which ticket"))?;
    let id = ticket_id(context, &wanted.id).await?;
    let etag = std::mem::take(&mut wanted.etag);
    wanted.id = id.to_string();
    let mask = request.update_mask.clone().unwrap_or_default().paths;
    let mask = if mask.is_empty() {
        set_paths(&wanted)
    } else {
        mask
    };
    let (mut edit, parent) = edit_of(&wanted, &mask)?;
    edit.look_up(&context.roster, OWNER_FIELDS).await;
    let parent = match parent {
        Some(Some(text)) => Some(Some(ticket_id(context, &text).await?)),
        Some(None) => Some(None),
        None => None,
    };
    let request = checked_request_id(request.request_id)?
        .map(|request_id| (request_id, digest(wanted, request.update_mask)));
    let update = Update {
        ticket: id,
        edit,
        parent,
        etag,
        request,
        by,
    };
    edit::update(context, update).await?;
    list::ticket(context.db.pool(), &id.to_string()).await
}

/// What is remembered of a change under its request id. `wanted` has the id of the ticket and no etag.
pub(crate) fn digest(
    wanted: proto::Ticket,
    update_mask: Option<prost_types::FieldMask>,
) -> Vec<u8> {
    let asked = proto::UpdateTicketRequest {
        ticket: Some(wanted),
        update_mask,
        request_id: String::new(),
    };
    Sha256::digest(asked.encode_to_vec()).to_vec()
}

/// The paths of what is set: what a call without a mask changes.
pub(crate) fn set_paths(ticket: &proto::Ticket) -> Vec<String> {
    let set = [
        ("subject", !ticket.subject.is_empty()),
        ("status", ticket.status != 0),
        ("substatus", !ticket.substatus.is_empty()),
        ("priority", ticket.priority != 0),
        ("category", !ticket.category.is_empty()),
        ("tags", !ticket.tags.is_empty()),
        ("team_id", !ticket.team_id.is_empty()),
        ("assignee_id", !ticket.assignee_id.is_empty()),
        ("organization_ids", !ticket.organization_ids.is_empty()),
        ("parent_id", !ticket.parent_id.is_empty()),
    ];
    let paths = set.iter().filter(|(_, set)| *set);
    let fields = ticket.fields.iter().map(|it| format!("fields.{}", it.key));
    paths
        .map(|(path, _)| (*path).to_owned())
        .chain(fields)
        .collect()
}

/// The edit, and what the ticket becomes a part of as the caller named it.
#[expect(clippy::option_option, reason = "left as it is, emptied, or set")]
pub(crate) fn edit_of(
    ticket: &proto::Ticket,
    mask: &[String],
) -> Result<(Edit, Option<Option<String>>), ApiError> {
    let mut wrong = Vec::new();
    let (mut edit, mut parent) = (Edit::default(), None);
    for path in mask {
        if let Err(violation) = take(ticket, path, &mut edit, &mut parent) {
            wrong.push(violation);
        }
    }
    if wrong.is_empty() {
        Ok((edit, parent))
    } else {
        Err(ApiError::InvalidArgument { violations: wrong })
    }
}

#[expect(clippy::option_option, reason = "left as it is, emptied, or set")]
fn take(
    ticket: &proto::Ticket,
    path: &str,
    edit: &mut Edit,
    parent: &mut Option<Option<String>>,
) -> Result<(), Violation> {
    match path {
        "subject" => edit.subject = Some(ticket.subject.clone()),
        "status" => {
            let status = status_from_proto(ticket.status())
                .ok_or_else(|| Violation::new("ticket.status", "there is no such status"))?;
            edit.status = Some(status);
        }
        "substatus" => edit.substatus = Some(ticket.substatus.clone()),
        "priority" => {
            let priority = priority_from_proto(ticket.priority())
                .ok_or_else(|| Violation::new("ticket.priority", "there is no such priority"))?;
            edit.priority = Some(priority);
        }
        "category" => edit.category = Some(ticket.category.clone()),
        "tags" => edit.tags = Some(ticket.tags.clone()),
        "team_id" => edit.team = Some(id("ticket.team_id", &ticket.team_id)?),
        "assignee_id" => edit.assignee = Some(id("ticket.assignee_id", &ticket.assignee_id)?),
        "organization_ids" => {
            let ids = ticket.organization_ids.iter();
            let ids = ids.filter_map(|it| id("ticket.organization_ids", it).transpose());
            edit.organizations = Some(ids.collect::<Result<_, _>>()?);
        }
        "parent_id" => *parent = Some(Some(ticket.parent_id.clone()).filter(|it| !it.is_empty())),
        "fields" => {
            edit.replace_fields = true;
            for it in &ticket.fields {
                edit.fields.insert(it.key.clone(), it.values.clone());
            }
        }
        path => {
            let key = path.strip_prefix("fields.").ok_or_else(|| {
                Violation::new("update_mask", format!("'{path}' cannot be changed"))
            })?;
            let given = ticket.fields.iter().find(|it| it.key == key);
            let values = given.map(|it| it.values.clone()).unwrap_or_default();
            edit.fields.insert(key.to_owned(), values);
        }
    }
    Ok(())
}

fn id(field: &str, text: &str) -> Result<Option<Uuid>, Violation> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Violation::new(field, format!("'{text}' is not a UUID"));
    Uuid::parse_str(text).map(Some).map_err(|_| wrong())
}
