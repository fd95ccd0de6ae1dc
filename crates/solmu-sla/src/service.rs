//! `solmu.sla.v1.SlaService`: calendars, policies, and the clocks of a ticket. Admins manage, everybody reads.

use solmu_bus::envelope::to_proto_time;
use solmu_db::{Db, DbError};
use solmu_domain::{
    ids::{CalendarId, PolicyId, TicketId},
    sla::{ClockState, MetricReport},
};
use solmu_proto::sla::v1::{
    self as proto, CreateCalendarRequest, CreatePolicyRequest, ExplainTicketRequest,
    ExplainTicketResponse, ListCalendarsRequest, ListCalendarsResponse, ListPoliciesRequest,
    ListPoliciesResponse,
    sla_service_server::{SlaService, SlaServiceServer},
};
use solmu_runtime::{
    ApiError,
    access::{Role, caller},
};
use sqlx::PgConnection;
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    catalogue::CatalogueCache,
    changes::{Maker, proto_metric},
    store::{
        catalogue::{self as store, CalendarRow, PolicyRow},
        clocks,
    },
    tracked::PolicyKey,
    wanted::{WantedCalendar, WantedPolicy, targets_to_proto},
    worker::Worker,
};

/// Who may read.
const READERS: &[Role] = &[Role::Admin, Role::Agent, Role::Service];

/// The service.
pub(crate) struct SlaServer {
    db: Db,
    maker: Maker,
    catalogue: CatalogueCache,
}

impl SlaServer {
    pub(crate) fn new(worker: &Worker) -> Self {
        Self {
            db: worker.db.clone(),
            maker: worker.maker.clone(),
            catalogue: worker.catalogue.clone(),
        }
    }

    pub(crate) fn routes(self) -> Routes {
        Routes::new(SlaServiceServer::new(self))
    }

    async fn connection(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, ApiError> {
        let connection = self.db.pool().acquire().await;
        connection.map_err(|error| DbError::from(error).into())
    }

    async fn explain(&self, ticket: TicketId) -> Result<ExplainTicketResponse, ApiError> {
        let mut connection = self.connection().await?;
        let tracked = clocks::clock_fetch(&mut connection, ticket)
            .await?
            .ok_or_else(|| ApiError::not_found("ticket", &ticket))?;
        let Some(promise) = tracked.promise else {
            return Ok(ExplainTicketResponse::default());
        };
        let catalogue = self.catalogue.current(&mut connection).await?;
        let terms = catalogue
            .terms(promise.policy)
            .map_err(ApiError::internal)?;
        let now = self.maker.clock.now();
        let report = promise.clocks.report(now, &terms);
        let report = report.map_err(ApiError::internal)?;
        Ok(ExplainTicketResponse {
            policy_id: promise.policy.id.to_string(),
            clocks: report.metrics.iter().map(clock_to_proto).collect(),
        })
    }
}

#[tonic::async_trait]
impl SlaService for SlaServer {
    async fn create_calendar(
        &self,
        request: Request<CreateCalendarRequest>,
    ) -> Result<Response<proto::Calendar>, Status> {
        caller(&request)?.require(&[Role::Admin])?;
        let wanted = WantedCalendar::parse(request.into_inner())?;
        let row = CalendarRow {
            id: CalendarId::generate(self.maker.clock.as_ref(), self.maker.rng.as_ref()),
            version: 1,
            display_name: wanted.display_name,
            definition: wanted.definition,
        };
        let now = self.maker.clock.now();
        self.db
            .tx("sla.create_calendar", |tx| {
                let row = row.clone();
                Box::pin(async move {
                    store::revise(tx).await?;
                    store::calendar_insert(tx, &row, now).await
                })
            })
            .await
            .map_err(ApiError::from)?;
        tracing::info!(calendar.id = %row.id, "calendar created");
        Ok(Response::new(calendar_to_proto(&row)?))
    }

    async fn list_calendars(
        &self,
        request: Request<ListCalendarsRequest>,
    ) -> Result<Response<ListCalendarsResponse>, Status> {
        caller(&request)?.require(READERS)?;
        let mut connection = self.connection().await?;
        let rows = store::calendar_list(&mut connection).await;
        let rows = rows.map_err(ApiError::from)?;
        // The newest version of each: versions of one calendar follow each other.
        let newest = rows.chunk_by(|a, b| a.id == b.id).filter_map(<[_]>::last);
        let calendars = newest.map(calendar_to_proto).collect::<Result<_, _>>()?;
        Ok(Response::new(ListCalendarsResponse { calendars }))
    }

