//! `ActivityService`.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use solmu_proto::{
    ticket::v1::{self as proto, activity_service_server::ActivityService},
    types::v1::actor::Kind,
};
use solmu_runtime::{ApiError, access::Caller, page};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    activity,
    calls::PEOPLE,
    context::Context,
    restrict::later::RESTRICTED_WITH,
    sight::{self, LINKS, OTHER_TICKETS, ticket_id},
};

/// Entries in a page, if the caller does not say how many.
const PAGE: i64 = 100;

/// The service.
pub(crate) struct Activities {
    pub(crate) context: Arc<Context>,
}

/// What stood before the reason of an older entry, up to the number of the other ticket.
const MERGED: [&str; 2] = ["merged into #", "no longer part of #"];

/// Whether an entry tells that a rule restricted the ticket, or gave it to others for that.
fn is_restriction(entry: &proto::Activity) -> bool {
    let by_service = entry
        .actor
        .as_ref()
        .is_some_and(|it| it.kind() == Kind::Service);
    by_service && entry.reason.starts_with("rule '")
}

/// The reason of a restriction without the number of the ticket that brought it along, which stands at the end of it in
/// older entries.
fn without_company(reason: &str) -> String {
    const BY_SERVICE: &str = " (service)";
    let (told, end) = match reason.strip_suffix(BY_SERVICE) {
        Some(told) => (told, BY_SERVICE),
        None => (reason, ""),
    };
    match told.rsplit_once(" with #") {
        Some((rest, number)) if number.bytes().all(|it| it.is_ascii_digit()) => {
            format!("{rest}{end}")
        }
        _ => reason.to_owned(),
    }
}

/// Says behind the reason of a restriction with which ticket it was made, by number.
fn with_company(entry: &mut proto::Activity, numbers: &HashMap<Uuid, i64>) {
    let company = entry.changes.iter().find(|it| it.field == RESTRICTED_WITH);
    let number = company.and_then(|it| numbers.get(&it.to.parse().ok()?));
    if let Some(number) = number {
        entry.reason = format!("{} with #{number}", entry.reason);
    }
}

/// Where an entry names other tickets.
fn named(entry: &mut proto::Activity) -> impl Iterator<Item = &mut String> {
    let changes = entry.changes.iter_mut();
    let values = changes.flat_map(|it| {
        let whole = OTHER_TICKETS.contains(&it.field.as_str());
        // `related ID`, where it is a link.
        let values = [&mut it.from, &mut it.to];
        values.into_iter().filter(move |_| whole)
    });
    values.chain([&mut entry.other_ticket_id])
}

/// Links of an entry, as kind and id.
fn linked(entry: &mut proto::Activity) -> impl Iterator<Item = &mut String> {
    let links = entry.changes.iter_mut().filter(|it| it.field == LINKS);
    links.flat_map(|it| [&mut it.from, &mut it.to])
}

/// The id with which a link ends.
fn id_of_link(link: &str) -> Option<Uuid> {
    link.rsplit(' ').next()?.parse().ok()
}

/// The reason of a merge without the number that stands before it in older entries.
fn without_number(reason: &str) -> &str {
    let rest = MERGED.iter().find_map(|it| reason.strip_prefix(it));
    match rest.and_then(|rest| rest.split_once(": ")) {
        Some((number, reason)) if number.bytes().all(|it| it.is_ascii_digit()) => reason,
        _ => reason,
    }
}

/// Says before the reason of a merge which ticket it was, by number.
fn with_number(entry: &mut proto::Activity, numbers: &HashMap<Uuid, i64>) {
    let Some(change) = entry.changes.iter().find(|it| it.field == "merged_into") else {
        return;
    };
    let number = |id: &str| id.parse().ok().and_then(|id| numbers.get(&id));
    let told = match (number(&change.from), number(&change.to)) {
        (_, Some(number)) => format!("{}{number}", MERGED[0]),
        (Some(number), None) => format!("{}{number}", MERGED[1]),
        (None, None) => return,
    };
    entry.reason = match entry.reason.as_str() {
        "" => told,
        reason => format!("{told}: {reason}"),
    };
}

