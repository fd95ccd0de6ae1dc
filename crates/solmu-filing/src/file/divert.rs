//! Mail that no customer sent: of agents who answer or open tickets by mail, and of experts who were asked.
//!
//! It is taken out of a batch and filed one by one, between what came before and what came after it: it is rare, and
//! needs of the database what no customer's mail needs. Whatever nothing proves to be such mail stays in the batch.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use solmu_domain::ticket::AutomaticClass;
use solmu_proto::{inbound::v1::MessageReceived, types::v1::Channel};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    author::Author,
    budget::{Budgets, Kind},
    load::{columns, load_filed},
    repeat::{Names, choose},
    thread::{keys_of, once_key, once_key_of_ours, own_key, signed_tickets},
    words::sender_address,
    work::Quarantined,
    write::{tell_quarantined, write_quarantine},
    write_originals::write_originals,
};
use crate::{
    agent_mail::{self, Agent, start::Start},
    blocks,
    config::Config,
    context::Context,
    error::TicketError,
    events::EventSink,
    experts::reply::{self, Side},
    metrics::Tally,
    model::{self, Ticket, class_from_proto},
};

/// Tickets that follow one another, by merging or after closing, at most; no chain of people's making is so long.
const CHAIN: usize = 1_000;

/// Whose mail it is.
#[derive(Debug)]
pub(super) enum Diversion {
    Expert(Side),
    Agent(Agent, AgentMail),
}

/// What an agent's mail does.
#[derive(Debug)]
pub(super) enum AgentMail {
    /// It names this ticket with a signature; `addressed` if that stood in an address that it was sent to.
    OnTicket { ticket: Uuid, addressed: bool },
    /// It opens one for a customer.
    Opens(Start),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is on this ticket.
    Filed(Uuid),
    /// It waits, or came again.
    Nothing,
    /// It is anybody's mail after all.
    Ordinary,
}

/// Finds the mails of agents and experts among `messages`, by their position.
pub(super) async fn find(
    tx: &mut PgConnection,
    messages: &[(&MessageReceived, &TraceContext)],
    config: &Config,
) -> Result<HashMap<usize, Diversion>, TicketError> {
    let mails = || {
        let all = messages.iter().map(|(message, _)| *message).enumerate();
        all.filter(|(_, message)| message.channel() == Channel::Email)
    };
    let signed: HashSet<Uuid> = mails().flat_map(|(_, mail)| signed_tickets(mail)).collect();
    let sides = reply::load(tx, &signed).await?;
    let senders = mails().filter_map(|(_, mail)| agent_mail::proven_address(mail));
    let starts = !config.agent_mail.start_addresses.is_empty();
    // Whom an agent writes to besides us is no customer if they are an agent, too.
    let named: HashSet<String> = mails()
        .filter(|(_, mail)| starts && agent_mail::proven_address(mail).is_some())
        .flat_map(|(_, mail)| mail.to.iter().chain(&mail.cc))
        .map(|mailbox| mailbox.address.trim().to_lowercase())
        .chain(senders)
        .collect();
    let agents = agent_mail::among(tx, &named).await?;
    let of = |mail: &MessageReceived| -> Option<Diversion> {
        let mut ids = signed_tickets(mail).into_iter();
        if let Some(side) = ids.find_map(|id| sides.get(&id)) {
            return Some(Diversion::Expert(side.clone()));
        }
        let agent = agents.get(&agent_mail::proven_address(mail)?)?;
        agent_mail_of(mail, &agents, config).map(|what| Diversion::Agent(agent.clone(), what))
    };
    Ok(mails()
        .filter_map(|(index, mail)| Some((index, of(mail)?)))
        .collect())
}

