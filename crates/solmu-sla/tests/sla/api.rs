//! Calendars, policies and roles over gRPC.

use solmu_bus::envelope::to_proto_time;
use solmu_proto::{
    sla::v1::{
        Calendar, CreateCalendarRequest, CreatePolicyRequest, ExplainTicketRequest,
        ListCalendarsRequest, ListPoliciesRequest, Policy, Target,
    },
    types::v1::Channel,
};
use solmu_runtime::access::Role;
use solmu_testkit::Harness;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{Node, Ticket, decided_after, harness, publish, told};

/// Weekdays 8 to 16 in Helsinki; Monday 2 November 2026, on which tests begin at 10:00, is a holiday.
const OFFICE: &str = r#"{"tz": "Europe/Helsinki", "holidays": ["2026-11-02"], "hours": {
    "mon": [["08:00", "16:00"]], "tue": [["08:00", "16:00"]], "wed": [["08:00", "16:00"]],
    "thu": [["08:00", "16:00"]], "fri": [["08:00", "16:00"]]}}"#;

fn calendar(definition: &str) -> CreateCalendarRequest {
    CreateCalendarRequest {
        calendar: Some(Calendar {
            display_name: "Office".to_owned(),
            definition_json: definition.to_owned(),
            ..Calendar::default()
        }),
        validate_only: false,
    }
}

fn policy(calendar_id: String, condition: &str) -> CreatePolicyRequest {
    CreatePolicyRequest {
        policy: Some(Policy {
            display_name: "Chat".to_owned(),
            position: 1,
            condition: condition.to_owned(),
            calendar_id,
            targets: vec![Target {
                priority: "*".to_owned(),
                first_response_seconds: 2 * 3_600,
                ..Target::default()
            }],
            pause_on: vec!["waiting_on_customer".to_owned()],
            ..Policy::default()
        }),
        validate_only: false,
    }
}

#[tokio::test]
async fn a_new_policy_with_its_calendar_holds_for_the_next_ticket() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut before = Ticket::new(&harness);
    before.state.channel = Channel::Chat.into();
    let default = decided_after(&harness, &[before.opened()]).await.policy_id;

    let mut admin = node.client(Role::Admin);
    let office = admin.create_calendar(calendar(OFFICE)).await.unwrap();
    let office = office.into_inner();
    let made = admin.create_policy(policy(office.id.clone(), "channel=chat"));
    let made = made.await.unwrap().into_inner();
    assert_eq!(made.condition, r#"channel = "chat""#);

    let mut chat = Ticket::new(&harness);
    chat.state.channel = Channel::Chat.into();
    let decided = decided_after(&harness, &[chat.opened()]).await;
    assert_eq!(decided.policy_id, made.id);
    // Closed all Monday: two hours after Tuesday 08:00 in Helsinki.
    let due = "2026-11-03T08:00:00Z".parse().unwrap();
    assert_eq!(decided.first_response_due_time, Some(to_proto_time(due)));
    assert_eq!(decided.resolution_due_time, None);

    let mut mail = Ticket::new(&harness);
    let decided = decided_after(&harness, &[mail.opened()]).await;
    assert_eq!(decided.policy_id, default);

    let mut agent = node.client(Role::Agent);
    let policies = agent.list_policies(ListPoliciesRequest {}).await.unwrap();
    let names = |policy: &Policy| policy.display_name.clone();
    let policies = policies.into_inner().policies;
    let listed: Vec<_> = policies.iter().map(names).collect();
    assert_eq!(listed, ["Chat", "Default"]);
    assert_eq!(policies[0], made);
    assert_eq!(policies[1].remind_before_seconds, 900);
    let calendars = agent.list_calendars(ListCalendarsRequest {}).await.unwrap();
    assert!(calendars.into_inner().calendars.contains(&office));
    node.stop().await;
}

#[tokio::test]
async fn a_ticket_without_a_policy_has_no_clocks() {
    let harness = Harness::new().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    let opened = ticket.opened();
    publish(&harness, &[opened]).await;
    assert!(told(&harness).await.is_empty());
    let request = ExplainTicketRequest {
        ticket_id: ticket.id(),
    };
    let explained = node.client(Role::Agent).explain_ticket(request).await;
    let explained = explained.unwrap().into_inner();
    assert!(explained.policy_id.is_empty() && explained.clocks.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn roles_are_checked_and_faults_have_fields() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut agent = node.client(Role::Agent);
    let refused = agent.create_calendar(calendar(OFFICE)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let nobodys = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";
    let refused = agent.create_policy(policy(nobodys.to_owned(), "")).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);

    let mut admin = node.client(Role::Admin);
    let field_of = |status: &tonic::Status| {
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        details.bad_request().unwrap().field_violations[0]
            .field
            .clone()
    };
    let never = admin.create_calendar(calendar(r#"{"tz": "UTC"}"#)).await;
    assert_eq!(
        field_of(&never.unwrap_err()),
        "calendar.definition_json.hours"
    );
    let unknown = admin.create_policy(policy(nobodys.to_owned(), "")).await;
    assert_eq!(field_of(&unknown.unwrap_err()), "policy.calendar_id");

    let explain = |ticket_id: &str| ExplainTicketRequest {
        ticket_id: ticket_id.to_owned(),
    };
    let missing = agent.explain_ticket(explain(nobodys)).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
    let wrong = agent.explain_ticket(explain("7")).await.unwrap_err();
    assert_eq!(field_of(&wrong), "ticket_id");
    node.stop().await;
}

#[tokio::test]
async fn the_defaults_are_made_once() {
    let harness = Harness::new().await;
    let make = || solmu_sla::bootstrap(&harness.db, &harness.clock, harness.rng.as_ref());
    let (first, second) = tokio::join!(make(), make());
    assert!(first.unwrap() ^ second.unwrap());
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM sla.policy")
        .fetch_one(harness.db.pool())
        .await
        .unwrap();
    assert_eq!(count, 1);
}
