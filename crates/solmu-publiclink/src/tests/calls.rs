//! Making, listing and ending links.

use super::*;

#[tokio::test]
async fn every_link_that_does_not_work_gets_the_same_answer() {
    let world = World::new().await;
    let (first, revoked) = world.link(TICKET).await.unwrap();
    let (_, working) = world.link(TICKET).await.unwrap();
    let revoke = RevokeTicketLinkRequest {
        ticket_id: TICKET.to_string(),
        link_id: first,
    };
    let done = world
        .links
        .revoke_ticket_link(by(Visibility::Everything, revoke.clone()))
        .await;
    assert_eq!(done.unwrap().into_inner().revoked, 1);
    let again = world
        .links
        .revoke_ticket_link(by(Visibility::Everything, revoke))
        .await;
    assert_eq!(again.unwrap().into_inner().revoked, 0);
    assert_eq!(world.get(&working, "en").await.status, StatusCode::OK);

    let guessed = format!("{}a", &working[..working.len() - 1]);
    let guessed = if guessed == working {
        format!("{}b", &working[..working.len() - 1])
    } else {
        guessed
    };
    let wrong = world.get("/t/nothing", "en").await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    let same = async |path: &str| {
        let answer = world.get(path, "en").await;
        assert_eq!(
            (answer.status, &answer.body),
            (wrong.status, &wrong.body),
            "{path}"
        );
        assert_eq!(answer.headers, wrong.headers, "{path}");
    };
    same(&revoked).await;
    same(&guessed).await;

    // Restricted later: the link is as if it were not there, and works again afterwards.
    world
        .run(
            "UPDATE tickets.ticket SET restricted_to = ARRAY[$2::uuid] WHERE id = $1",
            TICKET,
            &TEAM.to_string(),
        )
        .await;
    same(&working).await;
    let refused = world.link(TICKET).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    world
        .run(
            "UPDATE tickets.ticket SET restricted_to = NULL WHERE id = $1 AND $2 = ''",
            TICKET,
            "",
        )
        .await;
    assert_eq!(world.get(&working, "en").await.status, StatusCode::OK);

    world
        .harness
        .clock
        .advance(SignedDuration::from_hours(24 * 14));
    same(&working).await;
}

/// What the log of a ticket says of its links, as actor, from and to.
async fn logged(world: &World) -> Vec<(String, String, String)> {
    let pool = world.harness.db.pool();
    let entries = solmu_ticketstore::activity::list(pool, TICKET, 0, 100)
        .await
        .unwrap();
    let told = entries.into_iter().flat_map(|it| {
        let actor = it.actor.unwrap_or_default().id;
        let changes = it
            .changes
            .into_iter()
            .filter(|it| it.field == "public_link");
        changes.map(move |it| (actor.clone(), it.from, it.to))
    });
    told.collect()
}

#[tokio::test]
async fn the_log_of_the_ticket_says_who_showed_it_outside_and_until_when() {
    let world = World::new().await;
    let (first, url) = world.link(TICKET).await.unwrap();
    let request = CreateTicketLinkRequest {
        ticket_id: TICKET.to_string(),
        request_id: "once".to_owned(),
        ..CreateTicketLinkRequest::default()
    };
    for _ in 0..2 {
        let made = by(Visibility::Everything, request.clone());
        world.links.create_ticket_link(made).await.unwrap();
    }
    let made = logged(&world).await;
    assert_eq!(
        made.len(),
        2,
        "a repeat makes no link and no entry: {made:?}"
    );
    let until = world.harness.clock.now() + SignedDuration::from_hours(24 * 14);
    let words = format!("{first} until {until}");
    let wanted = ("aaaaaaaa".to_owned(), String::new(), words.clone());
    assert_eq!(made[0], wanted);
    let token = url.rsplit('/').next().unwrap();
    assert!(
        !format!("{made:?}").contains(token),
        "never the link itself"
    );

    let revoke = |link: &str| RevokeTicketLinkRequest {
        ticket_id: TICKET.to_string(),
        link_id: link.to_owned(),
    };
    for link in [first.as_str(), first.as_str(), "", ""] {
        let ended = by(Visibility::Everything, revoke(link));
        world.links.revoke_ticket_link(ended).await.unwrap();
    }
    let all = logged(&world).await;
    assert_eq!(all.len(), 4, "each end once: {all:?}");
    assert_eq!((all[2].1.as_str(), all[2].2.as_str()), (words.as_str(), ""));
}

