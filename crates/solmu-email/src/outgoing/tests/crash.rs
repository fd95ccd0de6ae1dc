//! Senders that die at any point, and a relay that breaks at any point: nothing goes out twice.

use std::{collections::HashMap, sync::Mutex, task::Poll};

use jiff::SignedDuration;
use solmu_bus::{Event, EventBody as _};
use solmu_connector::{Intake, IntakeConfig, outbound};
use solmu_domain::{
    ids::{EventId, MessageId},
    rng::{Rng as _, SeededRng},
};
use solmu_testkit::{Harness, wait_for};

use super::{
    peer::{Peer, Reply},
    *,
};
use solmu_mime::reply_address::own_message;

const MESSAGES: usize = 80;
/// Times a dying sender looks at its connection before it dies: a whole dialogue takes about ten.
const LOOKS: u64 = 12;

/// A sender whose process ends in the middle of one of three mails: the connection is gone, and nobody hears of it.
struct Mortal {
    inner: MailSender,
    rng: SeededRng,
    died: Arc<Mutex<usize>>,
}

impl Sender for Mortal {
    async fn send(&self, message: &MessageQueued) -> SendOutcome {
        let dies = self.rng.next_u64().is_multiple_of(3);
        let (mut looks, last_look) = (0, self.rng.next_u64() % LOOKS);
        let mut sending = Box::pin(self.inner.send(message));
        let outcome = std::future::poll_fn(|cx| {
            if dies && looks >= last_look {
                return Poll::Ready(None);
            }
            looks += 1;
            sending.as_mut().poll(cx).map(Some)
        })
        .await;
        drop(sending);
        let Some(outcome) = outcome else {
            *self.died.lock().unwrap() += 1;
            return std::future::pending().await;
        };
        outcome
    }

    fn lane(&self, message: &MessageQueued) -> String {
        self.inner.lane(message)
    }
}

/// A relay that now and then refuses, breaks off, or takes a mail and breaks off before it says so.
async fn moody(seed: u64) -> Peer {
    let rng = SeededRng::new(seed);
    Peer::start(Arc::new(move |line: &str| {
        let chance = rng.next_u64() % 100;
        let say = |text: &str| Some(Reply::Say(text.to_owned()));
        match line {
            "." if chance < 10 => Some(Reply::Close),
            "." if chance < 20 => say("451 4.3.0 later"),
            "." if chance < 23 => say("554 5.7.1 no"),
            "DATA" if chance < 5 => Some(Reply::Close),
            line if line.starts_with("RCPT") && chance < 5 => Some(Reply::Close),
            line if line.starts_with("RCPT") && chance < 8 => say("450 4.2.0 later"),
            _ => None,
        }
    }))
    .await
}

async fn queue(harness: &Harness, seed: u64, number: usize) -> String {
    let id = MessageId::of_inbound("test", &seed.to_string(), &number.to_string()).to_string();
    let domain = format!("c{}.example", number % 7);
    let message = MessageQueued {
        message_id: id.clone(),
        conversation_key: format!("{seed}-{number}"),
        recipient: Some(Identity {
            value: format!("a@{domain}"),
            ..Identity::default()
        }),
        ..queued()
    };
    assert_eq!(MessageQueued::TYPE, "solmu.outbound.message_queued.v1");
    let event_id = EventId::generate(&harness.clock, &*harness.rng);
    let at = "2026-11-02T08:00:00Z".parse().unwrap();
    harness
        .bus
        .publish(&[Event::new(event_id, at, &message)])
        .await
        .unwrap();
    id
}

#[tokio::test]
async fn a_sender_that_dies_anywhere_never_sends_a_mail_twice() {
    for seed in [1, 2, 3] {
        let harness = Harness::new().await;
        let peer = moody(seed).await;
        let mut config = config(Some(peer.address));
        let relay = config.accounts[0].relay.as_mut().unwrap();
        (relay.connections, relay.timeout_ms) = (8, 5_000);
        let (_bench, inner) = sender_with(&config);
        let died = Arc::new(Mutex::new(0));
        let mortal = Mortal {
            inner,
            rng: SeededRng::new(seed),
            died: Arc::clone(&died),
        };
        let runtime = harness.runtime("mortal");
        let intake = Intake::start(&runtime, IntakeConfig::default());
        let outbound = outbound::OutboundConfig {
            concurrency: MESSAGES,
            poll_interval_ms: 20,
            ..outbound::OutboundConfig::default()
        };
        outbound::start(&runtime, &intake, Channel::Email, outbound, mortal);
        let mut ids = Vec::new();
        for number in 0..MESSAGES {
            ids.push(queue(&harness, seed, number).await);
        }
        let unfinished = async || -> i64 {
            sqlx::query_scalar(
                "SELECT $1 - count(*) FROM connector.outbound WHERE finished_at IS NOT NULL",
            )
            .bind(i64::try_from(MESSAGES).unwrap())
            .fetch_one(harness.db.pool())
            .await
            .unwrap()
        };
        wait_for("every message has an end", || async {
            harness.clock.advance(SignedDuration::from_secs(10));
            unfinished().await == 0
        })
        .await;

        // The states first: the clock runs so fast here that a living sender may be given up and finish after all.
        let mut states = Vec::with_capacity(ids.len());
        for id in &ids {
            let row: uuid::Uuid = id.parse().unwrap();
            let state: String =
                sqlx::query_scalar("SELECT state FROM connector.outbound WHERE message_id = $1")
                    .bind(row)
                    .fetch_one(harness.db.pool())
                    .await
                    .unwrap();
            states.push((id, state));
        }
        let mut copies: HashMap<String, usize> = HashMap::new();
        for mail in peer.seen().mails {
            let id = mail.header("Message-ID").unwrap().trim_matches(['<', '>']);
            let own = own_message(id, &signer()).unwrap();
            *copies.entry(own.message.to_string()).or_default() += 1;
        }
        let mut by_state: HashMap<String, usize> = HashMap::new();
        for (id, state) in states {
            let count = copies.get(id).copied().unwrap_or(0);
            let fits = match state.as_str() {
                "sent" => count == 1,
                "failed" => count == 0,
                "unknown" => count <= 1,
                _ => false,
            };
            assert!(fits, "seed {seed}: {state} and {count} copies");
            *by_state.entry(state).or_default() += 1;
        }
        assert!(*died.lock().unwrap() > 0, "seed {seed}");
        assert!(
            by_state["sent"] > 0 && by_state["unknown"] > 0,
            "seed {seed}: {by_state:?}"
        );
        drop(runtime);
    }
}
