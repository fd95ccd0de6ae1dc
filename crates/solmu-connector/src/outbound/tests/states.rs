//! Every event in every state, on the table itself.

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::*;
use crate::outbound::{
    claim::{self, Wanted},
    lanes::Openings,
    state::{Event as Moved, State},
    store::{self, NewMessage, Step},
};

fn now() -> Timestamp {
    "2026-11-02T08:00:00Z".parse().unwrap()
}

/// A message of a channel of its own, brought into `state` by force.
async fn place(db: &solmu_db::Db, channel: &str, state: State) -> Uuid {
    let id = MessageId::of_inbound("test", channel, "x").as_uuid();
    let new = NewMessage {
        id,
        lane: "a.example".to_owned(),
        message: MessageQueued {
            text: "hei".to_owned(),
            ..MessageQueued::default()
        },
        trace: TraceContext::default(),
    };
    store::enqueue(db, channel, &[new], now()).await.unwrap();
    let sending = (state == State::Sending).then(|| now().to_sqlx());
    let over = !matches!(state, State::Queued | State::Sending);
    let finished = over.then(|| now().to_sqlx());
    sqlx::query(
        "UPDATE connector.outbound SET state = $2, claimed_until = $3, finished_at = $4, \
         message = CASE WHEN $4::timestamptz IS NULL THEN message END WHERE message_id = $1",
    )
    .bind(id)
    .bind(state.name())
    .bind(sending)
    .bind(finished)
    .execute(db.pool())
    .await
    .unwrap();
    id
}

async fn happen(db: &solmu_db::Db, channel: &str, id: Uuid, event: Moved) {
    let later = now() + SignedDuration::from_mins(1);
    let (code, text) = ("550 5.1.1".to_owned(), String::new());
    let step = match event {
        Moved::Claimed => {
            let openings = Openings::default();
            let wanted = Wanted {
                channel,
                limit: 9,
                openings: &openings,
                now: later,
                until: later,
            };
            claim::in_line(db, wanted).await.unwrap();
            return;
        }
        Moved::Orphaned => {
            store::give_up_orphans(db, channel, later).await.unwrap();
            return;
        }
        Moved::ReportedDelivered | Moved::ReportedFailed => {
            let why = ("5.1.1", "gone");
            store::reported(db, channel, id, event, why, later)
                .await
                .unwrap();
            return;
        }
        Moved::Taken => Step::Sent {
            external_id: "v".to_owned(),
        },
        Moved::PutOff => Step::Retry {
            at: later,
            code,
            text,
        },
        Moved::Refused => Step::Failed { code, text },
        Moved::Lost => Step::Unknown { code, text },
    };
    store::finish(db, &[(id, step)], later).await.unwrap();
}

#[tokio::test]
async fn every_event_in_every_state_does_what_the_table_of_states_says() {
    let harness = Harness::new().await;
    let db = &harness.db;
    for state in State::ALL {
        for event in Moved::ALL {
            let channel = format!("{state:?}-{event:?}");
            let id = place(db, &channel, state).await;
            happen(db, &channel, id, event).await;
            let after: String =
                sqlx::query_scalar("SELECT state FROM connector.outbound WHERE message_id = $1")
                    .bind(id)
                    .fetch_one(db.pool())
                    .await
                    .unwrap();
            let wanted = if event.leaves().contains(&state) {
                event.leads_to()
            } else {
                state
            };
            assert_eq!(after, wanted.name(), "{state:?} and {event:?}");
        }
    }
}

#[test]
fn nothing_is_sent_again_that_may_have_been_taken() {
    for state in State::ALL {
        let again = Moved::PutOff.leaves().contains(&state) || state == State::Queued;
        let may_have_been_taken = matches!(
            state,
            State::Sent | State::Delivered | State::Failed | State::Unknown
        );
        assert!(!(again && may_have_been_taken), "{state:?}");
        assert_eq!(Moved::Claimed.leaves(), [State::Queued]);
    }
}

#[tokio::test]
async fn a_report_of_arrival_stops_the_next_attempt() {
    let (harness, vendor) = (Harness::new().await, FakeVendor::default());
    vendor.answer("1", [SendOutcome::retry("busy", "")]);
    let runtime = replica(&harness, "one", &vendor);
    let id = queue(&harness, "a", "1").await;
    wait_for("one attempt", || async { vendor.sent() == ["1"] }).await;
    until(&harness, &id, "queued... with body").await;
    let clock = Arc::new(harness.clock.clone());
    let deliveries = Deliveries::new(harness.db.clone(), clock, Channel::Telegram);
    let report = |state: DeliveryState| DeliveryReported {
        message_id: id.clone(),
        state: state.into(),
        ..DeliveryReported::default()
    };
    assert!(!deliveries.note(&report(DeliveryState::Failed)).await);
    assert!(deliveries.note(&report(DeliveryState::Delivered)).await);
    assert!(!deliveries.note(&report(DeliveryState::Failed)).await);
    harness.clock.advance(SignedDuration::from_hours(1));
    let next = queue(&harness, "a", "2").await;
    until(&harness, &next, "sent").await;
    until(&harness, &id, "delivered").await;
    assert_eq!(vendor.sent(), ["1", "2"]);
    let told = reports(&harness).await;
    let told = told.iter().find(|report| report.message_id == id).unwrap();
    assert_eq!(told.state(), DeliveryState::Delivered);
    stop(runtime).await;
}

#[tokio::test]
async fn a_bad_address_is_told_as_one() {
    let (harness, vendor) = (Harness::new().await, FakeVendor::default());
    let codes = [
        ("550 5.1.1", true),
        ("5.1.10", true),
        ("553 5.1.2", true),
        ("550 5.7.1", false),
        ("550", false),
    ];
    for (code, _) in codes {
        vendor.answer(code, [SendOutcome::failed(code, "")]);
    }
    let runtime = replica(&harness, "one", &vendor);
    for (code, invalid) in codes {
        let id = queue(&harness, code, code).await;
        until(&harness, &id, "failed").await;
        let told = reports(&harness).await;
        let told = told.iter().find(|report| report.message_id == id).unwrap();
        assert_eq!(
            (told.error_code.as_str(), told.address_invalid),
            (code, invalid)
        );
    }
    stop(runtime).await;
}
