//! Restricted tickets: by which ways something comes to one or out of one, and who is told.

use solmu_proto::{
    outbound::v1::MessageQueued,
    sla::v1::{ActionKind, Metric, SlaEscalated},
    ticket::v1::{
        AddNoteRequest, GetTicketRequest, ListActivitiesRequest, ListMatterProposalsRequest,
        TicketOpened,
    },
};
use uuid::Uuid;

use crate::{
    api_world::AGENT,
    matters::{asking, chat_of_aino, late_order, proposals, proven_mail, saying, telegram_of_aino},
    merges::merge,
    restricted::{Desk, OUTSIDER, SECURITY},
    support::{answer, copied, mail, signed},
};

/// An agent who is in the named team.
const MEMBER: Uuid = Uuid::from_u128(79);
const ELSEWHERE: Uuid = Uuid::from_u128(901);

async fn merged_into(desk: &Desk, ticket: Uuid) -> Option<Uuid> {
    sqlx::query_scalar("SELECT merged_into FROM tickets.ticket WHERE id = $1")
        .bind(ticket)
        .fetch_one(desk.api.world.pool())
        .await
        .unwrap()
}

/// A closed restricted ticket, and the one that follows it.
async fn followed(desk: &Desk) -> (Uuid, Uuid) {
    let closed = desk.opened("r1@c.example").await;
    desk.restrict(closed).await.unwrap();
    desk.api.world.set_status(closed, "closed").await;
    let again = answer("r2@c.example", "aino@c.example", &["r1@c.example"]);
    let next = desk.api.world.file(&again).await.unwrap().id;
    assert_ne!(next, closed);
    (closed, next)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_restricted_one_becomes_part_of_no_open_one() {
    for references in [
        ["o1@c.example", "r2@c.example"],
        ["r2@c.example", "o1@c.example"],
    ] {
        let desk = Desk::new().await;
        let open = desk.opened("o1@c.example").await;
        let (_, next) = followed(&desk).await;
        // A mail that answers messages of both: what is open to all may become part of the restricted one.
        let both = answer("b1@c.example", "aino@c.example", &references);
        let filed = desk.api.world.file(&both).await.unwrap();
        assert_eq!(filed.id, next, "{references:?}");
        assert_eq!(merged_into(&desk, next).await, None);
        assert_eq!(merged_into(&desk, open).await, Some(next));
        assert!(!desk.sees(next).await && !desk.sees(open).await);
    }
    // One that somebody works on stays apart, and no reader of it learns the number of the restricted one.
    let desk = Desk::new().await;
    let open = desk.opened("o1@c.example").await;
    let note = AddNoteRequest {
        ticket_id: open.to_string(),
        text: "mine".to_owned(),
        ..AddNoteRequest::default()
    };
    let api = &desk.api;
    api.tickets().add_note(api.agent(note)).await.unwrap();
    let (_, next) = followed(&desk).await;
    let both = answer(
        "b1@c.example",
        "aino@c.example",
        &["r2@c.example", "o1@c.example"],
    );
    let filed = api.world.file(&both).await.unwrap();
    assert_eq!(filed.id, open);
    assert_eq!(merged_into(&desk, next).await, None);
    assert!(desk.sees(open).await && !desk.sees(next).await);
    let notices = api.world.notices(&both).await;
    assert!(
        notices.iter().any(|it| it.contains("another ticket")),
        "{notices:?}"
    );
    assert!(!notices.iter().any(|it| it.contains('#')), "{notices:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restricted_conversation_goes_on_in_no_open_matter() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    let old = world.file(&telegram_of_aino("t1")).await.unwrap().id;
    desk.restrict(old).await.unwrap();
    world.set_status(old, "closed").await;
    let ticket = late_order(proven_mail("1@c.example", &[]));
    let ticket = world.file(&ticket).await.unwrap();
    let next = world.file(&asking(telegram_of_aino("t2"))).await.unwrap();
    assert!(next.id != ticket.id && next.id != old);
    assert_eq!(next.previous_ticket_id, Some(old));
    assert!(!desk.sees(next.id).await);
    assert!(proposals(&desk.api, None).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_overheard_stays_among_the_same_people() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    let letter = copied(mail("a@c.example", "aino@c.example"), &["matti@d.example"]);
    let ticket = world.file(&letter).await.unwrap().id;
    desk.restrict_to(ticket, &[], &[SECURITY]).await.unwrap();
    world.set_status(ticket, "closed").await;
    // Somebody who was not part of it has got an answer of ours, and writes back to it.
    let stranger = signed(mail("x@e.example", "otso@e.example"), ticket);
    let heard = world.file(&stranger).await.unwrap();
    assert_ne!(heard.id, ticket);
    assert!(!desk.sees(heard.id).await);
    let call = GetTicketRequest {
        id: heard.id.to_string(),
    };
    let shown = desk.api.tickets().get_ticket(desk.api.admin(call)).await;
    let shown = shown.unwrap().into_inner();
    assert_eq!(shown.restricted_team_ids, [SECURITY.to_string()]);
    assert_eq!(shown.team_id, SECURITY.to_string());
    // It takes nothing over: the requester's next answer opens their own.
    let own = answer("b@c.example", "aino@c.example", &["a@c.example"]);
    let own = world.file(&own).await.unwrap();
    assert!(own.id != heard.id && own.previous_ticket_id == Some(ticket));
    assert!(!desk.sees(own.id).await);
}

/// Who is in which team, as the router tells it.
async fn with_agents(desk: &Desk) {
    for (id, name, team) in [(OUTSIDER, "ville", ELSEWHERE), (MEMBER, "kaisa", SECURITY)] {
        sqlx::query(
            "INSERT INTO tickets.agent (id, display_name, address, team_ids)
             VALUES ($1, $2, $2 || '@desk.example', ARRAY[$3::uuid])",
        )
        .bind(id)
        .bind(name)
        .bind(team)
        .execute(desk.api.world.pool())
        .await
        .unwrap();
    }
}

async fn own(desk: &Desk, ticket: Uuid, agent: Uuid) {
    sqlx::query("UPDATE tickets.ticket SET assignee_id = $2, team_id = $3 WHERE id = $1")
        .bind(ticket)
        .bind(agent)
        .bind(SECURITY)
        .execute(desk.api.world.pool())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_about_deadlines_go_to_the_named_alone() {
    let desk = Desk::new().await;
    with_agents(&desk).await;
    let world = &desk.api.world;
    let ticket = desk.opened("a@c.example").await;
    desk.restrict_to(ticket, &[], &[SECURITY]).await.unwrap();
    // By hand: who gives it to somebody answers for that.
    own(&desk, ticket, OUTSIDER).await;
    let step = |number: u32, target: &str| SlaEscalated {
        ticket_id: ticket.to_string(),
        metric: Metric::FirstResponse.into(),
        cycle: 1,
        step: format!("after {number} NOTIFY {target}"),
        action: ActionKind::Notify.into(),
        target: target.to_owned(),
        agent_ids: vec![OUTSIDER.to_string()],
        ..SlaEscalated::default()
    };
    let elsewhere = format!("team:{ELSEWHERE}");
    for (number, target) in ["assignee", "team_lead", &elsewhere]
        .into_iter()
        .enumerate()
    {
        world
            .tell(&step(u32::try_from(number).unwrap(), target))
            .await;
    }
    assert!(world.told::<MessageQueued>().await.is_empty());
    world.tell(&step(9, "team")).await;
    let told = world.told::<MessageQueued>().await;
    let names: Vec<&str> = told.iter().map(|it| it.recipient_name.as_str()).collect();
    assert_eq!(names, ["kaisa"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_would_not_see_it_any_more_loses_it() {
    let desk = Desk::new().await;
    with_agents(&desk).await;
    let kept = desk.opened("a@c.example").await;
    own(&desk, kept, MEMBER).await;
    let shown = desk.restrict_to(kept, &[], &[SECURITY]).await.unwrap();
    assert_eq!(shown.assignee_id, MEMBER.to_string());
    let lost = desk.opened("b@c.example").await;
    own(&desk, lost, OUTSIDER).await;
    let shown = desk.restrict_to(lost, &[], &[SECURITY]).await.unwrap();
    assert_eq!(
        (shown.team_id, shown.assignee_id),
        (SECURITY.to_string(), String::new())
    );
    // Who is named keeps it, in whatever team they are.
    let named = desk.opened("c@c.example").await;
    own(&desk, named, OUTSIDER).await;
    let shown = desk.restrict_to(named, &[OUTSIDER], &[SECURITY]).await;
    assert_eq!(shown.unwrap().assignee_id, OUTSIDER.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_merged_before_is_restricted_with_the_rest() {
    let desk = Desk::new().await;
    let (first, kept, secret) = (
        desk.opened("a@c.example").await,
        desk.opened("b@c.example").await,
        desk.opened("c@c.example").await,
    );
    merge(&desk.api, &[first], kept).await.unwrap();
    desk.restrict(secret).await.unwrap();
    merge(&desk.api, &[secret], kept).await.unwrap();
    for ticket in [first, kept, secret] {
        assert!(!desk.sees(ticket).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restricted_ticket_is_not_named_on_what_may_be_the_same_matter() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    let secret = late_order(proven_mail("1@c.example", &[]));
    let secret = world.file(&secret).await.unwrap();
    desk.restrict(secret.id).await.unwrap();
    // Only claimed: it opens a ticket of its own, and somebody is asked.
    let claimed = asking(chat_of_aino("c1", "s1", false));
    let opened = world.file(&claimed).await.unwrap();
    assert!(opened.id != secret.id && desk.sees(opened.id).await);
    let told = world.told::<TicketOpened>().await;
    let same = told.iter().find_map(|it| it.same_matter.clone()).unwrap();
    assert!(same.ticket_id.is_empty(), "{same:?}");
    let log = ListActivitiesRequest {
        ticket_id: opened.id.to_string(),
        ..ListActivitiesRequest::default()
    };
    let log = desk.api.activity().list_activities(desk.outside(log)).await;
    let log = format!("{:?}", log.unwrap().into_inner());
    assert!(!log.contains(&secret.id.to_string()), "{log}");
    // Who sees both finds the pair; who does not, nothing.
    let pairs = proposals(&desk.api, Some(opened.id)).await;
    assert_eq!(pairs[0].id, same.matter_id);
    assert_eq!(pairs[0].ticket_id, secret.id.to_string());
    let request = ListMatterProposalsRequest {
        ticket_id: opened.id.to_string(),
        ..ListMatterProposalsRequest::default()
    };
    let mut matters = desk.api.matters();
    let hidden = matters.list_matter_proposals(desk.outside(request)).await;
    assert!(hidden.unwrap().into_inner().proposals.is_empty());
    assert_eq!(desk.get(secret.id).await.assignee_id, AGENT.to_string());

    // One that is restricted later is taken out of the logs of others as they are read.
    let later = late_order(proven_mail("2@d.example", &[]));
    let later = saying(later, "Lamp", "the one of order 777001");
    let later = world.file(&later).await.unwrap();
    let claimed = saying(chat_of_aino("c2", "s2", false), "", "what of order 777001?");
    let opened = world.file(&claimed).await.unwrap();
    let entry = async || {
        let log = ListActivitiesRequest {
            ticket_id: opened.id.to_string(),
            ..ListActivitiesRequest::default()
        };
        let log = desk.api.activity().list_activities(desk.outside(log)).await;
        let entry = log.unwrap().into_inner().activities.remove(0);
        let mut changes = entry.changes.into_iter();
        changes.find(|it| it.field == "same_matter").unwrap().to
    };
    assert_eq!(entry().await, later.id.to_string());
    desk.restrict(later.id).await.unwrap();
    assert_eq!(entry().await, "");
}