    async fn create_policy(
        &self,
        request: Request<CreatePolicyRequest>,
    ) -> Result<Response<proto::Policy>, Status> {
        caller(&request)?.require(&[Role::Admin])?;
        let wanted = WantedPolicy::parse(request.into_inner())?;
        let row = PolicyRow {
            key: PolicyKey {
                id: PolicyId::generate(self.maker.clock.as_ref(), self.maker.rng.as_ref()),
                version: 1,
            },
            current: true,
            position: wanted.position,
            display_name: wanted.display_name,
            condition: wanted.condition.to_filter_string(),
            tree: wanted.condition.condition().clone(),
            calendar: wanted.calendar,
            terms: wanted.terms,
        };
        let now = self.maker.clock.now();
        self.db
            .tx("sla.create_policy", |tx| {
                let row = row.clone();
                Box::pin(async move { policy_create(tx, &row, now).await })
            })
            .await?;
        tracing::info!(policy.id = %row.key.id, "policy created");
        Ok(Response::new(policy_to_proto(&row)))
    }

    async fn list_policies(
        &self,
        request: Request<ListPoliciesRequest>,
    ) -> Result<Response<ListPoliciesResponse>, Status> {
        caller(&request)?.require(READERS)?;
        let mut connection = self.connection().await?;
        let rows = store::policy_list(&mut connection).await;
        let rows = rows.map_err(ApiError::from)?;
        let current = rows.iter().filter(|row| row.current);
        let policies = current.map(policy_to_proto).collect();
        Ok(Response::new(ListPoliciesResponse { policies }))
    }

    async fn explain_ticket(
        &self,
        request: Request<ExplainTicketRequest>,
    ) -> Result<Response<ExplainTicketResponse>, Status> {
        caller(&request)?.require(READERS)?;
        let ticket: TicketId = request
            .into_inner()
            .ticket_id
            .parse()
            .map_err(|error| ApiError::invalid("ticket_id", format!("{error}")))?;
        Ok(Response::new(self.explain(ticket).await?))
    }
}

async fn policy_create(
    tx: &mut PgConnection,
    row: &PolicyRow,
    now: jiff::Timestamp,
) -> Result<(), ApiError> {
    store::revise(tx).await?;
    if !store::calendar_exists(tx, row.calendar).await? {
        let message = format!("there is no calendar '{}'", row.calendar);
        return Err(ApiError::invalid("policy.calendar_id", message));
    }
    store::policy_insert(tx, row, now).await?;
    Ok(())
}

fn calendar_to_proto(row: &CalendarRow) -> Result<proto::Calendar, ApiError> {
    let definition_json = serde_json::to_string(&row.definition).map_err(ApiError::internal)?;
    Ok(proto::Calendar {
        id: row.id.to_string(),
        display_name: row.display_name.clone(),
        definition_json,
    })
}

fn policy_to_proto(row: &PolicyRow) -> proto::Policy {
    let seconds = row.terms.remind_before_s.unwrap_or_default();
    proto::Policy {
        id: row.key.id.to_string(),
        display_name: row.display_name.clone(),
        position: row.position,
        condition: row.condition.clone(),
        calendar_id: row.calendar.to_string(),
        targets: targets_to_proto(&row.terms.targets),
        pause_on: crate::wanted::pauses_to_proto(&row.terms.pause_on),
        remind_before_seconds: i32::try_from(seconds).unwrap_or(i32::MAX),
    }
}

fn clock_to_proto(report: &MetricReport) -> proto::Clock {
    let state = match report.state {
        ClockState::Met => "met",
        ClockState::Void => "void",
        ClockState::Running | ClockState::Paused if report.breached => "breached",
        ClockState::Running => "running",
        ClockState::Paused => "paused",
    };
    proto::Clock {
        metric: proto_metric(report.metric).into(),
        state: state.to_owned(),
        elapsed_seconds: report.elapsed_s,
        due_time: report.due.map(to_proto_time),
        breached: report.breached,
    }
}
