//! What a round asks the ticket service before it begins: nothing is asked while a transaction is open.
//!
//! Tickets whose answers are not there wait; all else goes on.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use solmu_domain::ids::TicketId;
use solmu_inquiry::{InquiryError, OwnFields, Watched, ask};

use crate::{
    core::{
        answers::{Answers, Parties},
        event::{Heard, TicketEvent},
        rules::Text,
    },
    engine::{Arrived, Engine, ROUTED_AT_ONCE},
    recall::Known,
    texts::{RoutingTexts, TextsError},
};

impl Engine {
    /// What the rules have to see of the tickets that this round routes.
    pub(crate) async fn ask(self: &Arc<Self>, arrived: &[Arrived]) -> Answers {
        let wanted = self.with_known(|known| {
            let wanted = known.state.wanted_owns(events(arrived), ROUTED_AT_ONCE);
            (wanted, known.state.rules().watched().clone())
        });
        let Some((parties, watched)) = wanted else {
            return Answers::default();
        };
        let owns = self.owns(&watched, parties).await;
        let wanted = self.with_known(|known| {
            let state = &known.state;
            state.wanted_texts(events(arrived), &owns, ROUTED_AT_ONCE)
        });
        let texts = self.words(wanted.unwrap_or_default()).await;
        Answers { texts, owns }
    }

    fn with_known<T>(&self, look: impl FnOnce(&Known) -> T) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(look)
    }

    async fn owns(
        &self,
        watched: &Watched,
        parties: HashMap<TicketId, Parties>,
    ) -> HashMap<TicketId, OwnFields> {
        match owns_of(self.texts.as_ref(), watched, &parties).await {
            Ok(owns) => owns,
            Err(InquiryError::NotConfigured) => {
                tracing::warn!("rules look at contacts but no ticket service is configured");
                let nothing = |id: TicketId| (id, OwnFields::default());
                parties.into_keys().map(nothing).collect()
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                let tickets = parties.len();
                tracing::warn!(
                    error,
                    tickets,
                    "cannot ask about contacts; the tickets wait"
                );
                HashMap::new()
            }
        }
    }

    async fn words(&self, wanted: Vec<TicketId>) -> HashMap<TicketId, Text> {
        match words_of(self.texts.as_ref(), &wanted).await {
            Ok(texts) => texts,
            Err(TextsError::NotConfigured) => {
                tracing::warn!("rules look at words but no ticket service is configured");
                wanted.into_iter().map(|id| (id, nothing())).collect()
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    tickets = wanted.len(),
                    "cannot get words; the tickets wait"
                );
                HashMap::new()
            }
        }
    }
}

fn events(arrived: &[Arrived]) -> impl Iterator<Item = &TicketEvent> {
    arrived.iter().filter_map(|(_, heard)| match heard {
        Heard::Ticket(event) => Some(event.as_ref()),
        Heard::Roster | Heard::Own(_) | Heard::Erased(_) | Heard::Nothing => None,
    })
}

/// A ticket without words is routed as one whose words match nothing.
fn nothing() -> Text {
    Text::new("", "", String::new())
}

/// The fields that tickets' rules look at. One whose contact does not exist has none.
pub(crate) async fn owns_of(
    source: &dyn RoutingTexts,
    watched: &Watched,
    parties: &HashMap<TicketId, Parties>,
) -> Result<HashMap<TicketId, OwnFields>, InquiryError> {
    if parties.is_empty() {
        return Ok(HashMap::new());
    }
    let contacts = parties.values().filter_map(Parties::contact);
    let organizations = parties.values().flat_map(Parties::organizations);
    let owns = ask(source, watched, contacts, organizations).await?;
    let seen = parties
        .iter()
        .map(|(id, parties)| (*id, parties.see(&owns)));
    Ok(seen.collect())
}

/// The words of tickets.
pub(crate) async fn words_of(
    source: &dyn RoutingTexts,
    wanted: &[TicketId],
) -> Result<HashMap<TicketId, Text>, TextsError> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let found = source.fetch(wanted).await?;
    let mut texts: HashMap<TicketId, Text> = wanted.iter().map(|id| (*id, nothing())).collect();
    for text in found {
        if let Ok(id) = text.ticket_id.parse() {
            texts.insert(id, Text::new(&text.subject, &text.text, text.sender));
        }
    }
    Ok(texts)
}
