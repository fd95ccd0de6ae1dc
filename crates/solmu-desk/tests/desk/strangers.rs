//! Nothing is given to an agent or a team that is not there; and what nobody can say is believed.

use axum::{Router, body::Bytes, extract::OriginalUri, http::HeaderValue, response::Response};
use prost::Message as _;
use solmu_proto::{
    routing::v1::{Agent, GetAgentRequest, ListTeamsResponse, Team},
    ticket::v1::{self as proto, macro_step::Step},
};
use solmu_tickets::{AgentMail, Config};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::{AGENT, Api, fields, opened};

/// Somebody who works there, besides the agent of the tests.
const BERIT: Uuid = Uuid::from_u128(79);
/// Somebody who was removed.
const GONE: Uuid = Uuid::from_u128(80);
const TEAM: Uuid = Uuid::from_u128(500);
/// Neither an agent nor a team.
const NOBODY: Uuid = Uuid::from_u128(9_999);

/// A router as far as it is asked who exists.
async fn router() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(|uri: OriginalUri, body: Bytes| async move {
        match uri.path().rsplit('/').next() {
            Some("GetAgent") => agent(&body),
            Some("ListTeams") => answer(
                0,
                &ListTeamsResponse {
                    teams: vec![Team {
                        id: TEAM.to_string(),
                        ..Team::default()
                    }],
                }
                .encode_to_vec(),
            ),
            _ => answer(12, &[]),
        }
    });
    tokio_util::task::TaskTracker::new().spawn(async move { axum::serve(listener, app).await });
    endpoint
}

fn agent(body: &[u8]) -> Response {
    let asked = GetAgentRequest::decode(&body[5..]).unwrap().id;
    let known = [AGENT, BERIT, GONE].map(|it| it.to_string());
    if !known.contains(&asked) {
        return answer(5, &[]);
    }
    let archive_time = (asked == GONE.to_string()).then(prost_types::Timestamp::default);
    let told = Agent {
        id: asked,
        archive_time,
        ..Agent::default()
    };
    answer(0, &told.encode_to_vec())
}

/// An answer over gRPC, whose status stands in the head.
fn answer(status: u8, message: &[u8]) -> Response {
    let mut body = Vec::new();
    if status == 0 {
        body.push(0);
        body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend_from_slice(message);
    }
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    response
}

async fn api(roster_endpoint: String) -> Api {
    Api::configured(Config {
        agent_mail: AgentMail {
            roster_endpoint,
            // A slow machine is no router that is away.
            roster_patience_ms: 120_000,
            ..AgentMail::default()
        },
        ..Config::default()
    })
    .await
}

fn refused<T>(answer: Result<T, Status>) -> Vec<String> {
    let status = answer.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    fields(&status)
}

fn assign(ticket: Uuid, agent: Uuid, team: Uuid) -> proto::AssignTicketRequest {
    let text = |id: Uuid| {
        if id.is_nil() {
            String::new()
        } else {
            id.to_string()
        }
    };
    proto::AssignTicketRequest {
        ticket_id: ticket.to_string(),
        agent_id: text(agent),
        team_id: text(team),
        ..proto::AssignTicketRequest::default()
    }
}

