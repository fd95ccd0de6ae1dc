//! Rules that restrict tickets, asked again: of what customers write later, and of what is changed by people, by the router
//! and in bulk.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use solmu_proto::{
    inbound::v1::MessageReceived,
    routing::v1::AssignmentDecided,
    ticket::v1::{
        Activity, AssignTicketRequest, GetTicketRequest, ListActivitiesRequest, Ticket,
        TicketAssigned, TicketChanged, UnrestrictTicketRequest, UpdateTicketRequest,
        WatchTicketsRequest, field_definition::Kind,
    },
    types::v1::Priority,
};
use uuid::Uuid;

use crate::{
    merges::merge,
    restricted::{Desk, OUTSIDER, SECURITY},
    restricting_rules::put,
    support::{answer, mail},
    update::{define, field, mask, named, value},
};

const AINO: &str = "aino@c.example";

/// Aino writes again on the ticket of `first`.
fn again(id: &str, first: &str, text: &str) -> MessageReceived {
    MessageReceived {
        text: text.to_owned(),
        ..answer(id, AINO, &[first])
    }
}

/// A ticket as an admin sees it.
async fn shown(desk: &Desk, ticket: Uuid) -> Ticket {
    let id = ticket.to_string();
    let call = desk.api.admin(GetTicketRequest { id });
    let shown = desk.api.tickets().get_ticket(call).await;
    shown.unwrap().into_inner()
}

async fn log(desk: &Desk, ticket: Uuid) -> Vec<Activity> {
    let request = ListActivitiesRequest {
        ticket_id: ticket.to_string(),
        ..ListActivitiesRequest::default()
    };
    let call = desk.api.admin(request);
    let log = desk.api.activity().list_activities(call).await;
    log.unwrap().into_inner().activities
}

/// With which ticket one was restricted stands in a field, and as a number only for who sees that one.
async fn says_with_what(desk: &Desk, part: Uuid, with: &Ticket) {
    let number = format!("with #{}", with.number);
    let events = desk.api.world.told::<TicketChanged>().await;
    let reasons: Vec<String> = events.into_iter().map(|it| it.reason).collect();
    assert!(!reasons.iter().any(|it| it.contains('#')), "{reasons:?}");
    assert!(!shown(desk, part).await.assign_reason.contains('#'));
    let why = |log: &[Activity]| {
        let entry = log
            .iter()
            .find(|it| it.changes.iter().any(|it| it.field == "restricted"));
        entry.map(|it| it.reason.clone()).unwrap_or_default()
    };
    let told = why(&log(desk, part).await);
    assert!(told.ends_with(&number), "{told}");
    desk.restrict_to(part, &[OUTSIDER], &[]).await.unwrap();
    let request = ListActivitiesRequest {
        ticket_id: part.to_string(),
        ..ListActivitiesRequest::default()
    };
    let page = desk
        .api
        .activity()
        .list_activities(desk.outside(request))
        .await;
    let page = page.unwrap().into_inner().activities;
    assert!(why(&page).ends_with("restricts it"), "{}", why(&page));
    assert!(!format!("{page:?}").contains(&with.id));
}

/// Gives the ticket to the agent whom nothing names.
async fn assign(desk: &Desk, ticket: Uuid) {
    let request = AssignTicketRequest {
        ticket_id: ticket.to_string(),
        agent_id: OUTSIDER.to_string(),
        ..AssignTicketRequest::default()
    };
    let call = desk.api.admin(request);
    desk.api.tickets().assign_ticket(call).await.unwrap();
}

/// A change by the agent whom nothing names.
async fn change(desk: &Desk, ticket: Ticket, paths: &[&str]) -> Ticket {
    let request = UpdateTicketRequest {
        ticket: Some(ticket),
        update_mask: mask(paths),
        ..UpdateTicketRequest::default()
    };
    let call = desk.outside(request);
    let changed = desk.api.tickets().update_ticket(call).await;
    changed.unwrap().into_inner()
}

