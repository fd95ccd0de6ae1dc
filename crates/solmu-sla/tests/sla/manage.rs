//! Versions, etags, previews, holidays out of files, and attainment over gRPC.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    sla::v1::{
        Calendar, CreateCalendarRequest, CreatePolicyRequest, DeleteCalendarRequest,
        DeletePolicyRequest, GetAttainmentRequest, GetCalendarRequest, GetPolicyRequest,
        ImportHolidaysRequest, ListCalendarsRequest, ListPoliciesRequest, ListTeamCalendarsRequest,
        Metric, Policy, PreviewCalendarRequest, SetTeamCalendarRequest, UpdateCalendarRequest,
        UpdatePolicyRequest,
    },
    types::v1::{TicketStatus, actor::Kind},
};
use solmu_runtime::access::Role;
use solmu_testkit::wait_for;
use tonic::Code;

use crate::support::{Node, Ticket, breaches, decided_after, harness, minutes, publish};

const TEAM: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";
const OFFICE: &str = r#"{"tz": "Europe/Helsinki", "holidays": ["*-12-06"], "hours": {
    "mon": [["08:00", "16:00"]], "tue": [["08:00", "16:00"]], "sun": [["08:00", "16:00"]]}}"#;

fn office() -> CreateCalendarRequest {
    CreateCalendarRequest {
        calendar: Some(Calendar {
            display_name: "Office".to_owned(),
            definition_json: OFFICE.to_owned(),
            ..Calendar::default()
        }),
        validate_only: false,
    }
}

#[tokio::test]
async fn a_calendar_has_versions_and_is_kept_while_it_is_used() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut admin = node.client(Role::Admin);
    let made = admin.create_calendar(office()).await.unwrap().into_inner();
    assert_eq!((made.version, made.etag.as_str()), (1, "\"1\""));
    let changed = Calendar {
        display_name: "Office hours".to_owned(),
        ..made.clone()
    };
    let update = |calendar: &Calendar| UpdateCalendarRequest {
        calendar: Some(calendar.clone()),
        validate_only: false,
    };
    let second = admin.update_calendar(update(&changed)).await.unwrap();
    let second = second.into_inner();
    assert_eq!(second.version, 2);
    let stale = admin.update_calendar(update(&changed)).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let refused = node
        .client(Role::Agent)
        .update_calendar(update(&second))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let get = |id: &str| GetCalendarRequest { id: id.to_owned() };
    let got = admin.get_calendar(get(&made.id)).await.unwrap();
    assert_eq!(got.into_inner(), second);

    let set = |calendar_id: &str| SetTeamCalendarRequest {
        team_id: TEAM.to_owned(),
        calendar_id: calendar_id.to_owned(),
    };
    admin.set_team_calendar(set(&made.id)).await.unwrap();
    let listed = admin.list_team_calendars(ListTeamCalendarsRequest {}).await;
    assert_eq!(listed.unwrap().into_inner().team_calendars.len(), 1);
    let delete = || DeleteCalendarRequest {
        id: made.id.clone(),
        etag: String::new(),
    };
    let used = admin.delete_calendar(delete()).await.unwrap_err();
    assert_eq!(used.code(), Code::FailedPrecondition);
    admin.set_team_calendar(set("")).await.unwrap();
    admin.delete_calendar(delete()).await.unwrap();
    let gone = admin.get_calendar(get(&made.id)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let calendars = admin.list_calendars(ListCalendarsRequest {}).await.unwrap();
    let calendars = calendars.into_inner().calendars;
    assert_eq!(calendars.len(), 1, "the default's is left");
    let kept = DeleteCalendarRequest {
        id: calendars[0].id.clone(),
        etag: String::new(),
    };
    let used = admin.delete_calendar(kept).await.unwrap_err();
    assert_eq!(used.code(), Code::FailedPrecondition, "a policy uses it");
    node.stop().await;
}