impl Activities {
    /// Leaves out which other ticket an entry means, where the caller does not see that: it may have been restricted since.
    /// The number of one that they see stands before the reason of a merge.
    async fn hide_others(
        &self,
        caller: &Caller,
        activities: &mut [proto::Activity],
    ) -> Result<(), ApiError> {
        for entry in activities.iter_mut().filter(|it| is_restriction(it)) {
            entry.reason = without_company(&entry.reason);
        }
        let mut ids: BTreeSet<Uuid> = BTreeSet::new();
        for entry in activities.iter_mut() {
            ids.extend(named(entry).filter_map(|id| id.parse::<Uuid>().ok()));
            ids.extend(linked(entry).filter_map(|link| id_of_link(link)));
        }
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let seen = self.numbers(caller, &ids).await?;
        let hidden = |id: Option<Uuid>| id.is_some_and(|id| !seen.contains_key(&id));
        for entry in activities {
            for id in named(entry).filter(|id| hidden(id.parse().ok())) {
                id.clear();
            }
            for link in linked(entry).filter(|link| hidden(id_of_link(link))) {
                let kind = link.rsplit_once(' ').map_or("", |(kind, _)| kind);
                *link = kind.to_owned();
            }
            if entry.changes.iter().any(|it| it.field == "merged_into") {
                entry.reason = without_number(&entry.reason).to_owned();
                with_number(entry, &seen);
            }
            with_company(entry, &seen);
        }
        Ok(())
    }

    /// The numbers of those of `tickets` that the caller sees.
    async fn numbers(
        &self,
        caller: &Caller,
        tickets: &[Uuid],
    ) -> Result<HashMap<Uuid, i64>, ApiError> {
        let mut query = sqlx::QueryBuilder::new(
            "SELECT ticket.id, ticket.number FROM tickets.ticket WHERE id = ANY(",
        );
        query.push_bind(tickets).push(")");
        caller.visibility().push(&mut query);
        let rows: Vec<(Uuid, i64)> = query
            .build_query_as()
            .fetch_all(self.context.db.pool())
            .await
            .map_err(solmu_db::DbError::from)?;
        Ok(rows.into_iter().collect())
    }
}

#[tonic::async_trait]
impl ActivityService for Activities {
    async fn list_activities(
        &self,
        request: Request<proto::ListActivitiesRequest>,
    ) -> Result<Response<proto::ListActivitiesResponse>, Status> {
        let it = sight::call(&self.context, request, PEOPLE).await?;
        let request = it.request;
        let ticket = ticket_id(&self.context, &request.ticket_id).await?;
        let size = page::size(request.page_size, PAGE, self.context.config.max_page_size)?;
        let query = ticket.to_string();
        let after: i64 = page::decode(&query, &request.page_token)?.unwrap_or(0);
        let mut activities = activity::list(self.context.db.pool(), ticket, after, size + 1)
            .await
            .map_err(ApiError::from)?;
        let more = page::cut(&mut activities, size);
        self.hide_others(&it.caller, &mut activities).await?;
        let last = activities.last().filter(|_| more);
        let next_page_token = last
            .map(|last| page::encode(&query, last.sequence))
            .unwrap_or_default();
        Ok(Response::new(proto::ListActivitiesResponse {
            activities,
            next_page_token,
        }))
    }

    async fn verify_activity(
        &self,
        request: Request<proto::VerifyActivityRequest>,
    ) -> Result<Response<proto::VerifyActivityResponse>, Status> {
        let request = sight::call(&self.context, request, PEOPLE).await?.request;
        let ticket = ticket_id(&self.context, &request.ticket_id).await?;
        let noted = match request.noted_sequence {
            0 => None,
            at if at > 0 && request.noted_hash.len() == 32 => Some((at, request.noted_hash)),
            _ => {
                let wanted = "the hash of that entry, 32 bytes, with its sequence";
                return Err(ApiError::invalid("noted_hash", wanted).into());
            }
        };
        let verdict = activity::verify(self.context.db.reads(), ticket, noted)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(verdict))
    }
}