/// Who is named on a ticket: there, and where other services ask.
async fn names(desk: &Desk, ticket: Uuid) -> (Option<Vec<Uuid>>, i64) {
    let stands = sqlx::query_scalar("SELECT restricted_to FROM tickets.ticket WHERE id = $1")
        .bind(ticket)
        .fetch_one(desk.api.world.pool())
        .await;
    let told = sqlx::query_scalar("SELECT count(*) FROM access.restriction WHERE ticket_id = $1")
        .bind(ticket)
        .fetch_one(desk.api.world.pool())
        .await;
    (stands.unwrap(), told.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_message_restricts_its_ticket_with_all_its_parts() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    put(world.pool(), 7, "tapan", &[]).await;
    let watch = desk.outside(WatchTicketsRequest::default());
    let watched = desk.api.tickets().watch_tickets(watch).await;
    let mut watched = watched.unwrap().into_inner();
    let ticket = desk.opened("a@c.example").await;
    let first = watched.next().await.unwrap().unwrap().ticket.unwrap();
    assert_eq!(first.id, ticket.to_string());
    let (part, shell) = (
        desk.opened("b@c.example").await,
        desk.opened("c@c.example").await,
    );
    let wanted = Ticket {
        parent_id: ticket.to_string(),
        ..named(part)
    };
    change(&desk, wanted, &["parent_id"]).await;
    merge(&desk.api, &[shell], ticket).await.unwrap();
    assign(&desk, ticket).await;
    let before = shown(&desk, ticket).await;

    let letter = again("d@c.example", "a@c.example", "Tapan teidät.");
    assert_eq!(world.file(&letter).await.unwrap().id, ticket);
    let after = shown(&desk, ticket).await;
    assert!(after.restricted);
    assert_eq!(
        (after.team_id.as_str(), after.assignee_id.as_str()),
        (SECURITY.to_string().as_str(), ""),
        "who may not see it has it no more"
    );
    assert_eq!(
        (after.priority(), after.tags.as_slice()),
        (Priority::Urgent, ["threat".to_owned()].as_slice())
    );
    assert!(after.message_count > before.message_count);
    for hidden in [ticket, part, shell] {
        assert!(!desk.sees(hidden).await);
        assert_eq!(names(&desk, hidden).await, (Some(vec![SECURITY]), 1));
    }
    assert_eq!(shown(&desk, part).await.priority(), Priority::Normal);
    says_with_what(&desk, part, &after).await;

    let log = log(&desk, ticket).await;
    let by_rule: Vec<&Activity> = log
        .iter()
        .filter(|it| it.reason.starts_with("rule 'threats 7' (version 3)"))
        .collect();
    let changes = by_rule.iter().flat_map(|it| &it.changes);
    let mut fields: Vec<&str> = changes.map(|it| it.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["assignee_id", "priority", "restricted", "tags", "team_id"]
    );
    let told = world.told::<TicketAssigned>().await;
    let lost = told
        .iter()
        .any(|it| it.previous_assignee_id == OUTSIDER.to_string());
    assert!(lost, "the router hears who lost it: {:?}", told.last());

    // Who watches hears that it is gone, and nothing else of it from then on.
    let mut gone = false;
    let open = world.file(&mail("o@c.example", "matti@d.example")).await;
    let open = open.unwrap().id.to_string();
    loop {
        let next = watched.next().await.unwrap().unwrap();
        let id = next.ticket.map(|it| it.id).unwrap_or_default();
        if id == open {
            break;
        }
        if gone {
            assert_ne!(id, ticket.to_string(), "{}", next.event_type);
        }
        gone |= id == ticket.to_string() && next.left;
    }
    assert!(gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sees_the_words_before_it_is_restricted() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    put(world.pool(), 7, "tapan", &[]).await;
    desk.opened("a@c.example").await;
    let done = AtomicBool::new(false);
    let look = async {
        let mut looks = 0;
        while !done.load(Ordering::Relaxed) || looks == 0 {
            looks += 1;
            let open = "SELECT count(*) FROM tickets.message JOIN tickets.ticket ON ticket.id = message.ticket_id
                WHERE body_text LIKE 'Tapan%' AND restricted_to IS NULL";
            assert_eq!(world.count(open).await, 0);
        }
    };
    let write = async {
        for n in 0..5 {
            let id = format!("t{n}@c.example");
            let letter = again(&id, "a@c.example", "Tapan teidät.");
            world.file(&letter).await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(look, write);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_quoted_restricts_nothing() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    let ticket = desk.opened("a@c.example").await;
    put(world.pool(), 7, "tapan", &[]).await;
    let quoted = MessageReceived {
        quote_offset: Some(7),
        ..again("b@c.example", "a@c.example", "Kiitos\n> Tapan aikaa täällä")
    };
    assert_eq!(world.file(&quoted).await.unwrap().id, ticket);
    assert!(desk.sees(ticket).await);
    // One that is restricted already keeps its own names.
    desk.restrict_to(ticket, &[OUTSIDER], &[]).await.unwrap();
    let letter = again("c@c.example", "a@c.example", "Tapan teidät.");
    world.file(&letter).await.unwrap();
    assert!(desk.sees(ticket).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_restricts_and_tells_the_one_who_made_it_no_more() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    define(&desk.api, field("site", Kind::Text)).await.unwrap();
    let threat = MessageReceived {
        text: "Tapan teidät.".to_owned(),
        ..mail("a@c.example", AINO)
    };
    let ticket = world.file(&threat).await.unwrap().id;
    let letter = again("b@c.example", "a@c.example", "Vastatkaa.");
    world.file(&letter).await.unwrap();
    put(world.pool(), 7, "tapan AND category = hr", &[]).await;
    put(world.pool(), 8, "tags:secret", &[]).await;
    put(world.pool(), 9, "fields.site = Turku", &[]).await;
    assign(&desk, ticket).await;
    // What rules do not look at, and what they do not hold for.
    let harmless = Ticket {
        subject: "Tapan".to_owned(),
        category: "billing".to_owned(),
        ..named(ticket)
    };
    let kept = change(&desk, harmless, &["subject", "category"]).await;
    assert_eq!(kept.category, "billing");
    let hr = Ticket {
        category: "hr".to_owned(),
        ..named(ticket)
    };
    let told = change(&desk, hr, &["category"]).await;
    let nothing_else = Ticket {
        restricted: true,
        ..named(ticket)
    };
    assert_eq!(told, nothing_else);
    assert!(!desk.sees(ticket).await);
    let after = shown(&desk, ticket).await;
    assert_eq!(
        (after.category.as_str(), after.assignee_id.as_str()),
        ("hr", "")
    );
    let log = log(&desk, ticket).await;
    let by = |field: &str| {
        let of = |it: &&Activity| {
            it.changes
                .iter()
                .any(|it| it.field == field && it.to != "billing")
        };
        log.iter().find(of).map(|it| it.reason.clone())
    };
    assert_eq!(by("category").as_deref(), Some("by hand"));
    assert_eq!(
        by("restricted").as_deref(),
        Some("rule 'threats 7' (version 3) restricts it")
    );

    let tagged = desk.opened("c@c.example").await;
    let secret = Ticket {
        tags: vec!["secret".to_owned()],
        ..named(tagged)
    };
    assert!(change(&desk, secret, &["tags"]).await.restricted);
    let placed = desk.opened("d@c.example").await;
    let turku = Ticket {
        fields: vec![value("site", &["Turku"])],
        ..named(placed)
    };
    assert!(change(&desk, turku, &[]).await.restricted);
    for hidden in [tagged, placed] {
        assert_eq!(names(&desk, hidden).await, (Some(vec![SECURITY]), 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_router_tags_is_restricted_with_it() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    let ticket = desk.opened("a@c.example").await;
    put(world.pool(), 7, "tags:vip", &[]).await;
    let decision = AssignmentDecided {
        decision_id: "d1".to_owned(),
        ticket_id: ticket.to_string(),
        routing_version: 1,
        team_id: Uuid::from_u128(2).to_string(),
        agent_id: OUTSIDER.to_string(),
        reason: "least loaded".to_owned(),
        add_tags: vec!["vip".to_owned()],
        ..AssignmentDecided::default()
    };
    world.tell(&decision).await;
    let after = shown(&desk, ticket).await;
    assert!(after.restricted && !desk.sees(ticket).await);
    assert_eq!(
        (after.team_id, after.assignee_id),
        (SECURITY.to_string(), String::new())
    );
    assert_eq!(after.tags, ["vip", "threat"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rule_puts_back_what_somebody_ended() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    let ticket = desk.opened("a@c.example").await;
    put(world.pool(), 7, "tapan OR category = hr", &[]).await;
    let letter = again("b@c.example", "a@c.example", "Tapan teidät.");
    world.file(&letter).await.unwrap();
    assert!(!desk.sees(ticket).await);
    let end = UnrestrictTicketRequest {
        ticket_id: ticket.to_string(),
        reason: "a song".to_owned(),
        ..UnrestrictTicketRequest::default()
    };
    let call = desk.api.admin(end);
    desk.api.tickets().unrestrict_ticket(call).await.unwrap();
    let letter = again("c@c.example", "a@c.example", "Tapan teidät.");
    world.file(&letter).await.unwrap();
    let hr = Ticket {
        category: "hr".to_owned(),
        ..named(ticket)
    };
    assert_eq!(change(&desk, hr, &["category"]).await.category, "hr");
    assert!(desk.sees(ticket).await);
    // People can.
    desk.restrict(ticket).await.unwrap();
    assert!(!desk.sees(ticket).await);
}
