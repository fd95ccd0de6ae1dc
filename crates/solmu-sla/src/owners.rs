//! Fields of contacts and organisations: asked for before a transaction when a policy looks at them, dropped after it.
//!
//! While the ticket service does not answer, the events that need it wait, and all others are done: a clock that begins
//! under the wrong policy would tell people of deadlines that nobody promised. Its beginning is the event's time, so
//! waiting costs nothing but the telling.

use std::{collections::BTreeMap, sync::Arc};

use solmu_bus::Cause;
use solmu_db::DbError;
use solmu_domain::ids::EventId;
use solmu_inquiry::{InquiryError, Owns, Watched, ask};
use sqlx::PgConnection;

use crate::{
    catalogue::Catalogue,
    facts::TicketFacts,
    intake::{Arrival, Heard},
    store::{erasure, own_changes},
    worker::{Todo, Worker},
};

impl Worker {
    /// Fills in what policies look at of contacts and organisations, and answers with what that is. Events that cannot be
    /// decided on without it go to `failed`.
    pub(crate) async fn see_owners(
        &self,
        todo: &mut Vec<Todo>,
        failed: &mut BTreeMap<EventId, Cause>,
    ) -> Watched {
        // The transaction sees whether there is a newer one.
        let watched = self.catalogue.known();
        let watched = watched.map(|it| it.watched().clone()).unwrap_or_default();
        if watched.is_empty() {
            return watched;
        }
        let facts = todo.iter().filter_map(|it| it.heard.ticket()?.facts());
        match self.owns_of(&watched, facts).await {
            Ok(owns) => {
                for todo in todo.iter_mut() {
                    let Heard::Ticket(arrival) = &mut todo.heard else {
                        continue;
                    };
                    if let Some(facts) = arrival.facts_mut() {
                        facts.see(&owns);
                    }
                }
            }
            Err(error) => {
                let cause = Cause::passing("tickets_away", &error);
                let needs = |todo: &mut Todo| {
                    let arrival = todo.heard.ticket();
                    arrival.is_some_and(|it| Arrival::facts(it).is_some())
                };
                let waiting = todo.extract_if(.., needs);
                failed.extend(waiting.map(|todo| (todo.id, cause.clone())));
            }
        }
        watched
    }

    /// What is known of the contacts and organisations of tickets. Nobody to ask: nothing.
    pub(crate) async fn owns_of<'a>(
        &self,
        watched: &Watched,
        facts: impl Iterator<Item = &'a TicketFacts>,
    ) -> Result<Owns, InquiryError> {
        let (mut contacts, mut organizations) = (Vec::new(), Vec::new());
        for facts in facts {
            contacts.extend(facts.contact);
            organizations.extend(facts.organizations());
        }
        match ask(self.inquiry.as_ref(), watched, contacts, organizations).await {
            Err(InquiryError::NotConfigured) => {
                tracing::warn!("policies look at contacts but no ticket service is configured");
                Ok(Owns::default())
            }
            answer => answer,
        }
    }

    /// Notes whose fields changed, for the open tickets of theirs, and empties what is left of people who were erased.
    /// True when there is something to bring to tickets.
    pub(crate) async fn hear_of_people(
        &self,
        tx: &mut PgConnection,
        fresh: &[&Todo],
        catalogue: &Arc<Catalogue>,
    ) -> Result<bool, DbError> {
        let watched = catalogue.watched();
        let mut noted = false;
        for todo in fresh {
            match &todo.heard {
                Heard::Ticket(_) => {}
                Heard::Own(change) => {
                    let fields = change.fields.as_ref();
                    if fields.map_or(!watched.is_empty(), |it| watched.meets(it)) {
                        own_changes::change_insert(tx, change).await?;
                        noted = true;
                    }
                }
                Heard::Erased { contacts, at } => erasure::erase(tx, contacts, *at).await?,
            }
        }
        Ok(noted)
    }
}
