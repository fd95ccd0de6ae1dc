//! What happens when a macro is applied a hundred times at once, and when rules restrict what a macro or a bulk change did.

use futures::future::join_all;
use prost_types::FieldMask;
use solmu_proto::{
    outbound::v1::MessageQueued,
    ticket::v1::{
        self as proto, ApplyMacroRequest, BulkUpdateRequest, CreateMacroRequest, GetTicketRequest,
        Macro, MacroMessage, MacroStep, macro_step::Step,
    },
};
use tonic::Code;
use uuid::Uuid;

use crate::support::{Api, Ticket, mail, opened, reason};

const TEAM: Uuid = Uuid::from_u128(900);

/// Adds a macro that tags, and answers if there is an `answer`.
async fn stored(api: &Api, tag: &str, answer: &str) -> String {
    let reply = MacroMessage {
        text: answer.to_owned(),
        ..MacroMessage::default()
    };
    let answers = (!answer.is_empty()).then_some(Step::Reply(reply));
    let steps = [Step::AddTag(tag.to_owned())].into_iter().chain(answers);
    let request = CreateMacroRequest {
        r#macro: Some(Macro {
            name: tag.to_owned(),
            steps: steps.map(|step| MacroStep { step: Some(step) }).collect(),
            ..Macro::default()
        }),
        ..CreateMacroRequest::default()
    };
    let made = api.desk().create_macro(api.admin(request)).await;
    made.unwrap().into_inner().id
}

fn apply(macro_id: &str, ticket: &Ticket, forced: bool) -> ApplyMacroRequest {
    ApplyMacroRequest {
        macro_id: macro_id.to_owned(),
        ticket_id: ticket.id.to_string(),
        request_id: "once".to_owned(),
        force: forced,
        ..ApplyMacroRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_identical_macros_are_applied_once() {
    let api = &Api::new().await;
    let ticket = opened(api).await;
    let id = stored(api, "refund", "We pay it back.").await;
    let calls = (0..100).map(|_| async {
        let call = api.agent(apply(&id, &ticket, false));
        let done = api.desk().apply_macro(call).await.unwrap();
        done.into_inner()
    });
    let mut answers = join_all(calls).await;
    answers.dedup();
    assert_eq!(answers.len(), 1, "all are answered alike");
    let queued = api.world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 1);
    let other = api.agent(apply(&id, &ticket, true));
    let refused = api.desk().apply_macro(other).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
}

/// Puts a rule into force: what is tagged so is the team's alone.
async fn rule(api: &Api, tag: &str) {
    sqlx::query(
        "INSERT INTO access.restricting_rule (rule_id, version, position, display_name, condition, zone, priority, tags,
            team_id, agent_ids, team_ids)
         VALUES ($1, 1, 1, 'secrets', $2, 'UTC', NULL, '{}', $3, '{}', ARRAY[$3])",
    )
    .bind(Uuid::from_u128(7))
    .bind(format!("tags:{tag}"))
    .bind(TEAM)
    .execute(api.world.pool())
    .await
    .unwrap();
}

async fn sees(api: &Api, ticket: &Ticket) -> bool {
    let id = ticket.id.to_string();
    let call = api.agent(GetTicketRequest { id });
    match api.tickets().get_ticket(call).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_macros_and_bulk_changes_tag_is_restricted_with_it() {
    let api = &Api::new().await;
    let (by_macro, other) = (
        opened(api).await,
        api.world
            .file(&mail("o@c.example", "pia@c.example"))
            .await
            .unwrap(),
    );
    let bulk = api.world.file(&mail("b@c.example", "otso@c.example")).await;
    let bulk = bulk.unwrap();
    rule(api, "secret").await;
    let id = stored(api, "secret", "").await;
    let call = api.agent(apply(&id, &by_macro, false));
    let done = api.desk().apply_macro(call).await.unwrap().into_inner();
    let told = done.ticket.unwrap();
    let nothing_else = proto::Ticket {
        id: by_macro.id.to_string(),
        restricted: true,
        ..proto::Ticket::default()
    };
    assert_eq!(told, nothing_else, "whoever did it sees it no more");
    assert!(!sees(api, &by_macro).await && sees(api, &bulk).await);

    let request = BulkUpdateRequest {
        ticket_ids: vec![bulk.id.to_string(), other.id.to_string()],
        ticket: Some(proto::Ticket {
            tags: vec!["secret".to_owned()],
            ..proto::Ticket::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["tags".to_owned()],
        }),
        ..BulkUpdateRequest::default()
    };
    let done = api.desk().bulk_update(api.agent(request)).await;
    let done = done.unwrap().into_inner();
    assert_eq!(done.succeeded, 2, "{:?}", done.results);
    assert!(!sees(api, &bulk).await && !sees(api, &other).await);
    let version = api.world.ticket(bulk.id).await.version;
    assert_eq!(
        done.results[0].etag,
        format!("\"{version}\""),
        "with what the rule changed"
    );
    let reasons = api.logged(bulk.id, "restricted").await;
    let reasons: Vec<&str> = reasons.iter().map(|it| it.1.as_str()).collect();
    assert_eq!(reasons, ["rule 'secrets' (version 1) restricts it"]);
    assert_eq!(api.logged(bulk.id, "tags").await[0].1, "by hand");
}
