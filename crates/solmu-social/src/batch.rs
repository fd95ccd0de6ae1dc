//! What one webhook request amounts to.

use solmu_connector::InboundEvent;
use solmu_proto::{
    inbound::v1::{
        Authenticity, ContentKind, DeliveryReported, MessageReceived, RawOriginal,
        authenticity::Verdict,
    },
    types::v1::{AutomaticClass, Channel},
};

/// The elements of a request, each turned into something: none is dropped without a trace.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Messages of customers.
    pub(crate) messages: Vec<MessageReceived>,
    /// Reports on messages of ours.
    pub(crate) reports: Vec<DeliveryReported>,
    /// Elements that could not be made into an event: counted by this cause, the original is kept.
    pub(crate) kept: Vec<&'static str>,
    /// Elements that are of no interest to a helpdesk: counted by this kind.
    pub(crate) ignored: Vec<&'static str>,
}

impl Batch {
    /// The events to publish, each once, the messages with their original.
    pub(crate) fn into_events(self, raw: &RawOriginal) -> Vec<InboundEvent> {
        let mut seen = std::collections::HashSet::new();
        let messages = self.messages.into_iter().filter_map(|message| {
            let new = seen.insert((message.account.clone(), message.external_id.clone()));
            new.then(|| {
                MessageReceived {
                    raw: Some(raw.clone()),
                    ..message
                }
                .into()
            })
        });
        let messages: Vec<InboundEvent> = messages.collect();
        messages
            .into_iter()
            .chain(self.reports.into_iter().map(InboundEvent::from))
            .collect()
    }
}

/// A message as every element begins: from a verified webhook, written by a person.
pub(crate) fn new_message(channel: Channel, account: &str) -> MessageReceived {
    MessageReceived {
        channel: channel.into(),
        account: account.to_owned(),
        content_kind: ContentKind::Message.into(),
        automatic_class: AutomaticClass::Human.into(),
        authenticity: Some(Authenticity {
            verdict: Verdict::Verified.into(),
            method: "webhook-signature".to_owned(),
            ..Authenticity::default()
        }),
        ..MessageReceived::default()
    }
}
