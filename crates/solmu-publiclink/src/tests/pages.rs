//! What a link shows.

use super::*;

#[tokio::test]
async fn the_page_shows_what_the_requester_may_read_and_nothing_else() {
    let world = World::new().await;
    let me = (1, AINO, "Aino Aalto");
    let cut = world
        .message(
            TICKET,
            1,
            me,
            true,
            "Hei! <script>alert(1)</script>\nquoted words",
        )
        .await;
    sqlx::query("UPDATE tickets.message SET quote_offset = 31 WHERE id = $1")
        .bind(cut)
        .execute(world.harness.db.pool())
        .await
        .unwrap();
    world
        .message(TICKET, 2, (2, TEAM, "Kaisa"), true, "Lähetämme uuden.")
        .await;
    world
        .message(TICKET, 3, (2, TEAM, "Kaisa"), false, "internal note")
        .await;
    world
        .message(
            TICKET,
            4,
            (1, BEN, "ben@c.example"),
            true,
            "Minäkin odotan.",
        )
        .await;
    let (_, path) = world.link(TICKET).await.unwrap();
    let page = world.get(&path, "fi").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in [
        "<html lang=\"fi\">",
        "<title>Lasku &lt;b&gt;puuttuu&lt;",
        "Odottaa vastaustasi",
        ">Sinä<",
        "Hei! &lt;script&gt;",
        ">Kaisa<",
        "Lähetämme uuden.",
        ">Osallistuja<",
        "Minäkin odotan.",
    ] {
        assert!(page.body.contains(part), "{part} is not in\n{}", page.body);
    }
    for part in [
        "<script",
        "<b>",
        "internal note",
        "@",
        "quoted words",
        "<style",
    ] {
        assert!(!page.body.contains(part), "{part} is in\n{}", page.body);
    }
}

#[tokio::test]
async fn the_page_goes_nowhere_else_and_speaks_three_languages() {
    let world = World::new().await;
    let (_, path) = world.link(TICKET).await.unwrap();
    let page = world.get(&path, "fi").await;
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex, nofollow"),
        ("x-content-type-options", "nosniff"),
        ("content-language", "fi"),
    ] {
        assert_eq!(page.headers[name], value);
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"));
    assert!(
        world
            .get(&path, "sv")
            .await
            .body
            .contains("Väntar på ditt svar")
    );
    assert!(
        world
            .get(&path, "de")
            .await
            .body
            .contains("Waiting for your answer")
    );
    assert_eq!(
        world.get("/t/assets/page.css", "").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_merge_is_followed_to_the_same_person_only() {
    let world = World::new().await;
    let own = Uuid::from_u128(300);
    world.ticket(own, AINO, "The one that stays").await;
    world.message(own, 1, (1, AINO, "Aino"), true, "mine").await;
    let foreign = world
        .message(own, 2, (1, BEN, "Ben"), true, "words of somebody else")
        .await;
    let (_, path) = world.link(TICKET).await.unwrap();
    let merge = "UPDATE tickets.ticket SET merged_into = $2::uuid WHERE id = $1";
    world.run(merge, TICKET, &OTHER.to_string()).await;
    assert_eq!(world.get(&path, "en").await.status, StatusCode::NOT_FOUND);
    world.run(merge, TICKET, &own.to_string()).await;
    let page = world.get(&path, "en").await;
    assert!(
        page.body.contains("The one that stays") && page.body.contains("words of somebody else")
    );
    // The same words, when they came with a ticket of that other person.
    world.run(merge, OTHER, &own.to_string()).await;
    let merged = Uuid::from_u128(9);
    world
        .run(
            "INSERT INTO tickets.ticket_merge (id, source_id, target_id, source_status, participants, actor_kind, actor_id,
                reason, merged_at) SELECT $1, id, merged_into, 'new', '{}', 2, '', '', now() FROM tickets.ticket WHERE id = $2::uuid",
            merged,
            &OTHER.to_string(),
        )
        .await;
    world
        .run(
            "INSERT INTO tickets.merged_message (merge_id, message_id, sequence) VALUES ($1, $2::uuid, 1)",
            merged,
            &foreign.to_string(),
        )
        .await;
    let page = world.get(&path, "en").await;
    assert!(page.body.contains(">You<") && !page.body.contains("words of somebody else"));
    // Two contacts that are one person are the same requester.
    world
        .run(
            "UPDATE tickets.contact SET root_id = $2::uuid WHERE id = $1",
            BEN,
            &AINO.to_string(),
        )
        .await;
    assert!(
        world
            .get(&path, "en")
            .await
            .body
            .contains("words of somebody else")
    );
    world
        .run(
            "UPDATE tickets.contact SET erased_at = now() WHERE id = $1 AND $2 = ''",
            AINO,
            "",
        )
        .await;
    assert_eq!(world.get(&path, "en").await.status, StatusCode::NOT_FOUND);
    let refused = world.link(TICKET).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}
