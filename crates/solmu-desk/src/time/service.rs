//! `TimeService`. It checks the caller and the request; the modules beside it do the rest.

use std::{pin::Pin, sync::Arc};

use futures::Stream;
use solmu_proto::ticket::v1::{self as proto, TimeEntry, time_service_server::TimeService};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role},
    request::uuid,
};
use solmu_tickets::desk::checked_request_id;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    MAX_NOTE, Terms,
    entry::{self, Change, New},
    export, list, read,
    timer::{self, Start, Stop},
};
use crate::context::{Answer, Context, PEOPLE, called_by, staff};

/// Who sees everybody's time.
const MANAGERS: &[Role] = &[Role::Admin, Role::Service];

/// The service.
pub(crate) struct Times {
    pub(crate) context: Arc<Context>,
}

#[tonic::async_trait]
impl TimeService for Times {
    type ExportTimeStream =
        Pin<Box<dyn Stream<Item = Result<proto::ExportTimeResponse, Status>> + Send>>;

    async fn start_timer(&self, request: Request<proto::StartTimerRequest>) -> Answer<TimeEntry> {
        let (caller, by, request) = staff(request)?;
        let terms = Terms {
            billable: request.billable,
            activity: request.activity.trim().to_owned(),
            rate: request.hourly_rate,
            currency: request.currency,
            note: request.note,
        };
        let start = Start {
            terms: terms.check()?,
            request_id: checked_request_id(request.request_id)?,
            ticket: self.context.hands.seen(&caller, &request.ticket_id).await?,
            stop_running: request.stop_running,
            by,
        };
        Ok(Response::new(timer::start(&self.context, start).await?))
    }

    async fn stop_timer(&self, request: Request<proto::StopTimerRequest>) -> Answer<TimeEntry> {
        let (_, by, request) = staff(request)?;
        if request.note.len() > MAX_NOTE || request.note.contains('\0') {
            return Err(ApiError::invalid("note", format!("at most {MAX_NOTE} bytes")).into());
        }
        let stop = Stop {
            seconds: request.seconds,
            note: request.note,
            request_id: checked_request_id(request.request_id)?,
            by,
        };
        Ok(Response::new(timer::stop(&self.context, stop).await?))
    }

    async fn discard_timer(
        &self,
        request: Request<proto::DiscardTimerRequest>,
    ) -> Answer<proto::DiscardTimerResponse> {
        let (_, by, _) = staff(request)?;
        timer::discard(&self.context, &by).await?;
        Ok(Response::new(proto::DiscardTimerResponse {}))
    }

    async fn get_timer(&self, request: Request<proto::GetTimerRequest>) -> Answer<TimeEntry> {
        let (_, by, _) = staff(request)?;
        Ok(Response::new(timer::get(&self.context, &by).await?))
    }

    async fn create_time_entry(
        &self,
        request: Request<proto::CreateTimeEntryRequest>,
    ) -> Answer<TimeEntry> {
        let (caller, by, request) = staff(request)?;
        let request_id = checked_request_id(request.request_id)?;
        let entry = request
            .entry
            .ok_or_else(|| ApiError::invalid("entry", "is missing"))?;
        let ticket = self.context.hands.seen(&caller, &entry.ticket_id).await?;
        let now = self.context.clock.now();
        let new = New::of(entry, ticket, request_id, (&caller, by), now)?;
        Ok(Response::new(entry::create(&self.context, new).await?))
    }

    async fn update_time_entry(
        &self,
        request: Request<proto::UpdateTimeEntryRequest>,
    ) -> Answer<TimeEntry> {
        let (caller, by, request) = staff(request)?;
        let entry = request
            .entry
            .ok_or_else(|| ApiError::invalid("entry", "is missing"))?;
        let id = uuid("entry.id", &entry.id)?;
        self.seen(&caller, id).await?;
        let change = Change {
            id,
            entry,
            mask: request.update_mask.unwrap_or_default().paths,
            caller,
            by,
        };
        Ok(Response::new(entry::update(&self.context, change).await?))
    }

    async fn delete_time_entry(
        &self,
        request: Request<proto::DeleteTimeEntryRequest>,
    ) -> Answer<proto::DeleteTimeEntryResponse> {
        let (caller, by, request) = staff(request)?;
        self.seen(&caller, uuid("id", &request.id)?).await?;
        entry::delete(&self.context, request, (caller, by)).await?;
        Ok(Response::new(proto::DeleteTimeEntryResponse {}))
    }

    async fn list_time_entries(
        &self,
        request: Request<proto::ListTimeEntriesRequest>,
    ) -> Answer<proto::ListTimeEntriesResponse> {
        let (caller, _, request) = called_by(PEOPLE, request)?;
        let ticket = match request.ticket_id.as_str() {
            "" if request.agent_id.is_empty() => {
                let why = "say whose time: of a ticket, of an agent, or both";
                return Err(ApiError::invalid("ticket_id", why).into());
            }
            "" => None,
            id => Some(self.context.hands.seen(&caller, id).await?),
        };
        let page = list::list(&self.context, &caller, ticket, &request).await?;
        Ok(Response::new(page))
    }

    async fn get_time_totals(
        &self,
        request: Request<proto::GetTimeTotalsRequest>,
    ) -> Answer<proto::TimeTotals> {
        let (caller, _, request) = called_by(PEOPLE, request)?;
        let ticket = self.context.hands.seen(&caller, &request.ticket_id).await?;
        if !self
            .context
            .hands
            .exists(ticket)
            .await
            .map_err(ApiError::from)?
        {
            return Err(ApiError::not_found("ticket", &request.ticket_id).into());
        }
        let below = request.with_sub_tickets;
        let totals = list::totals(&self.context, &caller, ticket, below).await?;
        Ok(Response::new(totals))
    }

    async fn export_time(
        &self,
        request: Request<proto::ExportTimeRequest>,
    ) -> Answer<Self::ExportTimeStream> {
        let (caller, _, request) = called_by(MANAGERS, request)?;
        let parts = export::export(self.context.clone(), caller, &request)?;
        Ok(Response::new(Box::pin(parts)))
    }
}

impl Times {
    /// NOT_FOUND unless the caller sees the ticket of an entry.
    async fn seen(&self, caller: &Caller, entry: Uuid) -> Result<(), ApiError> {
        let mut connection = self.context.connection().await?;
        let row = read(&mut connection, entry, false).await?;
        drop(connection);
        let ticket = row.ticket_id.to_string();
        let seen = self.context.hands.seen(caller, &ticket).await;
        seen.map(drop)
            .map_err(|_| ApiError::not_found("time entry", &entry))
    }
}