fn agent_mail_of(
    mail: &MessageReceived,
    agents: &HashMap<String, Agent>,
    config: &Config,
) -> Option<AgentMail> {
    let addressed = mail
        .threading
        .iter()
        .flat_map(|it| &it.addressed_ticket_ids);
    let mut addressed = addressed.filter_map(|id| Uuid::parse_str(id).ok());
    if let Some(ticket) = addressed.next() {
        let on = AgentMail::OnTicket {
            ticket,
            addressed: true,
        };
        return config.agent_mail.answers.then_some(on);
    }
    if let Some(ticket) = signed_tickets(mail).into_iter().next() {
        let on = AgentMail::OnTicket {
            ticket,
            addressed: false,
        };
        return config.agent_mail.answers.then_some(on);
    }
    Start::of(mail, agents, config).map(AgentMail::Opens)
}

/// One such mail on its way to a ticket.
pub(crate) struct Work<'a, 'e> {
    pub(crate) context: &'a Context,
    pub(crate) message: &'a MessageReceived,
    pub(crate) trace: TraceContext,
    pub(crate) events: &'a mut EventSink<'e>,
    pub(crate) now: Timestamp,
    /// Somebody let it out of the quarantine: no cap and no block holds it.
    pub(crate) released: bool,
    pub(crate) tally: Tally,
}

impl Work<'_, '_> {
    /// Files the mail.
    pub(super) async fn file(
        &mut self,
        tx: &mut PgConnection,
        diversion: &Diversion,
    ) -> Result<Outcome, TicketError> {
        // Each account that got it hands it in.
        if let Some(ticket) = self.twin(tx).await? {
            self.tally.duplicates += 1;
            return Ok(Outcome::Filed(ticket));
        }
        let outcome = self.file_once(tx, diversion).await?;
        if let Outcome::Filed(ticket) = outcome {
            self.note_once(tx, ticket).await?;
        }
        Ok(outcome)
    }

    async fn file_once(
        &mut self,
        tx: &mut PgConnection,
        diversion: &Diversion,
    ) -> Result<Outcome, TicketError> {
        match diversion {
            Diversion::Expert(side) => {
                let Some(mut ticket) = lock_newest(tx, side.ticket_id).await? else {
                    return Ok(Outcome::Ordinary);
                };
                let Some(names) = self.admit(tx, ticket.id, None).await? else {
                    return Ok(Outcome::Nothing);
                };
                reply::file(self, tx, side, &mut ticket, names.id).await?;
                Ok(Outcome::Filed(ticket.id))
            }
            Diversion::Agent(agent, AgentMail::OnTicket { ticket, addressed }) => {
                let requester = contact_of(tx, *ticket).await?;
                let Some(mut ticket) = lock_newest(tx, *ticket).await? else {
                    return Ok(Outcome::Ordinary);
                };
                if writes_as_customer(tx, &ticket, agent).await? {
                    return Ok(Outcome::Ordinary);
                }
                // The ticket that it leads to now may be of somebody else, who must not get this answer.
                let addressed = *addressed && requester == Some(ticket.contact_id);
                let human = self.class().is_human();
                let cap = human.then_some(Kind::AgentAnswer);
                let Some(names) = self.admit(tx, ticket.id, cap).await? else {
                    return Ok(Outcome::Nothing);
                };
                let id = names.id;
                agent_mail::answer::file(self, tx, agent, &mut ticket, addressed, id).await?;
                Ok(Outcome::Filed(ticket.id))
            }
            Diversion::Agent(agent, AgentMail::Opens(start)) => {
                if let Some(known) = answered_ticket(tx, self.message).await?
                    && let Some(mut ticket) = lock_newest(tx, known).await?
                    && ticket.status.is_open()
                {
                    let Some(names) = self.admit(tx, ticket.id, None).await? else {
                        return Ok(Outcome::Nothing);
                    };
                    agent_mail::answer::file(self, tx, agent, &mut ticket, false, names.id).await?;
                    self.add_own_key(tx, &ticket).await?;
                    return Ok(Outcome::Filed(ticket.id));
                }
                let Some(names) = self.admit(tx, Uuid::nil(), None).await? else {
                    return Ok(Outcome::Nothing);
                };
                let ticket = super::begin::file(self, tx, agent, start, names.id).await?;
                Ok(Outcome::Filed(ticket))
            }
        }
    }

