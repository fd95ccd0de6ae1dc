//! What a call changes and tells of tickets that the caller does not see.

use std::sync::Arc;

use solmu_domain::ids::{AgentId, TeamId};
use solmu_proto::{
    ticket::v1::{self as proto, ticket_service_server::TicketService as _},
    types::v1::{Actor, TicketStatus, actor::Kind},
};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role, Visibility},
};
use solmu_testkit::Harness;
use tokio::sync::Semaphore;
use tonic::{Code, Request};
use uuid::Uuid;

use super::tickets::Tickets;
use crate::{
    Config,
    context::Context,
    desk::{Hands, Opening},
};

const MINE: Uuid = Uuid::from_u128(1);
const OTHERS: Uuid = Uuid::from_u128(2);
const ME: Uuid = Uuid::from_u128(3);
const CONTACT: Uuid = Uuid::from_u128(9);

struct World {
    _harness: Harness,
    context: Arc<Context>,
    hands: Hands,
    tickets: Tickets,
}

impl World {
    async fn new() -> Self {
        let harness = Harness::new().await;
        let runtime = harness.runtime("a");
        let (_, hands) = crate::start_with_hands(&runtime, Config::default());
        let context = Arc::new(Context::new(&runtime, Config::default()));
        sqlx::query(
            "INSERT INTO tickets.contact (id, display_name, created_at) VALUES ($1, 'A', now())",
        )
        .bind(CONTACT)
        .execute(harness.db.pool())
        .await
        .unwrap();
        let tickets = Tickets {
            context: context.clone(),
            watchers: Arc::new(Semaphore::new(1)),
        };
        Self {
            _harness: harness,
            context,
            hands,
            tickets,
        }
    }

    /// Opens a ticket of a team.
    async fn open(&self, team: Uuid) -> Uuid {
        let id =
            solmu_domain::ids::new_uuid(self.context.clock.as_ref(), self.context.rng.as_ref());
        let opened = self.context.db.tx("test.open", |tx| {
            let hands = self.hands.clone();
            Box::pin(async move {
                let requester = hands.requester(tx, CONTACT).await?;
                let number = hands.next_number(tx).await?;
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
                hands.open(tx, &requester, opening).await
            })
        });
        let opened: Result<(), ApiError> = opened.await;
        opened.unwrap();
        id
    }

    async fn change(&self, ticket: proto::Ticket) {
        let request = proto::UpdateTicketRequest {
            ticket: Some(ticket),
            ..proto::UpdateTicketRequest::default()
        };
        self.tickets.update_ticket(free(request)).await.unwrap();
    }

    async fn attach(&self, child: Uuid, parent: Uuid) {
        self.change(proto::Ticket {
            id: child.to_string(),
            parent_id: parent.to_string(),
            ..proto::Ticket::default()
        })
        .await;
    }

    /// Restricted, team and assignee.
    async fn stand(&self, ticket: Uuid) -> (bool, String, String) {
        let id = ticket.to_string();
        let request = free(proto::GetTicketRequest { id });
        let it = self.tickets.get_ticket(request).await.unwrap().into_inner();
        (it.restricted, it.team_id, it.assignee_id)
    }