#[tokio::test]
async fn a_name_is_for_one_and_doubles_of_before_stay() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut admin = node.client(Role::Admin);
    let first = admin.create_calendar(office()).await.unwrap().into_inner();
    for validate_only in [true, false] {
        let mut again = office();
        again.validate_only = validate_only;
        if let Some(calendar) = &mut again.calendar {
            calendar.display_name = "OFFICE".to_owned();
        }
        let refused = admin.create_calendar(again).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists);
        assert_eq!(refused.message(), "calendar 'OFFICE' exists already");
    }
    let listed = admin.list_policies(ListPoliciesRequest {}).await.unwrap();
    let default = listed.into_inner().policies.remove(0);
    let policy = |name: &str, id: &str| Policy {
        display_name: name.to_owned(),
        id: id.to_owned(),
        etag: String::new(),
        ..default.clone()
    };
    let create = |name: &str, validate_only| CreatePolicyRequest {
        policy: Some(policy(name, "")),
        validate_only,
    };
    let update = |policy: Policy| UpdatePolicyRequest {
        policy: Some(policy),
        validate_only: false,
    };
    for validate_only in [true, false] {
        let refused = admin.create_policy(create("default", validate_only)).await;
        assert_eq!(refused.unwrap_err().code(), Code::AlreadyExists);
    }
    let other = admin.create_policy(create("Other", false)).await.unwrap();
    let other = other.into_inner().id;
    let refused = admin.update_policy(update(policy("Default", &other))).await;
    assert_eq!(refused.unwrap_err().code(), Code::AlreadyExists);
    // The release before allowed it: both can be changed, and one of them be called otherwise.
    for table in ["policy", "calendar"] {
        let sql = format!("UPDATE sla.{table} SET display_name = 'Double'");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(harness.db.pool())
            .await
            .unwrap();
    }
    for name in ["Double", "double", "Another"] {
        let changed = admin.update_policy(update(policy(name, &other))).await;
        assert_eq!(changed.unwrap().into_inner().display_name, name);
    }
    let calendar = Calendar {
        display_name: "Double".to_owned(),
        etag: String::new(),
        ..first
    };
    let changed = admin
        .update_calendar(UpdateCalendarRequest {
            calendar: Some(calendar),
            validate_only: false,
        })
        .await;
    assert_eq!(changed.unwrap().into_inner().version, 2);
    node.stop().await;
}

#[tokio::test]
async fn a_policy_has_versions_and_can_go() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut admin = node.client(Role::Admin);
    let listed = admin.list_policies(ListPoliciesRequest {}).await.unwrap();
    let first = listed.into_inner().policies.remove(0);
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    let policy = Policy {
        display_name: "Standard".to_owned(),
        ..first.clone()
    };
    let update = || UpdatePolicyRequest {
        policy: Some(policy.clone()),
        validate_only: false,
    };
    let second = admin.update_policy(update()).await.unwrap().into_inner();
    assert_eq!(
        (second.version, second.display_name.as_str()),
        (2, "Standard")
    );
    let stale = admin.update_policy(update()).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let delete = |etag: &str| DeletePolicyRequest {
        id: first.id.clone(),
        etag: etag.to_owned(),
    };
    let stale = admin.delete_policy(delete("\"1\"")).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    admin.delete_policy(delete(&second.etag)).await.unwrap();
    let request = GetPolicyRequest {
        id: first.id.clone(),
    };
    let gone = admin.get_policy(request).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    // Who has it keeps it; who comes gets nothing.
    let reply = ticket.message(Kind::Agent, minutes(&harness, 10), TicketStatus::Open);
    let decided = decided_after(&harness, &[reply]).await;
    assert_eq!(decided.policy_id, first.id);
    let mut later = Ticket::new(&harness);
    publish(&harness, &[later.opened()]).await;
    let last = crate::support::last_decision(&harness, &later).await;
    assert_eq!(last, None);
    node.stop().await;
}

