//! `solmu.sla.v1.SlaService`: calendars, policies, the clocks of a ticket, attainment. Admins manage, everybody reads.
//!
//! This file is the list of methods with who may call them; what they do is in the modules below it.

mod attainment;
mod calendars;
mod contacts;
mod explain;
mod policies;

use solmu_db::{Db, DbError};
use solmu_proto::sla::v1::{
    self as proto,
    sla_service_server::{SlaService, SlaServiceServer},
};
use solmu_runtime::{
    ApiError,
    access::{Role, caller},
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{catalogue::CatalogueCache, changes::Maker, worker::Worker};

/// Who may read.
const READERS: &[Role] = &[Role::Admin, Role::Agent, Role::Service];
/// Who may change.
const WRITERS: &[Role] = &[Role::Admin];

/// The service.
pub(crate) struct SlaServer {
    db: Db,
    maker: Maker,
    catalogue: CatalogueCache,
    worker: Worker,
}

impl SlaServer {
    pub(crate) fn new(worker: &Worker) -> Self {
        Self {
            db: worker.db.clone(),
            maker: worker.maker.clone(),
            catalogue: worker.catalogue.clone(),
            worker: worker.clone(),
        }
    }

    pub(crate) fn routes(self) -> Routes {
        Routes::new(SlaServiceServer::new(self))
    }

    async fn connection(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, ApiError> {
        let connection = self.db.pool().acquire().await;
        connection.map_err(|error| DbError::from(error).into())
    }
}

/// Refuses a change of a version that is not the newest any more. An empty etag overwrites.
fn check_etag(given: &str, current: &str) -> Result<(), ApiError> {
    if given.is_empty() || given == current {
        return Ok(());
    }
    Err(ApiError::Aborted {
        reason: "STALE_ETAG",
        message: "it has changed since it was read".to_owned(),
    })
}

/// Methods that check who calls, and what they see where that is named, and hand the request on.
macro_rules! methods {
    ($($name:ident($request:ident) -> $answer:ident, $roles:expr $(, $check:ident)?;)*) => {
        #[tonic::async_trait]
        impl SlaService for SlaServer {
            $(async fn $name(
                &self,
                request: Request<proto::$request>,
            ) -> Result<Response<proto::$answer>, Status> {
                let caller = caller(&request)?;
                caller.require($roles)?;
                $(self.$check(caller, request.get_ref()).await?;)?
                Ok(Response::new(self.$name(request.into_inner()).await?))
            })*
        }
    };
}

methods! {
    create_calendar(CreateCalendarRequest) -> Calendar, WRITERS;
    get_calendar(GetCalendarRequest) -> Calendar, READERS;
    list_calendars(ListCalendarsRequest) -> ListCalendarsResponse, READERS;
    update_calendar(UpdateCalendarRequest) -> Calendar, WRITERS;
    delete_calendar(DeleteCalendarRequest) -> DeleteCalendarResponse, WRITERS;
    preview_calendar(PreviewCalendarRequest) -> PreviewCalendarResponse, READERS;
    import_holidays(ImportHolidaysRequest) -> ImportHolidaysResponse, WRITERS;
    set_team_calendar(SetTeamCalendarRequest) -> TeamCalendar, WRITERS;
    list_team_calendars(ListTeamCalendarsRequest) -> ListTeamCalendarsResponse, READERS;
    set_team_contacts(SetTeamContactsRequest) -> TeamContacts, WRITERS;
    list_team_contacts(ListTeamContactsRequest) -> ListTeamContactsResponse, READERS;
    create_policy(CreatePolicyRequest) -> Policy, WRITERS;
    get_policy(GetPolicyRequest) -> Policy, READERS;
    list_policies(ListPoliciesRequest) -> ListPoliciesResponse, READERS;
    update_policy(UpdatePolicyRequest) -> Policy, WRITERS;
    delete_policy(DeletePolicyRequest) -> DeletePolicyResponse, WRITERS;
    explain_ticket(ExplainTicketRequest) -> ExplainTicketResponse, READERS, check_sight;
    get_attainment(GetAttainmentRequest) -> GetAttainmentResponse, READERS;
}
