//! Sees the events of the ticket service as they pass on the bus. A plain subscription, not a consumer: it adds
//! nothing to the work of the bus but one more copy of each message.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use async_nats::{HeaderMap, Subscriber};
use futures::StreamExt as _;
use prost::Message as _;
use solmu_proto::{
    bus::v1::EventBatch,
    ticket::v1::{MessageQuarantined, TicketAssigned, TicketMessageAdded, TicketOpened},
};

use crate::stamps::Stamps;

/// Header that marks a batch (see docs/events).
const BATCH: &str = "solmu-batch";
/// Header of the event's type in binary mode.
const TYPE: &str = "ce-type";

/// What is known of a ticket.
#[derive(Debug)]
enum Known {
    /// Opened by this mail.
    Opened(usize),
    /// Assigned before its opening was seen.
    Assigned(Duration),
}

/// Follows the events until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    stamps: Arc<Stamps>,
    tickets: HashMap<String, Known>,
}

/// Subscribes to all partitions of the ticket events.
pub(crate) async fn subscribe(
    nats: &async_nats::Client,
    namespace: &str,
) -> anyhow::Result<Subscriber> {
    let subscriber = nats
        .subscribe(format!("{namespace}.tickets.v1.*"))
        .await
        .context("cannot subscribe to the ticket events")?;
    // Without the flush the first events could pass before the server knows of us.
    nats.flush().await.context("cannot reach NATS")?;
    Ok(subscriber)
}

impl Watch {
    pub(crate) fn new(stamps: Arc<Stamps>) -> Self {
        Self {
            stamps,
            tickets: HashMap::new(),
        }
    }

    /// Takes events until the subscription ends.
    pub(crate) async fn run(mut self, mut subscriber: Subscriber) {
        while let Some(message) = subscriber.next().await {
            self.take(message.headers.as_ref(), &message.payload);
        }
    }

    /// Takes one bus message; what does not decode is not ours to judge.
    fn take(&mut self, headers: Option<&HeaderMap>, payload: &[u8]) {
        let header = |name: &str| {
            headers
                .and_then(|headers| headers.get(name))
                .map(ToString::to_string)
        };
        if header(BATCH).is_some() {
            for event in EventBatch::decode(payload).unwrap_or_default().events {
                self.event(&event.r#type, &event.data);
            }
        } else if let Some(kind) = header(TYPE) {
            self.event(&kind, payload);
        }
    }

    fn event(&mut self, kind: &str, data: &[u8]) {
        match kind {
            "solmu.ticket.opened.v1" => {
                let event = TicketOpened::decode(data).unwrap_or_default();
                let index = self.filed(&event.message.unwrap_or_default().message_id);
                if let Some(index) = index {
                    self.opened(event.ticket.unwrap_or_default().ticket_id, index);
                }
            }
            "solmu.ticket.message_added.v1" => {
                let event = TicketMessageAdded::decode(data).unwrap_or_default();
                self.filed(&event.message.unwrap_or_default().message_id);
            }
            "solmu.ticket.message_quarantined.v1" => {
                let event = MessageQuarantined::decode(data).unwrap_or_default();
                if self.filed(&event.message_id).is_some() {
                    self.stamps.quarantined.fetch_add(1, Ordering::Relaxed);
                }
            }
            "solmu.ticket.assigned.v1" => {
                let ticket = TicketAssigned::decode(data)
                    .unwrap_or_default()
                    .ticket
                    .unwrap_or_default();
                if !ticket.assignee_id.is_empty() {
                    self.assigned(ticket.ticket_id);
                }
            }
            _ => {}
        }
    }

    fn filed(&self, message_id: &str) -> Option<usize> {
        let index = self.stamps.index_of(message_id)?;
        self.stamps.mark_filed(index);
        Some(index)
    }

    fn opened(&mut self, ticket_id: String, index: usize) {
        match self.tickets.entry(ticket_id) {
            Entry::Occupied(known) => {
                if let Known::Assigned(at) = known.get() {
                    self.stamps.opened.fetch_add(1, Ordering::Relaxed);
                    self.stamps.mark_assigned(index, *at);
                    *known.into_mut() = Known::Opened(index);
                }
            }
            Entry::Vacant(new) => {
                self.stamps.opened.fetch_add(1, Ordering::Relaxed);
                new.insert(Known::Opened(index));
            }
        }
    }

    fn assigned(&mut self, ticket_id: String) {
        let at = self.stamps.elapsed();
        match self.tickets.entry(ticket_id).or_insert(Known::Assigned(at)) {
            Known::Opened(index) => self.stamps.mark_assigned(*index, at),
            Known::Assigned(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use solmu_domain::ids::MessageId;
    use solmu_proto::{
        bus::v1::Event,
        ticket::v1::{MessageFact, TicketState},
    };

    use super::*;
    use crate::generate::{Generated, Kind};

    fn state(id: &str) -> TicketState {
        TicketState {
            ticket_id: id.to_owned(),
            assignee_id: "a".to_owned(),
            ..TicketState::default()
        }
    }

    #[test]
    fn batches_and_single_events_are_followed_in_any_order() {
        let mail = |id: &str| Generated {
            kind: Kind::New,
            from: String::new(),
            id: id.to_owned(),
            bytes: Vec::new(),
        };
        let stamps = Arc::new(Stamps::new(&[mail("1"), mail("2")], "main"));
        let mut watch = Watch::new(Arc::clone(&stamps));
        let fact = |id: &str| {
            let message_id = MessageId::of_inbound("email", "main", id).to_string();
            Some(MessageFact {
                message_id,
                ..MessageFact::default()
            })
        };
        let opened = |id: &str| TicketOpened {
            ticket: Some(state(id)),
            message: fact(id),
            ..TicketOpened::default()
        };
        let assigned = |id: &str| TicketAssigned {
            ticket: Some(state(id)),
            ..TicketAssigned::default()
        };
        let event = |kind: &str, data: Vec<u8>| Event {
            r#type: kind.to_owned(),
            data,
            ..Event::default()
        };

        let mut headers = HeaderMap::new();
        headers.insert(BATCH, "3");
        let events = vec![
            event("solmu.ticket.opened.v1", opened("1").encode_to_vec()),
            event("solmu.ticket.assigned.v1", assigned("1").encode_to_vec()),
            event("solmu.ticket.assigned.v1", assigned("2").encode_to_vec()),
        ];
        watch.take(Some(&headers), &EventBatch { events }.encode_to_vec());
        assert_eq!(
            (
                stamps.filed.load(Ordering::Relaxed),
                stamps.assigned.load(Ordering::Relaxed)
            ),
            (1, 1)
        );

        let mut headers = HeaderMap::new();
        headers.insert(TYPE, "solmu.ticket.opened.v1");
        for _ in 0..2 {
            watch.take(Some(&headers), &opened("2").encode_to_vec());
        }
        watch.take(None, b"\xff");
        watch.take(Some(&headers), b"\xff");
        let count = |cell: &std::sync::atomic::AtomicUsize| cell.load(Ordering::Relaxed);
        assert_eq!(
            (
                count(&stamps.filed),
                count(&stamps.assigned),
                count(&stamps.opened)
            ),
            (2, 2, 2)
        );
        let times = stamps.times()[1];
        assert!(times.assigned <= times.filed);
    }
}