    async fn sees(&self, ticket: Uuid) -> bool {
        let id = ticket.to_string();
        let request = bound(proto::GetTicketRequest { id });
        self.tickets.get_ticket(request).await.is_ok()
    }
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

fn restrict(ticket: Uuid) -> proto::RestrictTicketRequest {
    proto::RestrictTicketRequest {
        ticket_id: ticket.to_string(),
        agent_ids: vec![ME.to_string()],
        reason: "a threat".to_owned(),
        ..proto::RestrictTicketRequest::default()
    }
}

fn unrestrict(ticket: Uuid) -> proto::UnrestrictTicketRequest {
    proto::UnrestrictTicketRequest {
        ticket_id: ticket.to_string(),
        reason: "it was nothing".to_owned(),
        ..proto::UnrestrictTicketRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restriction_shows_nobody_what_they_do_not_see() {
    let world = World::new().await;
    let (parent, part, hidden) = (
        world.open(MINE).await,
        world.open(MINE).await,
        world.open(OTHERS).await,
    );
    world.attach(part, parent).await;
    world.attach(hidden, parent).await;
    let free_of = |team: Uuid| (false, team.to_string(), String::new());
    let to_me = |team: Uuid| (true, team.to_string(), ME.to_string());

    // Nor does a refusal name it.
    let over = proto::SetStatusRequest {
        ticket_id: parent.to_string(),
        status: TicketStatus::Resolved.into(),
        ..proto::SetStatusRequest::default()
    };
    let refused = world.tickets.set_status(bound(over)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(!refused.message().contains('#'), "{refused}");

    let done = world.tickets.restrict_ticket(bound(restrict(parent))).await;
    assert!(done.unwrap().into_inner().restricted);
    assert_eq!(world.stand(parent).await, to_me(MINE));
    assert_eq!(world.stand(part).await, to_me(MINE));
    assert_eq!(world.stand(hidden).await, free_of(OTHERS));
    assert!(!world.sees(hidden).await);
    let reason: String = sqlx::query_scalar(
        "SELECT reason FROM tickets.activity WHERE ticket_id = $1 ORDER BY sequence DESC LIMIT 1",
    )
    .bind(parent)
    .fetch_one(world.context.db.pool())
    .await
    .unwrap();
    assert!(
        reason.contains("1 sub-ticket that they do not see"),
        "{reason}"
    );

    // Its end gives back what it took.
    let ended = world.tickets.unrestrict_ticket(bound(unrestrict(parent)));
    ended.await.unwrap();
    assert_eq!(world.stand(parent).await, free_of(MINE));
    assert_eq!(world.stand(part).await, free_of(MINE));

    // Who sees all takes all along; each goes back to its own team.
    let done = world.tickets.restrict_ticket(free(restrict(parent))).await;
    done.unwrap();
    assert_eq!(world.stand(hidden).await, to_me(OTHERS));
    let ended = world.tickets.unrestrict_ticket(bound(unrestrict(parent)));
    ended.await.unwrap();
    assert_eq!(world.stand(hidden).await, free_of(OTHERS));
    assert!(!world.sees(hidden).await);

    // What somebody gave to others meanwhile stays with these.
    let done = world.tickets.restrict_ticket(free(restrict(parent))).await;
    done.unwrap();
    world
        .change(proto::Ticket {
            id: part.to_string(),
            team_id: OTHERS.to_string(),
            ..proto::Ticket::default()
        })
        .await;
    let ended = world.tickets.unrestrict_ticket(free(unrestrict(parent)));
    ended.await.unwrap();
    let kept = (false, OTHERS.to_string(), ME.to_string());
    assert_eq!(world.stand(part).await, kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmerge_needs_sight_of_both_tickets() {
    let world = World::new().await;
    let (source, target) = (world.open(MINE).await, world.open(MINE).await);
    let merge = proto::MergeTicketsRequest {
        source_ids: vec![source.to_string()],
        target_id: target.to_string(),
        ..proto::MergeTicketsRequest::default()
    };
    world.tickets.merge_tickets(free(merge)).await.unwrap();
    world
        .change(proto::Ticket {
            id: target.to_string(),
            team_id: OTHERS.to_string(),
            ..proto::Ticket::default()
        })
        .await;
    assert!(world.sees(source).await && !world.sees(target).await);
    let number: i64 = sqlx::query_scalar("SELECT number FROM tickets.ticket WHERE id = $1")
        .bind(source)
        .fetch_one(world.context.db.pool())
        .await
        .unwrap();
    let unmerge = |ticket_id: String| proto::UnmergeTicketRequest {
        ticket_id,
        ..proto::UnmergeTicketRequest::default()
    };
    for name in [source.to_string(), format!("#{number}")] {
        let refused = world.tickets.unmerge_ticket(bound(unmerge(name))).await;
        assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    }
    let done = world
        .tickets
        .unmerge_ticket(free(unmerge(source.to_string())));
    done.await.unwrap();
    // What stands for itself has no target.
    let again = world
        .tickets
        .unmerge_ticket(bound(unmerge(source.to_string())));
    assert_eq!(again.await.unwrap_err().code(), Code::FailedPrecondition);
}