fn owner(ticket: Uuid, agent: Uuid, team: Uuid) -> proto::UpdateTicketRequest {
    proto::UpdateTicketRequest {
        ticket: Some(proto::Ticket {
            id: ticket.to_string(),
            assignee_id: agent.to_string(),
            team_id: team.to_string(),
            ..proto::Ticket::default()
        }),
        ..proto::UpdateTicketRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_to_who_is_not_there() {
    let api = api(router().await).await;
    let ticket = opened(&api).await.id;
    let mut tickets = api.tickets();
    let given = tickets
        .assign_ticket(api.agent(assign(ticket, NOBODY, NOBODY)))
        .await;
    assert_eq!(refused(given), ["agent_id", "team_id"]);
    let given = tickets
        .assign_ticket(api.agent(assign(ticket, GONE, Uuid::nil())))
        .await;
    assert_eq!(refused(given), ["agent_id"], "who was removed is not there");
    let given = tickets
        .assign_ticket(api.agent(assign(ticket, AGENT, TEAM)))
        .await;
    assert_eq!(given.unwrap().into_inner().team_id, TEAM.to_string());
    let given = tickets
        .update_ticket(api.agent(owner(ticket, BERIT, NOBODY)))
        .await;
    assert_eq!(refused(given), ["ticket.team_id"]);
    let restricted = proto::RestrictTicketRequest {
        ticket_id: ticket.to_string(),
        agent_ids: vec![AGENT.to_string(), NOBODY.to_string()],
        team_ids: vec![TEAM.to_string()],
        reason: "a threat".to_owned(),
        ..proto::RestrictTicketRequest::default()
    };
    let restricted = tickets.restrict_ticket(api.agent(restricted)).await;
    assert_eq!(refused(restricted), ["agent_ids"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_work_or_a_heap_of_tickets() {
    let api = api(router().await).await;
    let ticket = opened(&api).await.id;
    let follower = proto::AddFollowerRequest {
        ticket_id: ticket.to_string(),
        agent_id: NOBODY.to_string(),
        ..proto::AddFollowerRequest::default()
    };
    assert_eq!(
        refused(api.work().add_follower(api.agent(follower)).await),
        ["agent_id"]
    );
    let task = |assignee: Uuid| proto::Task {
        ticket_id: ticket.to_string(),
        title: "call".to_owned(),
        assignee_id: assignee.to_string(),
        ..proto::Task::default()
    };
    let create = |task| proto::CreateTaskRequest {
        task: Some(task),
        ..proto::CreateTaskRequest::default()
    };
    let made = api
        .work()
        .create_task(api.agent(create(task(NOBODY))))
        .await;
    assert_eq!(refused(made), ["task.assignee_id"]);
    let made = api.work().create_task(api.agent(create(task(BERIT)))).await;
    let mut made = made.unwrap().into_inner();
    made.assignee_id = NOBODY.to_string();
    let update = proto::UpdateTaskRequest {
        task: Some(made),
        ..proto::UpdateTaskRequest::default()
    };
    let changed = api.work().update_task(api.agent(update)).await;
    assert_eq!(refused(changed), ["task.assignee_id"]);

    let bulk = proto::BulkUpdateRequest {
        ticket_ids: vec![ticket.to_string()],
        ticket: Some(proto::Ticket {
            team_id: NOBODY.to_string(),
            ..proto::Ticket::default()
        }),
        ..proto::BulkUpdateRequest::default()
    };
    let done = api
        .desk()
        .bulk_update(api.agent(bulk))
        .await
        .unwrap()
        .into_inner();
    let told = &done.results[0];
    assert_eq!(told.code, i32::from(Code::InvalidArgument), "{told:?}");
    assert!(
        told.message.contains("there is no team"),
        "{}",
        told.message
    );
    let whose = "SELECT count(*) FROM tickets.ticket WHERE team_id IS NOT NULL";
    assert_eq!(api.world.count(whose).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_by_what_is_kept_for_later() {
    let api = api(router().await).await;
    let ticket = opened(&api).await.id;
    let with = |agent: Uuid, team: Uuid| proto::Macro {
        name: "Hand over".to_owned(),
        steps: vec![proto::MacroStep {
            step: Some(Step::Assign(proto::MacroOwner {
                agent_id: agent.to_string(),
                team_id: team.to_string(),
                to_me: false,
            })),
        }],
        ..proto::Macro::default()
    };
    let create = |it| proto::CreateMacroRequest {
        r#macro: Some(it),
        ..proto::CreateMacroRequest::default()
    };
    let made = api
        .desk()
        .create_macro(api.admin(create(with(NOBODY, TEAM))))
        .await;
    assert_eq!(refused(made), ["macro.steps[0].assign.agent_id"]);
    let made = api
        .desk()
        .create_macro(api.admin(create(with(BERIT, TEAM))))
        .await;
    let made = made.unwrap().into_inner();
    let theirs = proto::Macro {
        team_id: NOBODY.to_string(),
        ..with(BERIT, TEAM)
    };
    let elsewhere = api.desk().create_macro(api.admin(create(theirs))).await;
    assert_eq!(refused(elsewhere), ["macro.team_id"]);
    // Berit leaves: what is kept names her still, and does not stand in the way of other changes of it.
    sqlx::query("UPDATE tickets.desk_item SET content = $1")
        .bind(with(GONE, TEAM).encode_to_vec())
        .execute(api.world.pool())
        .await
        .unwrap();
    let apply = proto::ApplyMacroRequest {
        macro_id: made.id.clone(),
        ticket_id: ticket.to_string(),
        ..proto::ApplyMacroRequest::default()
    };
    let applied = api.desk().apply_macro(api.agent(apply)).await;
    assert_eq!(applied.unwrap_err().code(), Code::InvalidArgument);
    let renamed = proto::Macro {
        id: made.id,
        name: "Renamed".to_owned(),
        ..with(GONE, TEAM)
    };
    let renamed = proto::UpdateMacroRequest {
        r#macro: Some(renamed),
    };
    api.desk().update_macro(api.admin(renamed)).await.unwrap();

    let item = proto::CatalogueItem {
        name: "Laptop".to_owned(),
        ticket: Some(proto::TicketTemplate {
            subject: "A laptop".to_owned(),
            text: "please".to_owned(),
            team_id: NOBODY.to_string(),
            tasks: vec![proto::TaskTemplate {
                title: "order".to_owned(),
                assignee_id: NOBODY.to_string(),
                ..proto::TaskTemplate::default()
            }],
            ..proto::TicketTemplate::default()
        }),
        ..proto::CatalogueItem::default()
    };
    let request = proto::CreateCatalogueItemRequest {
        item: Some(item),
        ..proto::CreateCatalogueItemRequest::default()
    };
    let made = api
        .catalogue()
        .create_catalogue_item(api.admin(request))
        .await;
    let wanted = ["item.ticket.team_id", "item.ticket.tasks[0].assignee_id"];
    assert_eq!(refused(made), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_router_everybody_is_believed() {
    // Nobody listens there: the port was given back.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let api = api(endpoint).await;
    let ticket = opened(&api).await.id;
    for agent in [NOBODY, BERIT] {
        let given = api
            .tickets()
            .assign_ticket(api.agent(assign(ticket, agent, NOBODY)))
            .await;
        assert_eq!(given.unwrap().into_inner().assignee_id, agent.to_string());
    }
}
