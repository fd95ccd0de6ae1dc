//! Canned answers and macros, over the wire.

use prost::Message as _;
use solmu_proto::{
    access::v1::Role,
    outbound::v1::MessageQueued,
    ticket::v1::{
        self as proto, ApplyMacroRequest, AssignTicketRequest, CannedAnswer,
        CreateCannedAnswerRequest, CreateMacroRequest, DeleteCannedAnswerRequest, FailedStep,
        GetCannedAnswerRequest, GetMacroRequest, ListCannedAnswersRequest, Macro, MacroMessage,
        MacroOwner, MacroStep, RenderCannedAnswerRequest, UpdateCannedAnswerRequest,
        macro_step::Step,
    },
    types::v1::{Priority, TicketStatus},
};
use tonic::{Code, Status};
use tonic_types::{StatusExt as _, pb};
use uuid::Uuid;

use crate::support::{AGENT, Api, Ticket, mail, opened, reason, with};

const TEAM: Uuid = Uuid::from_u128(500);

fn canned(name: &str, text: &str) -> CannedAnswer {
    CannedAnswer {
        name: name.to_owned(),
        text: text.to_owned(),
        ..CannedAnswer::default()
    }
}

fn create(canned_answer: CannedAnswer) -> CreateCannedAnswerRequest {
    CreateCannedAnswerRequest {
        canned_answer: Some(canned_answer),
        request_id: String::new(),
    }
}

