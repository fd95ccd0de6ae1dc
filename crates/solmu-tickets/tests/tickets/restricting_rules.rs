//! Rules that restrict tickets as they are opened: nobody else sees one before, between or after.

use futures::StreamExt as _;
use solmu_domain::ids::new_uuid;
use solmu_proto::{
    access::v1::Role,
    inbound::v1::MessageReceived,
    ticket::v1::{
        GetTicketRequest, ListActivitiesRequest, Ticket, TicketOpened, UnrestrictTicketRequest,
        WatchTicketsRequest,
    },
    types::v1::{Actor, Priority, actor::Kind},
};
use solmu_restrict::Kept;
use solmu_runtime::{ApiError, access::Restriction};
use solmu_testkit::Harness;
use solmu_tickets::{Config, desk::Opening};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    api_world::with,
    restricted::{Desk, OUTSIDER, SECURITY},
    support::{answer, mail},
};

/// Puts a rule into force, as the router does.
async fn in_force(desk: &Desk, number: u128, condition: &str, agents: &[Uuid]) {
    put(desk.api.world.pool(), number, condition, agents).await;
}

pub(crate) async fn put(pool: &PgPool, number: u128, condition: &str, agents: &[Uuid]) {
    let rule = Kept {
        rule_id: Uuid::from_u128(number),
        version: 3,
        position: i32::try_from(number).unwrap(),
        display_name: format!("threats {number}"),
        condition: condition.to_owned(),
        zone: "UTC".to_owned(),
        priority: Some("urgent".to_owned()),
        tags: vec!["threat".to_owned()],
        team_id: SECURITY,
        agent_ids: agents.to_vec(),
        team_ids: vec![SECURITY],
    };
    let mut tx = pool.begin().await.unwrap();
    assert!(solmu_restrict::put(&mut tx, &rule).await.unwrap());
    tx.commit().await.unwrap();
}

fn threat(id: &str) -> MessageReceived {
    MessageReceived {
        subject: "Asia".to_owned(),
        text: "Tapan teidät kaikki.".to_owned(),
        ..mail(id, "aino@c.example")
    }
}