#[tokio::test]
async fn links_are_listed_without_secrets_to_who_sees_the_ticket() {
    let world = World::with(Config {
        base_url: "https://help.example.com".to_owned(),
        max_links: 3,
        ..Config::default()
    })
    .await;
    let repeated = CreateTicketLinkRequest {
        ticket_id: TICKET.to_string(),
        request_id: "once".to_owned(),
        ..CreateTicketLinkRequest::default()
    };
    let mut urls = Vec::new();
    for _ in 0..2 {
        let made = world
            .links
            .create_ticket_link(by(Visibility::Everything, repeated.clone()))
            .await;
        urls.push(made.unwrap().into_inner().url);
    }
    assert_eq!(urls[0], urls[1], "the same request gives the same link");
    for _ in 0..2 {
        world.harness.clock.advance(SignedDuration::from_secs(1));
        world.link(TICKET).await.unwrap();
    }
    let full = world.link(TICKET).await.unwrap_err();
    assert_eq!(full.code(), Code::FailedPrecondition);

    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let request = ListTicketLinksRequest {
            ticket_id: TICKET.to_string(),
            page_size: 2,
            page_token: token,
        };
        let page = world
            .links
            .list_ticket_links(by(Visibility::Everything, request))
            .await;
        let page = page.unwrap().into_inner();
        let told = format!("{page:?}");
        assert!(!told.contains("/t/"), "{told}");
        seen.extend(page.links.into_iter().map(|link| link.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn readers_are_limited_and_links_need_an_address() {
    let world = World::with(Config {
        requests_per_minute: 2,
        ..Config::default()
    })
    .await;
    let refused = world.link(TICKET).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "no base_url");
    for _ in 0..2 {
        assert_eq!(world.get("/t/x", "sv").await.status, StatusCode::NOT_FOUND);
    }
    let limited = world.get("/t/x", "sv").await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.headers["content-language"], "sv");
    assert!(limited.headers.contains_key("retry-after"));
    for (url, good) in [
        ("", true),
        ("https://a.example/x", true),
        ("a.example", false),
        ("https://a b", false),
    ] {
        let config = Config {
            base_url: url.to_owned(),
            ..Config::default()
        };
        assert_eq!(config.check().is_ok(), good, "{url}");
    }
}
#[tokio::test]
async fn who_does_not_see_the_ticket_has_no_part_in_its_links() {
    let world = World::new().await;
    for _ in 0..3 {
        world.link(TICKET).await.unwrap();
    }
    let repeated = CreateTicketLinkRequest {
        ticket_id: TICKET.to_string(),
        ..CreateTicketLinkRequest::default()
    };
    let all = RevokeTicketLinkRequest {
        ticket_id: TICKET.to_string(),
        link_id: String::new(),
    };
    let elsewhere = || Visibility::Teams {
        agent: AgentId::from_uuid(Uuid::from_u128(77)),
        teams: [TeamId::from_uuid(Uuid::from_u128(501))].into(),
    };
    let hidden = [
        world
            .links
            .revoke_ticket_link(by(elsewhere(), all.clone()))
            .await
            .map(drop),
        world
            .links
            .create_ticket_link(by(elsewhere(), repeated))
            .await
            .map(drop),
    ];
    for answer in hidden {
        assert_eq!(answer.unwrap_err().code(), Code::NotFound);
    }
    let done = world
        .links
        .revoke_ticket_link(by(Visibility::Everything, all))
        .await;
    assert_eq!(done.unwrap().into_inner().revoked, 3);
    let now = world.harness.clock.now();
    let far = CreateTicketLinkRequest {
        ticket_id: TICKET.to_string(),
        expire_time: Some(solmu_bus::envelope::to_proto_time(now)),
        ..CreateTicketLinkRequest::default()
    };
    let bad = world
        .links
        .create_ticket_link(by(Visibility::Everything, far))
        .await;
    assert_eq!(bad.unwrap_err().code(), Code::InvalidArgument);
}
