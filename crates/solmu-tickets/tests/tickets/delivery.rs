//! What became of answers.

use solmu_domain::clock::Clock as _;
use solmu_proto::{
    inbound::v1::DeliveryReported,
    ticket::v1::{DeliveryUpdated, Message, ReplyToTicketRequest},
    types::v1::{Channel, DeliveryState},
};

use crate::{
    api_world::Api,
    support::{ACCOUNT, answer, form, mail},
};

const OURS: &str = "m.1.2@solmu.example";

fn report(message_id: &str, external_id: &str, state: DeliveryState) -> DeliveryReported {
    DeliveryReported {
        message_id: message_id.to_owned(),
        channel: Channel::Email.into(),
        account: ACCOUNT.to_owned(),
        external_id: external_id.to_owned(),
        state: state.into(),
        ..DeliveryReported::default()
    }
}

async fn answered(api: &Api) -> Message {
    let ticket = api
        .world
        .file(&mail("root@c.example", "aino@c.example"))
        .await
        .unwrap();
    let request = ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: "Here you are".to_owned(),
        ..ReplyToTicketRequest::default()
    };
    api.tickets()
        .reply_to_ticket(api.agent(request))
        .await
        .unwrap()
        .into_inner()
}

async fn state(api: &Api) -> (DeliveryState, String, String) {
    let (state, error, external): (i16, String, String) = sqlx::query_as(
        "SELECT delivery_state, delivery_error, external_id FROM tickets.message WHERE author_kind = 2",
    )
    .fetch_one(api.world.pool())
    .await
    .unwrap();
    (
        DeliveryState::try_from(i32::from(state)).unwrap(),
        error,
        external,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_move_forward_and_the_id_is_learned() {
    let api = Api::new().await;
    let message = answered(&api).await;
    assert_eq!(state(&api).await.0, DeliveryState::Queued);
    api.world
        .tell(&report(&message.id, OURS, DeliveryState::Sent))
        .await;
    assert_eq!(
        state(&api).await,
        (DeliveryState::Sent, String::new(), OURS.to_owned())
    );
    // From now on the vendor may name it by its own id, in whatever order.
    api.world.tell(&report("", OURS, DeliveryState::Read)).await;
    api.world
        .tell(&report("", OURS, DeliveryState::Delivered))
        .await;
    api.world
        .tell(&report("", OURS, DeliveryState::Failed))
        .await;
    assert_eq!(state(&api).await.0, DeliveryState::Read);
    let told: Vec<_> = api.world.told::<DeliveryUpdated>().await;
    let states: Vec<_> = told.iter().map(DeliveryUpdated::state).collect();
    assert_eq!(states, [DeliveryState::Sent, DeliveryState::Read]);
    assert!(told.iter().all(|it| it.message_id == message.id));

    // An answer to our answer, by whom it went to, joins by that id alone.
    let reply = api
        .world
        .file(&answer("r@c.example", "aino@c.example", &[OURS]))
        .await
        .unwrap();
    assert_eq!(reply.id.to_string(), message.ticket_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_comes_first_waits_for_the_id() {
    let api = Api::new().await;
    let message = answered(&api).await;
    let early = DeliveryReported {
        error_code: "550".to_owned(),
        error_text: "no such user".to_owned(),
        ..report("", OURS, DeliveryState::Failed)
    };
    api.world.tell(&early).await;
    assert_eq!(state(&api).await.0, DeliveryState::Queued);
    api.world
        .tell(&report(&message.id, OURS, DeliveryState::Sent))
        .await;
    let (state, error, _) = state(&api).await;
    assert_eq!(
        (state, error.as_str()),
        (DeliveryState::Failed, "550: no such user")
    );
    assert_eq!(
        api.world
            .count("SELECT count(*) FROM tickets.early_report")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_form_learns_the_account_that_sent_it() {
    let api = Api::new().await;
    let ticket = api
        .world
        .file(&form("f1", "Aino Virtanen", "aino@c.example"))
        .await
        .unwrap();
    let request = ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: "Here".to_owned(),
        ..ReplyToTicketRequest::default()
    };
    let message = api
        .tickets()
        .reply_to_ticket(api.agent(request))
        .await
        .unwrap()
        .into_inner();
    api.world
        .tell(&report(&message.id, OURS, DeliveryState::Sent))
        .await;
    api.world
        .tell(&report("", OURS, DeliveryState::Delivered))
        .await;
    assert_eq!(state(&api).await.0, DeliveryState::Delivered);
    let reply = api
        .world
        .file(&answer("r@c.example", "aino@c.example", &[OURS]))
        .await
        .unwrap();
    assert_eq!((reply.id, reply.message_count), (ticket.id, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_on_what_is_not_ours_are_kept_and_forgotten() {
    let mut api = Api::new().await;
    api.world
        .file(&mail("root@c.example", "aino@c.example"))
        .await
        .unwrap();
    // The id of a customer's message is no message of ours.
    let theirs = api
        .world
        .count("SELECT count(*) FROM tickets.message WHERE delivery_state = 0")
        .await;
    let now = solmu_bus::envelope::to_proto_time(api.world.harness.clock.now());
    let foreign = DeliveryReported {
        report_time: Some(now),
        ..report("", "root@c.example", DeliveryState::Read)
    };
    api.world.tell(&foreign).await;
    assert_eq!(
        api.world
            .count("SELECT count(*) FROM tickets.message WHERE delivery_state = 0")
            .await,
        theirs
    );
    assert_eq!(
        api.world
            .count("SELECT count(*) FROM tickets.early_report")
            .await,
        1
    );
    api.world
        .harness
        .clock
        .advance(jiff::SignedDuration::from_hours(31 * 24));
    drop(api.world.start("later").await);
    solmu_testkit::wait_for("old reports go", || async {
        api.world
            .count("SELECT count(*) FROM tickets.early_report")
            .await
            == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_and_messages_of_one_batch_on_two_replicas() {
    let mut api = Api::new().await;
    drop(api.world.start("b").await);
    let mut answered = Vec::new();
    for n in 0..8 {
        let root = format!("root{n}@c.example");
        let ticket = api
            .world
            .file(&mail(&root, "aino@c.example"))
            .await
            .unwrap();
        let request = ReplyToTicketRequest {
            ticket_id: ticket.id.to_string(),
            text: "Here you are".to_owned(),
            ..ReplyToTicketRequest::default()
        };
        let message = api
            .tickets()
            .reply_to_ticket(api.agent(request))
            .await
            .unwrap();
        answered.push((root, message.into_inner().id));
    }
    // Each ticket gets a message and two reports.
    let mut events = Vec::new();
    for (n, (root, message)) in answered.iter().enumerate() {
        let ours = format!("m.{n}@solmu.example");
        let reply = answer(&format!("r{n}@c.example"), "aino@c.example", &[root]);
        events.push(
            api.world
                .event(&report(message, &ours, DeliveryState::Sent)),
        );
        events.push(api.world.event(&reply));
        events.push(
            api.world
                .event(&report(message, &ours, DeliveryState::Delivered)),
        );
    }
    api.world.publish(&events).await;
    api.world.settled().await;
    let delivered =
        "SELECT count(*) FROM tickets.message WHERE author_kind = 2 AND delivery_state = 5";
    let early = "SELECT count(*) FROM tickets.early_report";
    assert_eq!(
        (
            api.world.count(delivered).await,
            api.world.count(early).await
        ),
        (8, 0)
    );
    let three = "SELECT count(*) FROM tickets.ticket WHERE message_count = 3";
    assert_eq!(api.world.count(three).await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_was_missed_is_found_later() {
    let mut api = Api::new().await;
    let message = answered(&api).await;
    api.world
        .tell(&report(&message.id, OURS, DeliveryState::Sent))
        .await;
    // Another replica kept it at the moment in which the id was learned.
    sqlx::query(
        "INSERT INTO tickets.early_report (channel, account, external_id, state, error_code, error_text, reported_at)
         VALUES (1, $1, $2, 5, '', '', $3)",
    )
    .bind(ACCOUNT)
    .bind(OURS)
    .bind(solmu_db::ToSqlx::to_sqlx(api.world.harness.clock.now()))
    .execute(api.world.pool())
    .await
    .unwrap();
    drop(api.world.start("b").await);
    solmu_testkit::wait_for("the report is applied", || async {
        state(&api).await.0 == DeliveryState::Delivered
    })
    .await;
    assert_eq!(
        api.world
            .count("SELECT count(*) FROM tickets.early_report")
            .await,
        0
    );
}
