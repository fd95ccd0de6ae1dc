//! Whom a step means by team_lead and manager, changes that are only tried, and where a timer's trace leads.

use solmu_proto::{
    sla::v1::{
        ActionKind, Calendar, CreateCalendarRequest, CreatePolicyRequest, ListCalendarsRequest,
        ListPoliciesRequest, ListTeamContactsRequest, Policy, SetTeamContactsRequest, Step, Target,
        TeamContacts, UpdateCalendarRequest, UpdatePolicyRequest, step::At,
    },
    types::v1::Channel,
};
use solmu_runtime::access::Role;
use solmu_testkit::wait_for;
use tonic::Code;

use crate::support::{
    Node, Ticket, breaches, decided_after, escalations, harness, minutes, publish,
};

const TEAM: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";
const LEAD: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120011";
const SECOND: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120012";
const BOSS: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120013";

fn contacts(team: &str, leads: &[&str], managers: &[&str]) -> SetTeamContactsRequest {
    let texts = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    SetTeamContactsRequest {
        contacts: Some(TeamContacts {
            team_id: team.to_owned(),
            lead_agent_ids: texts(leads),
            manager_agent_ids: texts(managers),
        }),
    }
}

fn step(after: i32, target: &str, event_only: bool) -> Step {
    Step {
        at: Some(At::AfterSeconds(after)),
        action: ActionKind::Notify.into(),
        target: target.to_owned(),
        event_only,
        ..Step::default()
    }
}

/// One hour to the first response, then a lead and a manager.
async fn policy(node: &Node) -> CreatePolicyRequest {
    let mut admin = node.client(Role::Admin);
    let listed = admin.list_calendars(ListCalendarsRequest {}).await;
    let listed = listed.expect("everybody may read");
    let policy = Some(Policy {
        display_name: "Chain".to_owned(),
        calendar_id: listed.into_inner().calendars.remove(0).id,
        position: 1,
        targets: vec![Target {
            priority: "*".to_owned(),
            first_response_seconds: 3_600,
            ..Target::default()
        }],
        steps: vec![step(0, "team_lead", false), step(60, "manager", true)],
        ..Policy::default()
    });
    CreatePolicyRequest {
        policy,
        validate_only: false,
    }
}

