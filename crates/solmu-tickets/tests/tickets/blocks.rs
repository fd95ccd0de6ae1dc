//! Senders whose mail is not wanted, and letting it in all the same.

use solmu_domain::clock::Clock as _;
use solmu_proto::{
    ticket::v1::{
        BlockSenderRequest, BlockedSender, ListBlockedSendersRequest, MessageQuarantined,
        ReleaseQuarantinedRequest, UnblockSenderRequest,
    },
    types::v1::AutomaticClass,
};
use solmu_tickets::blocks::{self, MAX_REASON, Pattern};
use tonic::{Code, Status};

use crate::{
    api_world::{AGENT, Api, opened, reason},
    support::{answer, automatic, mail, signed},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_blocked_senders_write_waits_and_can_be_let_in() {
    let api = Api::new().await;
    let world = &api.world;
    let ticket = opened(&api).await;
    let (db, now) = (&world.harness.db, world.harness.clock.now());
    let address = Pattern::parse("Aino@c.example").unwrap();
    let domain = Pattern::parse("@spam.example").unwrap();
    for pattern in [&address, &domain, &domain] {
        blocks::block(db, pattern, "spam", "agent-7", now)
            .await
            .unwrap();
    }
    let list = blocks::list(db, "", 10).await.unwrap();
    let patterns: Vec<_> = list.iter().map(|it| it.pattern.as_str()).collect();
    assert_eq!(patterns, ["@spam.example", "aino@c.example"]);
    assert_eq!(
        (list[0].created_by.as_str(), list[0].created_at),
        ("agent-7", now)
    );
    assert_eq!(
        blocks::list(db, "@spam.example", 10).await.unwrap().len(),
        1
    );

    // Answers, too, and with a signature; others of the same company are not meant, nor are domains below.
    let answered = signed(
        answer("a@c.example", "aino@c.example", &["root@c.example"]),
        ticket.id,
    );
    assert_eq!(world.file(&answered).await, None);
    assert_eq!(
        world
            .file(&mail("s@spam.example", "any@spam.example"))
            .await,
        None
    );
    assert!(
        world
            .file(&mail("b@c.example", "boss@c.example"))
            .await
            .is_some()
    );
    assert!(
        world
            .file(&mail("t@spam.example", "x@sub.spam.example"))
            .await
            .is_some()
    );
    let told = world.told::<MessageQuarantined>().await;
    assert!(told.len() == 2 && told.iter().all(|it| it.cause_code == "blocked_sender"));

    let request = ReleaseQuarantinedRequest {
        message_id: answered.message_id.clone(),
    };
    let released = api
        .tickets()
        .release_quarantined(api.agent(request))
        .await
        .unwrap();
    assert_eq!(released.into_inner().id, ticket.id.to_string());
    assert!(blocks::unblock(db, &address).await.unwrap());
    assert!(!blocks::unblock(db, &address).await.unwrap());
    let again = answer("a2@c.example", "aino@c.example", &["root@c.example"]);
    assert_eq!(world.file(&again).await.unwrap().id, ticket.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_waits_can_be_released() {
    let api = Api::new().await;
    let world = &api.world;
    let ticket = opened(&api).await;
    let classes = [
        AutomaticClass::AutoReply,
        AutomaticClass::OutOfOffice,
        AutomaticClass::BounceHard,
        AutomaticClass::BounceSoft,
        AutomaticClass::Delay,
        AutomaticClass::Own,
        AutomaticClass::Report,
    ];
    let mut waiting = Vec::new();
    for (n, class) in classes.into_iter().enumerate() {
        let from = format!("w{n}@w{n}.example");
        waiting.push(automatic(mail(&format!("n{n}@w.example"), &from), class));
        waiting.push(automatic(
            answer(&format!("u{n}@w.example"), &from, &["root@c.example"]),
            class,
        ));
    }
    world.send(&waiting).await;
    world.settled().await;
    let causes: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT cause_code FROM tickets.quarantine ORDER BY cause_code",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    let wanted = [
        "auto_reply_to_nothing_known",
        "bounce_of_nothing_known",
        "delay_of_nothing_known",
        "not_a_participant",
        "out_of_office_to_nothing_known",
        "own_mail_came_back",
        "report_on_nothing_known",
    ];
    assert_eq!(causes, wanted);
    for message in &waiting {
        let request = ReleaseQuarantinedRequest {
            message_id: message.message_id.clone(),
        };
        let released = api
            .tickets()
            .release_quarantined(api.agent(request))
            .await
            .unwrap();
        assert_ne!(
            released.into_inner().id,
            ticket.id.to_string(),
            "release proves nothing"
        );
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.quarantine WHERE released_at IS NULL")
            .await,
        0
    );
}

async fn block(api: &Api, pattern: &str, why: &str) -> Result<BlockedSender, Status> {
    let request = BlockSenderRequest {
        pattern: pattern.to_owned(),
        reason: why.to_owned(),
    };
    let answer = api.tickets().block_sender(api.agent(request)).await?;
    Ok(answer.into_inner())
}

async fn unblock(api: &Api, pattern: &str) -> Result<(), Status> {
    let pattern = pattern.to_owned();
    let request = api.agent(UnblockSenderRequest { pattern });
    api.tickets().unblock_sender(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_block_and_unblock_senders() {
    let api = Api::new().await;
    let blocked = block(&api, " Aino@C.example ", "rude").await.unwrap();
    let now = api.world.harness.clock.now();
    let wanted = BlockedSender {
        pattern: "aino@c.example".to_owned(),
        reason: "rude".to_owned(),
        created_by: AGENT.to_string(),
        create_time: Some(solmu_bus::envelope::to_proto_time(now)),
    };
    assert_eq!(blocked, wanted);
    let again = block(&api, "aino@c.example", "other").await.unwrap();
    assert_eq!(again, wanted, "the first reason stays");
    let from = mail("a@c.example", "aino@c.example");
    assert_eq!(api.world.file(&from).await, None);

    unblock(&api, "AINO@c.example").await.unwrap();
    let gone = unblock(&api, "aino@c.example").await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!(api.world.ticket_of(&from).await, None, "it still waits");
    let next = mail("b@c.example", "aino@c.example");
    assert!(api.world.file(&next).await.is_some());

    for bad in ["", "c.example", "@", "a\0@c.example"] {
        let refused = block(&api, bad, "").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad:?}");
        let refused = unblock(&api, bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad:?}");
    }
    let longest = "a".repeat(MAX_REASON);
    block(&api, "@longest.example", &longest).await.unwrap();
    let refused = block(&api, "@longer.example", &(longest + "a")).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_senders_are_listed_in_pages_and_services_only_read() {
    let api = Api::new().await;
    for pattern in ["b@x.example", "@z.example", "a@x.example"] {
        block(&api, pattern, "spam").await.unwrap();
    }
    let list = |page_token: String| ListBlockedSendersRequest {
        page_size: 2,
        page_token,
    };
    let mut senders = Vec::new();
    let mut token = String::new();
    loop {
        let request = api.service(list(token));
        let page = api.tickets().list_blocked_senders(request).await.unwrap();
        let page = page.into_inner();
        senders.extend(page.senders.into_iter().map(|it| it.pattern));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        assert_eq!(senders.len(), 2);
    }
    assert_eq!(senders, ["@z.example", "a@x.example", "b@x.example"]);
    for bad in [
        list("x".to_owned()),
        ListBlockedSendersRequest {
            page_size: -1,
            ..ListBlockedSendersRequest::default()
        },
    ] {
        let refused = api.tickets().list_blocked_senders(api.agent(bad)).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }

    let request = api.service(BlockSenderRequest {
        pattern: "c@x.example".to_owned(),
        ..BlockSenderRequest::default()
    });
    let refused = api.tickets().block_sender(request).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_REQUIRED");
    let request = api.service(UnblockSenderRequest {
        pattern: "a@x.example".to_owned(),
    });
    let refused = api.tickets().unblock_sender(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