async fn added(api: &Api, answer: CannedAnswer) -> CannedAnswer {
    let call = api
        .desk()
        .create_canned_answer(api.admin(create(answer)))
        .await;
    call.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canned_answers_are_kept_and_seen_by_whom_they_are_for() {
    let api = Api::new().await;
    let other = api
        .token(Role::Agent, &Uuid::from_u128(78).to_string())
        .await;
    let request = CreateCannedAnswerRequest {
        request_id: "once".to_owned(),
        ..create(canned("Greeting", "Hi"))
    };
    let first = api
        .desk()
        .create_canned_answer(api.admin(request.clone()))
        .await
        .unwrap();
    let again = api
        .desk()
        .create_canned_answer(api.admin(request))
        .await
        .unwrap();
    let first = first.into_inner();
    assert_eq!(first, again.into_inner());
    assert!(!first.created_by.is_empty() && first.etag == "\"1\"");

    what_is_mine_is_hidden(&api, &other).await;
    lists_are_by_name(&api).await;
    changes_are_guarded(&api, first).await;
}

/// Agents keep their own, and nobody else sees these.
async fn what_is_mine_is_hidden(api: &Api, other: &str) {
    let mine = CannedAnswer {
        agent_id: AGENT.to_string(),
        ..canned("Mine", "My {{ ticket.number }}")
    };
    let refused = api
        .desk()
        .create_canned_answer(api.agent(create(canned("x", "y"))))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), "NOT_YOURS");
    let mine = api
        .desk()
        .create_canned_answer(api.agent(create(mine)))
        .await
        .unwrap()
        .into_inner();
    let get = GetCannedAnswerRequest {
        id: mine.id.clone(),
    };
    let hidden = api.desk().get_canned_answer(with(get.clone(), other)).await;
    assert_eq!(hidden.unwrap_err().code(), Code::NotFound);
    assert_eq!(
        api.desk()
            .get_canned_answer(api.agent(get))
            .await
            .unwrap()
            .into_inner(),
        mine
    );
    let as_macro = GetMacroRequest {
        id: mine.id.clone(),
    };
    assert_eq!(
        api.desk()
            .get_macro(api.agent(as_macro))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

async fn lists_are_by_name(api: &Api) {
    let team = CannedAnswer {
        team_id: TEAM.to_string(),
        ..canned("Team", "ours")
    };
    added(api, team).await;
    let list = ListCannedAnswersRequest {
        page_size: 2,
        ..ListCannedAnswersRequest::default()
    };
    let page = api
        .desk()
        .list_canned_answers(api.agent(list.clone()))
        .await
        .unwrap()
        .into_inner();
    let rest = ListCannedAnswersRequest {
        page_token: page.next_page_token,
        ..list
    };
    let rest = api
        .desk()
        .list_canned_answers(api.agent(rest))
        .await
        .unwrap()
        .into_inner();
    let names = page
        .canned_answers
        .iter()
        .chain(&rest.canned_answers)
        .map(|it| it.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["Greeting", "Mine", "Team"]);
    assert!(rest.next_page_token.is_empty());
}

async fn changes_are_guarded(api: &Api, first: CannedAnswer) {
    let changed = CannedAnswer {
        text: "Hello".to_owned(),
        ..first.clone()
    };
    let update = UpdateCannedAnswerRequest {
        canned_answer: Some(changed),
    };
    let now = api
        .desk()
        .update_canned_answer(api.admin(update.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((now.text.as_str(), now.etag.as_str()), ("Hello", "\"2\""));
    let stale = api
        .desk()
        .update_canned_answer(api.admin(update))
        .await
        .unwrap_err();
    assert_eq!(
        (stale.code(), reason(&stale).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    let delete = DeleteCannedAnswerRequest {
        id: first.id,
        etag: now.etag,
    };
    let refused = api
        .desk()
        .delete_canned_answer(api.agent(delete.clone()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    api.desk()
        .delete_canned_answer(api.admin(delete.clone()))
        .await
        .unwrap();
    let gone = api
        .desk()
        .delete_canned_answer(api.admin(delete))
        .await
        .unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_are_checked_when_saved_and_filled_in_for_a_ticket() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let bad = api
        .desk()
        .create_canned_answer(api.admin(create(canned("a", "{{ contact.phone }}"))))
        .await;
    let bad = bad.unwrap_err();
    let details = bad.get_error_details();
    let violation = &details.bad_request().unwrap().field_violations[0];
    assert_eq!(violation.field, "canned_answer.text");
    assert!(violation.description.contains("'contact.phone'"));

    let text = "#{{ ticket.number }} {{ ticket.subject|upper }} is {{ ticket.status }}";
    let answer = added(&api, canned("Status", text)).await;
    let render = |id: &str| RenderCannedAnswerRequest {
        id: id.to_owned(),
        ticket_id: ticket.id.to_string(),
    };
    let rendered = api
        .desk()
        .render_canned_answer(api.agent(render(&answer.id)))
        .await;
    let wanted = format!("#{} INVOICE is new", ticket.number);
    assert_eq!(rendered.unwrap().into_inner().text, wanted);

    let team = CannedAnswer {
        team_id: TEAM.to_string(),
        ..canned("Team", "ours")
    };
    let team = added(&api, team).await;
    let refused = api
        .desk()
        .render_canned_answer(api.agent(render(&team.id)))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), "OTHER_TEAM");
    let owner = AssignTicketRequest {
        ticket_id: ticket.id.to_string(),
        team_id: TEAM.to_string(),
        ..AssignTicketRequest::default()
    };
    api.tickets().assign_ticket(api.agent(owner)).await.unwrap();
    let rendered = api
        .desk()
        .render_canned_answer(api.agent(render(&team.id)))
        .await;
    assert_eq!(rendered.unwrap().into_inner().text, "ours");
}

fn step(step: Step) -> MacroStep {
    MacroStep { step: Some(step) }
}

fn text(text: &str) -> MacroMessage {
    MacroMessage {
        text: text.to_owned(),
        ..MacroMessage::default()
    }
}

async fn stored(api: &Api, steps: Vec<Step>) -> String {
    let request = CreateMacroRequest {
        r#macro: Some(Macro {
            name: "Refund".to_owned(),
            steps: steps.into_iter().map(step).collect(),
            ..Macro::default()
        }),
        request_id: String::new(),
    };
    api.desk()
        .create_macro(api.admin(request))
        .await
        .unwrap()
        .into_inner()
        .id
}

fn apply(macro_id: &str, ticket: &Ticket, request_id: &str) -> ApplyMacroRequest {
    ApplyMacroRequest {
        macro_id: macro_id.to_owned(),
        ticket_id: ticket.id.to_string(),
        request_id: request_id.to_owned(),
        ..ApplyMacroRequest::default()
    }
}

fn failed_step(status: &Status) -> i32 {
    let wire = pb::Status::decode(status.details()).unwrap();
    let detail = wire
        .details
        .iter()
        .find(|it| it.type_url.ends_with("/solmu.ticket.v1.FailedStep"));
    FailedStep::decode(detail.unwrap().value.as_slice())
        .unwrap()
        .step
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_macro_takes_all_its_steps_once_or_none() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let canned = added(
        &api,
        canned(
            "Refund",
            "We pay #{{ ticket.number }} back ({{ ticket.priority }})",
        ),
    )
    .await;
    let reply = MacroMessage {
        canned_answer_id: canned.id,
        set_status: TicketStatus::Resolved.into(),
        ..MacroMessage::default()
    };
    let refund = stored(
        &api,
        vec![
            Step::SetPriority(Priority::High.into()),
            Step::AddTag("refund".to_owned()),
            Step::Assign(MacroOwner {
                to_me: true,
                ..MacroOwner::default()
            }),
            Step::Note(text("done by macro")),
            Step::Reply(reply),
        ],
    )
    .await;
    let request = apply(&refund, &ticket, "req");
    let done = api
        .desk()
        .apply_macro(api.agent(request.clone()))
        .await
        .unwrap()
        .into_inner();
    let again = api
        .desk()
        .apply_macro(api.agent(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(done, again);
    assert_eq!(done.message_ids.len(), 2);
    let after = done.ticket.unwrap();
    assert_eq!(
        (after.status(), after.priority()),
        (TicketStatus::Resolved, Priority::High)
    );
    assert_eq!(
        (after.tags.clone(), after.assignee_id.clone()),
        (vec!["refund".to_owned()], AGENT.to_string())
    );
    let queued = api.world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(
        queued[0].text,
        format!("We pay #{} back (high)", ticket.number)
    );
    let reasons = api.logged(ticket.id, "priority").await;
    assert_eq!(reasons[0].1, "macro 'Refund'");
    let told = api.world.told::<proto::TicketMessageAdded>().await;
    let reasons: Vec<String> = told
        .into_iter()
        .map(|it| it.message.unwrap().reason)
        .collect();
    assert_eq!(reasons, ["macro 'Refund'", "macro 'Refund'"]);
    assert!(
        after.assign_reason.starts_with("macro 'Refund'"),
        "{}",
        after.assign_reason
    );
    let other = apply(&Uuid::from_u128(4).to_string(), &ticket, "req");
    let reused = api.desk().apply_macro(api.agent(other)).await.unwrap_err();
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");

    a_step_that_fails_undoes_those_before(&api, &ticket).await;
}

async fn a_step_that_fails_undoes_those_before(api: &Api, ticket: &Ticket) {
    // The third step cannot be taken: the two before it were not either.
    let second = api
        .world
        .file(&mail("two@c.example", "pia@c.example"))
        .await
        .unwrap();
    let bad = stored(
        api,
        vec![
            Step::SetPriority(Priority::Urgent.into()),
            Step::Note(text("half")),
            Step::SetField(proto::FieldValue {
                key: "nowhere".to_owned(),
                values: vec!["1".to_owned()],
            }),
        ],
    )
    .await;
    let failed = api
        .desk()
        .apply_macro(api.agent(apply(&bad, &second, "bad")))
        .await
        .unwrap_err();
    assert_eq!(
        (failed.code(), failed_step(&failed)),
        (Code::InvalidArgument, 2)
    );
    let untouched = api.world.ticket(second.id).await;
    assert_eq!(
        (untouched.version, untouched.message_count),
        (second.version, second.message_count)
    );

    // A step's error keeps its own details; an etag is looked at before anything.
    let answer = stored(api, vec![Step::Reply(text("hello"))]).await;
    let blind = ApplyMacroRequest {
        last_seen_sequence: 1,
        ..apply(&answer, ticket, "")
    };
    let blind = api.desk().apply_macro(api.admin(blind)).await.unwrap_err();
    assert_eq!(
        (reason(&blind).as_str(), failed_step(&blind)),
        ("NEWER_MESSAGES", 0)
    );
    let stale = ApplyMacroRequest {
        etag: "\"1\"".to_owned(),
        ..apply(&answer, ticket, "")
    };
    let stale = api.desk().apply_macro(api.agent(stale)).await.unwrap_err();
    assert_eq!(reason(&stale), "ETAG_MISMATCH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn macros_are_checked_when_saved() {
    let api = Api::new().await;
    for steps in [
        vec![],
        vec![MacroStep::default()],
        vec![step(Step::SetStatus(0))],
        vec![step(Step::SetPriority(99))],
        vec![step(Step::AddTag(" ".to_owned()))],
        vec![step(Step::Note(text("{% for a in b %}")))],
        vec![step(Step::Note(MacroMessage::default()))],
        vec![step(Step::Reply(text("a"))), step(Step::Reply(text("b")))],
        vec![step(Step::Note(text("a"))); 21],
    ] {
        let request = CreateMacroRequest {
            r#macro: Some(Macro {
                name: "m".to_owned(),
                steps,
                ..Macro::default()
            }),
            request_id: String::new(),
        };
        let refused = api
            .desk()
            .create_macro(api.admin(request))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}
