//! Who is bound to teams meets nothing of the desk on tickets of others.

use std::sync::Arc;

use solmu_domain::ids::{AgentId, TeamId};
use solmu_proto::{
    ticket::v1::{
        self as proto, desk_service_server::DeskService, time_service_server::TimeService,
    },
    types::v1::{Actor, actor::Kind},
};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role, Visibility},
};
use solmu_testkit::Harness;
use solmu_tickets::{Config, desk::Opening};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::{context::Context, service::Desks, time::service::Times};

const MINE: Uuid = Uuid::from_u128(1);
const OTHERS: Uuid = Uuid::from_u128(2);
const ME: Uuid = Uuid::from_u128(3);

async fn world() -> (Harness, Arc<Context>) {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let (_, hands) = solmu_tickets::start_with_hands(&runtime, Config::default());
    (harness, Arc::new(Context::new(&runtime, hands)))
}

/// Opens a ticket of a team.
async fn ticket(context: &Arc<Context>, contact: Uuid, team: Uuid) -> Uuid {
    let id = context.new_id();
    let opened = context.db.tx("test.open", |tx| {
        let context = context.clone();
        Box::pin(async move {
            let requester = context.hands.requester(tx, contact).await?;
            let number = context.hands.next_number(tx).await?;
            let wanted = proto::Ticket {
                team_id: team.to_string(),
                ..proto::Ticket::default()
            };
            let by = Actor {
                kind: Kind::Service.into(),
                id: "test".to_owned(),
            };
            let opening = Opening {
                id,
                number,
                subject: "S",
                text: "t",
                wanted: &wanted,
                mask: &["team_id".to_owned()],
                parent: None,
                by: &by,
            };
            context.hands.open(tx, &requester, opening).await
        })
    });
    let opened: Result<(), ApiError> = opened.await;
    opened.unwrap();
    id
}

fn bound<T>(message: T) -> Request<T> {
    let agent = AgentId::from_uuid(ME);
    let seen = Visibility::Teams {
        agent,
        teams: [TeamId::from_uuid(MINE)].into(),
    };
    let mut request = Request::new(message);
    let caller = Caller::new("aaaaaaaa", Role::Agent, Some(agent)).seeing(seen);
    request.extensions_mut().insert(caller);
    request
}

fn free<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let caller = Caller::new("bbbbbbbb", Role::Admin, None);
    request.extensions_mut().insert(caller);
    request
}

fn spent(ticket: Uuid, agent: Uuid) -> proto::CreateTimeEntryRequest {
    proto::CreateTimeEntryRequest {
        entry: Some(proto::TimeEntry {
            ticket_id: ticket.to_string(),
            seconds: 60,
            agent_id: agent.to_string(),
            ..proto::TimeEntry::default()
        }),
        request_id: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_seen_is_not_there() {
    let (harness, context) = world().await;
    let contact = Uuid::from_u128(9);
    sqlx::query(
        "INSERT INTO tickets.contact (id, display_name, created_at) VALUES ($1, 'A', now())",
    )
    .bind(contact)
    .execute(harness.db.pool())
    .await
    .unwrap();
    let mine = ticket(&context, contact, MINE).await;
    let other = ticket(&context, contact, OTHERS).await;
    let times = Times {
        context: context.clone(),
    };
    let code = |status: Status| status.code();
    times
        .create_time_entry(free(spent(mine, ME)))
        .await
        .unwrap();
    let hidden = times.create_time_entry(free(spent(other, ME))).await;
    let hidden = hidden.unwrap().into_inner();
    let refused = times.create_time_entry(bound(spent(other, ME))).await;
    assert_eq!(refused.map(drop).map_err(code), Err(Code::NotFound));
    let start = proto::StartTimerRequest {
        ticket_id: other.to_string(),
        ..proto::StartTimerRequest::default()
    };
    let refused = times.start_timer(bound(start)).await;
    assert_eq!(refused.map(drop).map_err(code), Err(Code::NotFound));
    let update = proto::UpdateTimeEntryRequest {
        entry: Some(proto::TimeEntry {
            note: "mine".to_owned(),
            ..hidden.clone()
        }),
        update_mask: None,
    };
    let refused = times.update_time_entry(bound(update)).await;
    assert_eq!(refused.map(drop).map_err(code), Err(Code::NotFound));
    let delete = proto::DeleteTimeEntryRequest {
        id: hidden.id,
        etag: String::new(),
    };
    let refused = times.delete_time_entry(bound(delete)).await;
    assert_eq!(refused.map(drop).map_err(code), Err(Code::NotFound));
    let totals = proto::GetTimeTotalsRequest {
        ticket_id: other.to_string(),
        with_sub_tickets: true,
    };
    let refused = times.get_time_totals(bound(totals)).await;
    assert_eq!(refused.map(drop).map_err(code), Err(Code::NotFound));
    let list = proto::ListTimeEntriesRequest {
        agent_id: ME.to_string(),
        ..proto::ListTimeEntriesRequest::default()
    };
    let seen = times.list_time_entries(bound(list.clone())).await.unwrap();
    let all = times.list_time_entries(free(list)).await.unwrap();
    let counts = (
        seen.into_inner().entries.len(),
        all.into_inner().entries.len(),
    );
    assert_eq!(counts, (1, 2));

    let desk = Desks::new(context);
    let urgent = proto::BulkUpdateRequest {
        ticket: Some(proto::Ticket {
            priority: 4,
            ..proto::Ticket::default()
        }),
        filter: "open = true".to_owned(),
        ..proto::BulkUpdateRequest::default()
    };
    let dry = proto::BulkUpdateRequest {
        dry_run: true,
        ..urgent.clone()
    };
    let dry = desk.bulk_update(bound(dry)).await.unwrap().into_inner();
    let done = desk.bulk_update(bound(urgent)).await.unwrap().into_inner();
    let changed: Vec<String> = done.results.into_iter().map(|it| it.ticket_id).collect();
    assert_eq!((dry.matched, changed), (1, vec![mine.to_string()]));
}