    /// The ticket on which it stands already.
    async fn twin(&self, tx: &mut PgConnection) -> Result<Option<Uuid>, TicketError> {
        let Some((channel, account, key)) = once_key_of_ours(self.message) else {
            return Ok(None);
        };
        let known = sqlx::query_scalar(
            "SELECT ticket_id FROM tickets.thread_key WHERE channel = $1 AND account = $2 AND key = $3",
        );
        let known = known.bind(channel).bind(account).bind(key);
        Ok(known.fetch_optional(tx).await?)
    }

    /// Lets it be known that it stands on `ticket`. Another replica that was faster files it; this one decides again.
    async fn note_once(&self, tx: &mut PgConnection, ticket: Uuid) -> Result<(), TicketError> {
        let Some((channel, account, key)) = once_key_of_ours(self.message) else {
            return Ok(());
        };
        let done = sqlx::query(
            "INSERT INTO tickets.thread_key (channel, account, key, ticket_id) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(channel)
        .bind(&account)
        .bind(key)
        .bind(ticket)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(TicketError::race());
        }
        // An account that does not know the sender for ours files it as a customer's.
        let Some((.., key)) = once_key(self.message) else {
            return Ok(());
        };
        sqlx::query(
            "INSERT INTO tickets.thread_key (channel, account, key, ticket_id) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(channel)
        .bind(account)
        .bind(key)
        .bind(ticket)
        .execute(tx)
        .await?;
        Ok(())
    }

    /// Its class.
    pub(crate) fn class(&self) -> AutomaticClass {
        class_from_proto(self.message.automatic_class())
    }

    /// Under what it is stored; `None` for a repeat and for one that waits now: of a blocked sender, or one too many.
    /// A person's mail counts against `cap`, if there is one.
    async fn admit(
        &mut self,
        tx: &mut PgConnection,
        ticket: Uuid,
        cap: Option<Kind>,
    ) -> Result<Option<Names>, TicketError> {
        let mut known = load_filed(tx, std::iter::once(self.message)).await?;
        let Some(names) = choose(&mut known, self.message)? else {
            self.tally.duplicates += 1;
            return Ok(None);
        };
        if self.released {
            return Ok(Some(names));
        }
        let address = HashSet::from([sender_address(self.message)]);
        if !blocks::among(tx, &address).await?.is_empty() {
            self.hold(tx, &names, "blocked_sender").await?;
            return Ok(None);
        }
        let mut budgets = Budgets::load(tx, &address, std::iter::once(ticket)).await?;
        let (loops, now) = (&self.context.config.loops, self.now);
        let author = Author::of(self.message).address;
        let passes = match (self.class().is_human(), cap) {
            (true, Some(kind)) => budgets.spend(kind, &author, ticket, loops, now),
            (true, None) => true,
            (false, _) => budgets.spend_automatic(&author, ticket, loops, now),
        };
        if !passes {
            self.hold(tx, &names, "loop").await?;
            return Ok(None);
        }
        budgets.write(tx).await?;
        Ok(Some(names))
    }

    async fn hold(
        &mut self,
        tx: &mut PgConnection,
        names: &Names,
        cause: &'static str,
    ) -> Result<(), TicketError> {
        let waiting = [Quarantined {
            id: names.id,
            message: self.message,
            sender: sender_address(self.message),
            cause,
            awaits: false,
            trace: self.trace.clone(),
        }];
        write_quarantine(tx, &waiting, self.now).await?;
        write_originals(tx, std::iter::empty(), &waiting).await?;
        tell_quarantined(&waiting, &self.context.config, self.now, self.events);
        self.tally.quarantined.push(cause);
        Ok(())
    }

    /// Keeps the original beside the message that it was stored as, and counts it.
    pub(crate) async fn keep(
        &mut self,
        tx: &mut PgConnection,
        id: Uuid,
        outcome: &'static str,
    ) -> Result<(), TicketError> {
        write_originals(tx, std::iter::once((id, self.message)), &[]).await?;
        let received = self.message.received_time.as_ref();
        let at = received.map_or(self.now, solmu_bus::envelope::from_proto_time);
        let took = self.now.duration_since(at).as_secs_f64().max(0.0);
        self.tally.filed.push(("email", outcome, took));
        Ok(())
    }

    /// Lets mail that answers this one find `ticket`.
    pub(crate) async fn add_own_key(
        &self,
        tx: &mut PgConnection,
        ticket: &Ticket,
    ) -> Result<(), TicketError> {
        let Some((channel, account, key)) = own_key(self.message) else {
            return Ok(());
        };
        sqlx::query(
            "INSERT INTO tickets.thread_key (channel, account, key, ticket_id) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(channel)
        .bind(account)
        .bind(key)
        .bind(ticket.id)
        .execute(tx)
        .await?;
        Ok(())
    }

    /// When the sender says that they sent it.
    pub(crate) fn sent_at(&self) -> Option<Timestamp> {
        let sent = self.message.sent_time.as_ref();
        sent.map(solmu_bus::envelope::from_proto_time)
    }
}

/// Whose ticket it is.
async fn contact_of(tx: &mut PgConnection, ticket: Uuid) -> Result<Option<Uuid>, TicketError> {
    let contact = sqlx::query_scalar("SELECT contact_id FROM tickets.ticket WHERE id = $1");
    Ok(contact.bind(ticket).fetch_optional(tx).await?)
}

/// Whether the agent is the requester here: somebody of the desk who asks the desk.
async fn writes_as_customer(
    tx: &mut PgConnection,
    ticket: &Ticket,
    agent: &Agent,
) -> Result<bool, TicketError> {
    let theirs = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tickets.message
            WHERE ticket_id = $1 AND author_kind = 1 AND author_id = $2 AND address = $3)",
    )
    .bind(ticket.id)
    .bind(ticket.contact_id.to_string())
    .bind(&agent.address)
    .fetch_one(tx)
    .await?;
    Ok(theirs)
}