async fn shown(desk: &Desk, ticket: Uuid) -> Ticket {
    let id = ticket.to_string();
    let call = desk.api.admin(GetTicketRequest { id });
    let shown = desk.api.tickets().get_ticket(call).await;
    shown.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_ever_sees_what_a_rule_restricts() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    in_force(&desk, 7, "tapan OR category = hr", &[OUTSIDER]).await;
    // Named by the rule, and somebody who is not.
    let stranger = Uuid::from_u128(80).to_string();
    let stranger = desk.api.token(Role::Agent, &stranger).await;
    let watch = with(WatchTicketsRequest::default(), &stranger);
    let mut changes = desk
        .api
        .tickets()
        .watch_tickets(watch)
        .await
        .unwrap()
        .into_inner();
    let secret = world.file(&threat("t@c.example")).await.unwrap();
    let open = world.file(&mail("o@c.example", "matti@d.example")).await;
    let open = open.unwrap();
    let ticket = shown(&desk, secret.id).await;
    assert!(ticket.restricted);
    assert_eq!(
        (ticket.team_id.as_str(), ticket.assignee_id.as_str()),
        (SECURITY.to_string().as_str(), "")
    );
    assert_eq!(ticket.restricted_agent_ids, [OUTSIDER.to_string()]);
    assert_eq!(ticket.restricted_team_ids, [SECURITY.to_string()]);
    assert_eq!(
        (ticket.priority(), ticket.tags),
        (Priority::Urgent, vec!["threat".to_owned()])
    );
    assert!(desk.sees(secret.id).await, "the rule names them");
    let id = secret.id.to_string();
    let asked = with(GetTicketRequest { id }, &stranger);
    let hidden = desk.api.tickets().get_ticket(asked).await;
    assert_eq!(hidden.unwrap_err().code(), tonic::Code::NotFound);
    // Not even that there is something: the first that a watcher hears of is the other one.
    let first = changes.next().await.unwrap().unwrap();
    assert_eq!(first.ticket.unwrap().id, open.id.to_string());

    let told = world.told::<TicketOpened>().await;
    let by = told.iter().find_map(|it| it.restricted_by.clone()).unwrap();
    assert_eq!((by.rule_name.as_str(), by.rule_version), ("threats 7", 3));
    let state = told[0].ticket.clone().unwrap();
    assert_eq!(
        state.team_id,
        SECURITY.to_string(),
        "the router hears of it with its team"
    );
    let log = ListActivitiesRequest {
        ticket_id: secret.id.to_string(),
        ..ListActivitiesRequest::default()
    };
    let log = desk.api.activity().list_activities(desk.outside(log)).await;
    let log = log.unwrap().into_inner().activities;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].reason, "rule 'threats 7' (version 3) restricts it");
    let restricted = log[0].changes.iter().find(|it| it.field == "restricted");
    assert!(restricted.unwrap().to.contains(&SECURITY.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_restricts_once_and_never_lifts() {
    let desk = Desk::new().await;
    let world = &desk.api.world;
    in_force(&desk, 7, "tapan", &[]).await;
    in_force(&desk, 9, "", &[OUTSIDER]).await;
    let first = threat("t@c.example");
    let secret = world.file(&first).await.unwrap();
    assert!(!desk.sees(secret.id).await, "the first rule counts");
    let before = shown(&desk, secret.id).await;
    // The same mail again, and a later one: asked is the first message, once.
    world.file(&first).await.unwrap();
    let later = answer("t2@c.example", "aino@c.example", &["t@c.example"]);
    assert_eq!(world.file(&later).await.unwrap().id, secret.id);
    let after = shown(&desk, secret.id).await;
    assert_eq!(after.restricted_team_ids, before.restricted_team_ids);
    // Whoever lifts it is a person; no rule puts it back.
    let end = UnrestrictTicketRequest {
        ticket_id: secret.id.to_string(),
        reason: "a song".to_owned(),
        ..UnrestrictTicketRequest::default()
    };
    let ended = desk
        .api
        .tickets()
        .unrestrict_ticket(desk.api.admin(end))
        .await;
    assert!(!ended.unwrap().into_inner().restricted);
    let more = MessageReceived {
        text: "Tapan.".to_owned(),
        ..answer("t3@c.example", "aino@c.example", &["t@c.example"])
    };
    assert_eq!(world.file(&more).await.unwrap().id, secret.id);
    assert!(desk.sees(secret.id).await);
    // What follows a restricted ticket stays among its people, whatever rules say.
    let named = world
        .file(&mail("n@c.example", "otso@e.example"))
        .await
        .unwrap();
    assert!(desk.sees(named.id).await, "rule 9 names them");
    let mut connection = world.pool().acquire().await.unwrap();
    solmu_restrict::remove(&mut connection, Uuid::from_u128(9))
        .await
        .unwrap();
    world.set_status(named.id, "closed").await;
    let next = MessageReceived {
        text: "Tapan.".to_owned(),
        ..answer("n2@c.example", "otso@e.example", &["n@c.example"])
    };
    let next = world.file(&next).await.unwrap();
    assert_ne!(next.id, named.id);
    let next = shown(&desk, next.id).await;
    assert_eq!(next.restricted_agent_ids, [OUTSIDER.to_string()]);
    // Without rules nothing is restricted.
    solmu_restrict::remove(&mut connection, Uuid::from_u128(7))
        .await
        .unwrap();
    let free = world.file(&threat("f@c.example")).await.unwrap();
    assert!(desk.sees(free.id).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_order_is_asked_about_with_its_parts() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("a");
    let (_, hands) = solmu_tickets::start_with_hands(&runtime, Config::default());
    put(harness.db.pool(), 7, "dismissal OR category = hr", &[]).await;
    let contact = Uuid::from_u128(9);
    sqlx::query(
        "INSERT INTO tickets.contact (id, display_name, created_at) VALUES ($1, 'A', now())",
    )
    .bind(contact)
    .execute(harness.db.pool())
    .await
    .unwrap();
    let fresh = || new_uuid(&harness.clock, harness.rng.as_ref());
    let (whole, part, other) = (fresh(), fresh(), fresh());
    let opened: Result<(), ApiError> = harness
        .db
        .tx("test.open", |tx| {
            let hands = hands.clone();
            Box::pin(async move {
                let requester = hands.requester(tx, contact).await?;
                let by = Actor {
                    kind: Kind::Agent.into(),
                    id: OUTSIDER.to_string(),
                };
                let wanted = Ticket {
                    assignee_id: OUTSIDER.to_string(),
                    ..Ticket::default()
                };
                for (id, subject, parent) in [
                    (whole, "Dismissal of somebody", None),
                    (part, "Take back the keys", Some(whole)),
                    (other, "A new lamp", None),
                ] {
                    let opening = Opening {
                        id,
                        number: hands.next_number(tx).await?,
                        subject,
                        text: "please",
                        wanted: &wanted,
                        mask: &["assignee_id".to_owned()],
                        parent,
                        by: &by,
                    };
                    hands.open(tx, &requester, opening).await?;
                }
                Ok(())
            })
        })
        .await;
    opened.unwrap();
    let mut connection = harness.db.pool().acquire().await.unwrap();
    let ids = [whole, part, other];
    let known = Restriction::of(&mut connection, &ids).await.unwrap();
    let secret = Restriction::new(Vec::new(), vec![SECURITY]);
    assert_eq!(known.get(&whole), Some(&secret));
    assert_eq!(known.get(&part), Some(&secret));
    assert_eq!(known.get(&other), None);
    // Whom no rule names has none of it, though they opened it.
    let owners: Vec<(Option<Uuid>, Option<Uuid>)> = sqlx::query_as(
        "SELECT assignee_id, team_id FROM tickets.ticket WHERE id = ANY($1) ORDER BY number",
    )
    .bind(ids)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let named = (None, Some(SECURITY));
    assert_eq!(owners, [named, named, (Some(OUTSIDER), None)]);
}
