//! Sees what becomes of the messages: the watch stream tells of every change at once, and the tickets that it named
//! are fetched again where a decision needs them as they are now.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use solmu_client::Client;
use solmu_proto::ticket::v1::{
    GetTicketRequest, Message, Ticket, WatchTicketsRequest, WatchTicketsResponse,
};
use tonic::Streaming;

use crate::{connect::Session, ticket::messages_of, words};

/// How often tickets are fetched anew while nothing is heard.
const REFRESH: Duration = Duration::from_millis(500);

/// The tickets that were opened or changed since the demo began.
#[derive(Debug)]
pub(crate) struct Board {
    stream: Streaming<WatchTicketsResponse>,
    tickets: BTreeMap<i64, Ticket>,
    since: Timestamp,
}

/// How far things are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Tickets opened since the beginning.
    pub(crate) opened: usize,
    /// Those with an owner and a due time.
    pub(crate) ready: usize,
    /// Messages on them.
    pub(crate) messages: usize,
}

impl Board {
    /// Begins to watch. What happens from now on is seen.
    pub(crate) async fn open(
        session: &Session,
        client: &Client,
        since: Timestamp,
    ) -> anyhow::Result<Self> {
        let request = WatchTicketsRequest::default();
        let stream = client
            .tickets()
            .watch_tickets(request)
            .await
            .map_err(|status| session.explain(status))?
            .into_inner();
        Ok(Self {
            stream,
            tickets: BTreeMap::new(),
            since,
        })
    }

    /// Waits until `enough` of the progress; false if that did not come in time.
    pub(crate) async fn wait(
        &mut self,
        session: &Session,
        client: &Client,
        limit: Duration,
        enough: impl Fn(Progress) -> bool,
    ) -> anyhow::Result<bool> {
        let deadline = Instant::now() + limit;
        while !enough(self.progress()) {
            if Instant::now() > deadline {
                return Ok(false);
            }
            match tokio::time::timeout(REFRESH, self.stream.message()).await {
                Ok(Ok(Some(change))) => self.take(change.ticket),
                // Nothing was heard, or no more will be: ask.
                Ok(Ok(None)) => {
                    tokio::time::sleep(REFRESH).await;
                    self.refresh(session, client).await?;
                }
                Ok(Err(status)) => return Err(session.explain(status)),
                Err(_) => self.refresh(session, client).await?,
            }
        }
        self.refresh(session, client).await?;
        Ok(true)
    }

    fn take(&mut self, ticket: Option<Ticket>) {
        let Some(ticket) = ticket else { return };
        // The stream may lag behind what was fetched.
        let known = self
            .tickets
            .get(&ticket.number)
            .map_or(0, |known| known.version);
        if ticket.version >= known {
            self.tickets.insert(ticket.number, ticket);
        }
    }

    async fn refresh(&mut self, session: &Session, client: &Client) -> anyhow::Result<()> {
        for ticket in self.tickets.values_mut() {
            let request = GetTicketRequest {
                id: ticket.id.clone(),
            };
            *ticket = client
                .tickets()
                .get_ticket(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
        }
        Ok(())
    }

    /// Tickets opened since the beginning, by number.
    pub(crate) fn opened(&self) -> impl Iterator<Item = &Ticket> {
        // The server cuts times to microseconds, and its clock may be another one's.
        let since = self.since.as_second() - 2;
        self.tickets.values().filter(move |ticket| {
            words::time(ticket.create_time.as_ref()).is_some_and(|at| at.as_second() >= since)
        })
    }

    pub(crate) fn progress(&self) -> Progress {
        progress(self.opened())
    }

    /// The messages of the opened tickets, by ticket id.
    pub(crate) async fn messages(
        &self,
        session: &Session,
        client: &Client,
    ) -> anyhow::Result<BTreeMap<String, Vec<Message>>> {
        let mut all = BTreeMap::new();
        for ticket in self.opened() {
            all.insert(
                ticket.id.clone(),
                messages_of(session, client, &ticket.id).await?,
            );
        }
        Ok(all)
    }
}

fn progress<'a>(tickets: impl Iterator<Item = &'a Ticket>) -> Progress {
    let mut progress = Progress::default();
    for ticket in tickets {
        progress.opened += 1;
        progress.ready +=
            usize::from(!ticket.assignee_id.is_empty() && ticket.next_due_time.is_some());
        progress.messages += usize::try_from(ticket.message_count).unwrap_or(0);
    }
    progress
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_ready_with_owner_and_due_time() {
        let due = Some(prost_types::Timestamp::default());
        let owned = Ticket {
            assignee_id: "a".to_owned(),
            next_due_time: due,
            message_count: 2,
            ..Ticket::default()
        };
        let queued = Ticket {
            next_due_time: due,
            message_count: 1,
            ..Ticket::default()
        };
        let unpromised = Ticket {
            assignee_id: "a".to_owned(),
            message_count: 1,
            ..Ticket::default()
        };
        let all = [owned, queued, unpromised];
        assert_eq!(
            progress(all.iter()),
            Progress {
                opened: 3,
                ready: 1,
                messages: 4
            }
        );
    }
}