/// The ticket of a message that `mail` answers: an agent's answer to all in a thread in which the desk was copied opens
/// no further ticket.
async fn answered_ticket(
    tx: &mut PgConnection,
    mail: &MessageReceived,
) -> Result<Option<Uuid>, TicketError> {
    let own = own_key(mail);
    let answered = keys_of(mail)
        .into_iter()
        .filter(|key| own.as_ref() != Some(key))
        .collect();
    let (channels, accounts, names) = columns(answered);
    let ticket = sqlx::query_scalar(
        "SELECT thread.ticket_id FROM unnest($1::smallint[], $2::text[], $3::text[]) AS wanted (channel, account, key)
         JOIN tickets.thread_key AS thread USING (channel, account, key)
         WHERE thread.named_by = '' ORDER BY thread.ticket_id LIMIT 1",
    )
    .bind(channels)
    .bind(accounts)
    .bind(names)
    .fetch_optional(tx)
    .await?;
    Ok(ticket)
}

/// Locks the ticket that `id` leads to: what it became part of, or what followed it.
async fn lock_newest(tx: &mut PgConnection, id: Uuid) -> Result<Option<Ticket>, TicketError> {
    let mut id = id;
    for _ in 0..CHAIN {
        let Some(ticket) = model::lock(tx, &[id]).await?.pop() else {
            return Ok(None);
        };
        match ticket.merged_into.or(ticket.next_ticket_id) {
            Some(next) => id = next,
            None => return Ok(Some(ticket)),
        }
    }
    Ok(None)
}