#[tokio::test]
async fn a_step_names_those_who_lead_the_ticket_s_team() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut admin = node.client(Role::Admin);
    admin.create_policy(policy(&node).await).await.unwrap();
    let agent = node
        .client(Role::Agent)
        .set_team_contacts(contacts("", &[BOSS], &[]))
        .await;
    assert_eq!(agent.unwrap_err().code(), Code::PermissionDenied);
    for bad in [contacts("x", &[LEAD], &[]), contacts(TEAM, &["kaisa"], &[])] {
        let refused = admin.set_team_contacts(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let set = admin
        .set_team_contacts(contacts(TEAM, &[SECOND, LEAD, SECOND], &[]))
        .await;
    let own = set.unwrap().into_inner();
    assert_eq!(own.lead_agent_ids, [SECOND, LEAD], "each once, as given");
    admin
        .set_team_contacts(contacts("", &[BOSS], &[BOSS]))
        .await
        .unwrap();
    let listed = admin.list_team_contacts(ListTeamContactsRequest {}).await;
    let listed = listed.unwrap().into_inner().contacts;
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&own));

    let mut ticket = Ticket::new(&harness);
    ticket.state.team_id = TEAM.to_owned();
    let mut other = Ticket::new(&harness);
    publish(&harness, &[ticket.opened(), other.opened()]).await;
    harness.clock.set(minutes(&harness, 62));
    wait_for("each step of both", || async {
        escalations(&harness).await.len() == 4
    })
    .await;
    let told = escalations(&harness).await;
    let of = |ticket: &Ticket, target: &str| {
        let mut found = told.iter();
        let found = found.find(|it| it.ticket_id == ticket.id() && it.target == target);
        let found = found.expect("it was told");
        (found.agent_ids.clone(), found.event_only)
    };
    assert_eq!(of(&ticket, "team_lead"), (own.lead_agent_ids, false));
    assert_eq!(of(&other, "team_lead"), (vec![BOSS.to_owned()], false));
    let boss = (vec![BOSS.to_owned()], true);
    assert_eq!(of(&ticket, "manager"), boss, "the team has none of its own");
    // Taken away again.
    admin
        .set_team_contacts(contacts(TEAM, &[], &[]))
        .await
        .unwrap();
    let listed = admin.list_team_contacts(ListTeamContactsRequest {}).await;
    assert_eq!(listed.unwrap().into_inner().contacts.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn what_is_only_tried_changes_nothing() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut admin = node.client(Role::Admin);
    let tried = CreatePolicyRequest {
        validate_only: true,
        ..policy(&node).await
    };
    let would_be = admin
        .create_policy(tried.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((would_be.version, would_be.steps.len()), (1, 2));
    let nowhere = tried.policy.clone().map(|policy| Policy {
        calendar_id: TEAM.to_owned(),
        ..policy
    });
    let nowhere = CreatePolicyRequest {
        policy: nowhere,
        validate_only: true,
    };
    let refused = admin.create_policy(nowhere).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let listed = admin.list_policies(ListPoliciesRequest {}).await.unwrap();
    let before = listed.into_inner().policies;
    assert_eq!(before.len(), 1);
    let update = |etag: &str| UpdatePolicyRequest {
        policy: before.first().map(|policy| Policy {
            display_name: "Another name".to_owned(),
            etag: etag.to_owned(),
            ..policy.clone()
        }),
        validate_only: true,
    };
    let would_be = admin.update_policy(update("")).await.unwrap().into_inner();
    assert_eq!(
        (would_be.version, would_be.display_name.as_str()),
        (2, "Another name")
    );
    let stale = admin.update_policy(update("\"7\"")).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let calendar = |id: &str, definition: &str| {
        Some(Calendar {
            id: id.to_owned(),
            display_name: "Tried".to_owned(),
            definition_json: definition.to_owned(),
            ..Calendar::default()
        })
    };
    let create = |definition| CreateCalendarRequest {
        calendar: calendar("", definition),
        validate_only: true,
    };
    let always = r#"{"always_open": true}"#;
    let would_be = admin
        .create_calendar(create(always))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(would_be.version, 1);
    assert!(admin.create_calendar(create("{}")).await.is_err());
    let calendars = admin.list_calendars(ListCalendarsRequest {}).await.unwrap();
    let calendars = calendars.into_inner().calendars;
    let request = UpdateCalendarRequest {
        calendar: calendar(&calendars[0].id, always),
        validate_only: true,
    };
    let would_be = admin.update_calendar(request).await.unwrap().into_inner();
    assert_eq!(would_be.version, 2);
    let after = admin.list_calendars(ListCalendarsRequest {}).await.unwrap();
    assert_eq!(after.into_inner().calendars, calendars);
    let after = admin.list_policies(ListPoliciesRequest {}).await.unwrap();
    assert_eq!(after.into_inner().policies, before);
    node.stop().await;
}

#[tokio::test]
async fn a_ticket_s_clocks_know_the_trace_of_its_opening() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    // Without a subscriber there are no traces. That the link is exported is tested end to end.
    let config = solmu_telemetry::TelemetryConfig::default();
    let (dispatch, _guard) = solmu_telemetry::build(&config, Box::new(|_| {}), false).unwrap();
    drop(tracing::dispatcher::set_global_default(dispatch));
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    ticket.state.channel = Channel::Form.into();
    let mut opened = ticket.opened();
    opened.trace.traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    decided_after(&harness, &[opened]).await;
    let known: String = sqlx::query_scalar("SELECT first_trace FROM sla.ticket_clock")
        .fetch_one(harness.db.pool())
        .await
        .unwrap();
    assert_eq!(known.get(3..35), Some(TRACE), "{known}");
    harness.clock.set(minutes(&harness, 8 * 60));
    let node = {
        // The trace outlives who read it.
        node.stop().await;
        Node::start(&harness, "b").await
    };
    harness.clock.set(minutes(&harness, 30));
    wait_for("the breach", || async {
        !breaches(&harness).await.is_empty()
    })
    .await;
    let of_timer: Vec<u8> =
        sqlx::query_scalar("SELECT event FROM sla.told ORDER BY id DESC LIMIT 1")
            .fetch_one(harness.db.pool())
            .await
            .unwrap();
    let event: solmu_proto::bus::v1::Event = prost::Message::decode(of_timer.as_slice()).unwrap();
    let own = event.traceparent.get(3..35).unwrap_or_default();
    assert!(own.len() == 32 && own != TRACE, "a trace of its own: {own}");
    let again: String = sqlx::query_scalar("SELECT first_trace FROM sla.ticket_clock")
        .fetch_one(harness.db.pool())
        .await
        .unwrap();
    assert_eq!(again, known);
    node.stop().await;
}