#[tokio::test]
async fn openings_and_holidays() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut admin = node.client(Role::Admin);
    let made = admin.create_calendar(office()).await.unwrap().into_inner();
    // It is Monday, 10:00 in Helsinki.
    let preview = PreviewCalendarRequest {
        id: made.id.clone(),
        count: 2,
        target_seconds: 8 * 3_600,
        ..PreviewCalendarRequest::default()
    };
    let seen = admin.preview_calendar(preview).await.unwrap().into_inner();
    assert!(seen.open);
    let at = |text: &str| Some(to_proto_time(text.parse().unwrap()));
    assert_eq!(seen.openings.len(), 2);
    assert_eq!(seen.openings[0].close_time, at("2026-11-02T14:00:00Z"));
    assert_eq!(seen.openings[1].open_time, at("2026-11-03T06:00:00Z"));
    assert_eq!(seen.due_time, at("2026-11-03T08:00:00Z"));
    let unsaved = PreviewCalendarRequest {
        definition_json: "{}".to_owned(),
        ..PreviewCalendarRequest::default()
    };
    let refused = admin.preview_calendar(unsaved).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let file = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261206\nSUMMARY:Known\nEND:VEVENT\n\
        BEGIN:VEVENT\nDTSTART;VALUE=DATE:20261108\nSUMMARY:Day of nothing\nEND:VEVENT\n\
        BEGIN:VEVENT\nDTSTART:20261108T100000Z\nSUMMARY:Meeting\nEND:VEVENT\nEND:VCALENDAR\n";
    let import = |dry_run| ImportHolidaysRequest {
        calendar_id: made.id.clone(),
        icalendar: file.to_owned(),
        dry_run,
        ..ImportHolidaysRequest::default()
    };
    for (dry_run, version) in [(true, 1), (false, 2)] {
        let done = admin
            .import_holidays(import(dry_run))
            .await
            .unwrap()
            .into_inner();
        let added: Vec<_> = done.added.iter().map(|it| it.date.as_str()).collect();
        assert_eq!((added, done.known), (vec!["2026-11-08"], 1));
        assert_eq!(done.skipped[0].name, "Meeting");
        assert_eq!(done.calendar.unwrap().version, version);
    }
    let again = admin
        .import_holidays(import(false))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((again.added.len(), again.calendar.unwrap().version), (0, 2));
    let from = PreviewCalendarRequest {
        id: made.id.clone(),
        from_time: at("2026-11-04T00:00:00Z"),
        count: 1,
        ..PreviewCalendarRequest::default()
    };
    let seen = admin.preview_calendar(from).await.unwrap().into_inner();
    assert_eq!(
        seen.openings[0].open_time,
        at("2026-11-09T06:00:00Z"),
        "Sunday is closed now"
    );
    node.stop().await;
}

#[tokio::test]
async fn attainment_counts_what_was_kept_and_what_was_not() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let (mut kept, mut late) = (Ticket::new(&harness), Ticket::new(&harness));
    kept.state.team_id = TEAM.to_owned();
    let events = [kept.opened(), late.opened()];
    publish(&harness, &events).await;
    let reply = kept.message(Kind::Agent, minutes(&harness, 30), TicketStatus::Open);
    let solved = kept.status(minutes(&harness, 60), TicketStatus::Resolved);
    publish(&harness, &[reply, solved]).await;
    harness.clock.set(minutes(&harness, 9 * 60));
    wait_for("the breach", || async {
        breaches(&harness).await.len() == 1
    })
    .await;
    let mut agent = node.client(Role::Agent);
    let mut ask = async |group_by: &[&str]| {
        let request = GetAttainmentRequest {
            group_by: group_by.iter().map(ToString::to_string).collect(),
            end_time: Some(to_proto_time(minutes(&harness, 60))),
            ..GetAttainmentRequest::default()
        };
        agent.get_attainment(request).await
    };
    let rows = ask(&[]).await.unwrap().into_inner().rows;
    let of = |metric: Metric| rows.iter().find(|row| row.metric() == metric);
    let first = of(Metric::FirstResponse).unwrap();
    assert_eq!(
        (first.met, first.breached, first.mean_seconds),
        (1, 1, 1_800)
    );
    let resolution = of(Metric::Resolution).unwrap();
    assert_eq!((resolution.met, resolution.breached), (1, 0));
    let rows = ask(&["team", "channel", "policy", "priority", "period"]).await;
    let rows = rows.unwrap().into_inner().rows;
    assert_eq!(rows.len(), 3, "{rows:?}");
    let of_team = rows.iter().filter(|row| row.team_id == TEAM).count();
    assert_eq!(of_team, 2);
    let all = |row: &solmu_proto::sla::v1::Attainment| {
        row.channel == "email" && row.priority == "normal" && row.period == "2026-11-02"
    };
    assert!(rows.iter().all(all), "{rows:?}");
    assert_eq!(
        ask(&["mood"]).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    // A reopened ticket is undecided again.
    let now = harness.clock.now();
    let reopened = kept.message(Kind::Customer, now, TicketStatus::CustomerReplied);
    publish(&harness, &[reopened]).await;
    let rows = ask(&[]).await.unwrap().into_inner().rows;
    assert!(
        rows.iter().all(|row| row.metric() == Metric::FirstResponse),
        "{rows:?}"
    );
    node.stop().await;
}
