//! Offers: an agent is asked first, and takes a ticket, declines it or says nothing.
//!
//! While an offer stands, the ticket counts for the agent. What ends it is decided once: agents answer in the table, the
//! leader takes answers and expiries in its fenced transaction. Whatever else happens to the ticket (a person assigns it,
//! it is resolved, the agent goes away) withdraws the offer.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use solmu_bus::envelope::to_proto_time;
use solmu_domain::ids::{AgentId, DecisionId, TeamId, TicketId};
use solmu_proto::routing::v1 as proto;
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::{
    care::seconds,
    decision::{Decision, Kind},
    matching::{Round, new_decision},
    state::State,
    ticket::{Phase, Ticket, Waiting},
};

/// Tickets that one round asks whether who missed them may be asked again.
const ASKED_AGAIN_AT_ONCE: usize = 500;

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfferState {
    /// It stands.
    Offered,
    Accepted,
    Declined,
    TimedOut,
    Withdrawn,
}

impl OfferState {
    /// Stable name, in tables and events.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::TimedOut => "timed_out",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// An offer began or ended.
#[derive(Debug, Clone)]
pub(crate) struct OfferChange {
    pub(crate) offer: DecisionId,
    pub(crate) ticket: TicketId,
    pub(crate) team: TeamId,
    pub(crate) agent: AgentId,
    pub(crate) state: OfferState,
    /// One sentence for people.
    pub(crate) reason: String,
    pub(crate) time: Timestamp,
    /// Until when it stands.
    pub(crate) until: Timestamp,
    pub(crate) trace: TraceContext,
}

impl OfferChange {
    /// The event that tells of it.
    pub(crate) fn to_proto(&self) -> proto::OfferChanged {
        proto::OfferChanged {
            offer_id: self.offer.to_string(),
            ticket_id: self.ticket.to_string(),
            team_id: self.team.to_string(),
            agent_id: self.agent.to_string(),
            state: self.state.name().to_owned(),
            reason: self.reason.clone(),
            change_time: Some(to_proto_time(self.time)),
            expire_time: Some(to_proto_time(self.until)),
        }
    }
}

/// What an agent said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) offer: DecisionId,
    pub(crate) ticket: TicketId,
    pub(crate) accepted: bool,
    /// What who declined it said.
    pub(crate) reason: String,
}

/// An agent who asks for the next ticket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pull {
    pub(crate) id: Uuid,
    pub(crate) agent: AgentId,
    /// Absent: of any of their teams.
    pub(crate) team: Option<TeamId>,
}

/// What agents said since the last round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) answers: Vec<Answer>,
    /// Offers that have run out, and nobody answered.
    pub(crate) expired: Vec<DecisionId>,
    pub(crate) pulls: Vec<Pull>,
}

/// What agents are told at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Answers to offers that had ended.
    pub(crate) late: Vec<DecisionId>,
    /// To each who asked for the next ticket: the ticket, or why there is none.
    pub(crate) pulls: Vec<(Uuid, Option<TicketId>, String)>,
}

/// An agent who did not take a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Declined {
    pub(crate) agent: AgentId,
    pub(crate) until: Timestamp,
    /// How often in a row they did not answer; 0: they declined it.
    #[serde(default)]
    pub(crate) missed: u32,
    /// They may be asked again; kept for the count.
    #[serde(default)]
    pub(crate) over: bool,
}

/// An offer that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) agent: AgentId,
    pub(super) offer: DecisionId,
    pub(super) until: Timestamp,
}

impl Ticket {
    /// Who is not asked now.
    pub(crate) fn excluded(&self) -> impl Iterator<Item = &Declined> {
        self.declined.iter().filter(|it| !it.over)
    }

    /// Time has passed: who declined or did not answer may be asked again.
    pub(crate) fn forgive(&mut self, now: Timestamp) {
        for it in &mut self.declined {
            it.over |= it.until <= now;
        }
        self.declined.retain(|it| !it.over || it.missed > 0);
    }

    /// The offer of it that stands.
    pub(super) const fn open_offer(&self) -> Option<Open> {
        match self.phase {
            Phase::Offered {
                agent,
                offer,
                until,
            } => Some(Open {
                agent,
                offer,
                until,
            }),
            _ => None,
        }
    }
}

impl State {
    /// Offers that have run out, unless they were answered.
    pub(crate) fn offers_due(&self, now: Timestamp) -> Vec<DecisionId> {
        let due = self.offers.iter().take_while(|(until, _)| *until <= now);
        due.filter_map(|(_, id)| Some(self.ticket(*id)?.open_offer()?.offer))
            .collect()
    }

    /// Takes what agents said, in this order: who answered in time is heard.
    pub(crate) fn hear_agents(&mut self, said: &Said, round: &Round<'_>) -> (Vec<Decision>, Told) {
        let (mut decisions, mut told) = (Vec::new(), Told::default());
        self.desk.set_now(round.now);
        for answer in &said.answers {
            let open = self.ticket(answer.ticket).and_then(Ticket::open_offer);
            if open.is_none_or(|open| open.offer != answer.offer) {
                told.late.push(answer.offer);
                continue;
            }
            decisions.extend(self.take_answer(answer, round));
        }
        self.run_out(&said.expired);
        for pull in &said.pulls {
            match self.pull(pull.agent, pull.team, round) {
                Ok(given) => {
                    let reason = given.reason.clone();
                    told.pulls.push((pull.id, Some(given.ticket), reason));
                    decisions.push(given);
                }
                Err(reason) => told.pulls.push((pull.id, None, reason)),
            }
        }
        (decisions, told)
    }

    /// Turns a decision into an offer that stands for a while.
    pub(super) fn open_offer(&mut self, decision: &Decision, agent: AgentId, round: &Round<'_>) {
        let stands = seconds(self.desk.care(decision.team).offer_s);
        let until = round.now.checked_add(stands).unwrap_or(Timestamp::MAX);
        self.offer_changes.push(OfferChange {
            offer: decision.id,
            ticket: decision.ticket,
            team: decision.team,
            agent,
            state: OfferState::Offered,
            reason: decision.reason.clone(),
            time: round.now,
            until,
            trace: decision.trace.clone(),
        });
        let offer = decision.id;
        self.change(decision.ticket, |ticket| {
            ticket.promised = None;
            ticket.phase = Phase::Offered {
                agent,
                offer,
                until,
            };
        });
    }

    /// Takes what an agent said to an offer that stands: who accepts gets the ticket.
    fn take_answer(&mut self, answer: &Answer, round: &Round<'_>) -> Option<Decision> {
        let id = answer.ticket;
        let open = self.ticket(id)?.open_offer()?;
        let name = self.desk.name_of(open.agent).to_owned();
        if !answer.accepted {
            let said = if answer.reason.is_empty() {
                format!("{name} declined it")
            } else {
                format!("{name} declined it: {}", answer.reason)
            };
            self.offer_ends(id, open.agent, OfferState::Declined, said);
            return None;
        }
        let ticket = self.ticket(id)?;
        let route = ticket.route.clone()?;
        let reason = format!("{}; {name} accepted it", self.choice_of(&route));
        let decision = Decision {
            agent: Some(open.agent),
            agent_load_version: self.desk.load(open.agent).version,
            kind: Kind::Accepted,
            ..new_decision(ticket, route, reason, Vec::new(), round)
        };
        let phase = Phase::Reserved {
            agent: open.agent,
            decision: decision.id,
        };
        self.ending = Some((OfferState::Accepted, format!("{name} accepted it")));
        self.change(id, |ticket| {
            ticket.promised = Some(open.agent);
            ticket.phase = phase;
        });
        Some(decision)
    }

    /// Ends offers that ran out unanswered.
    fn run_out(&mut self, offers: &[DecisionId]) {
        let due: Vec<(TicketId, Open)> = self
            .offers
            .iter()
            .filter_map(|(_, id)| Some((*id, self.ticket(*id)?.open_offer()?)))
            .filter(|(_, open)| offers.contains(&open.offer))
            .collect();
        for (id, open) in due {
            let said = format!("{} did not answer in time", self.desk.name_of(open.agent));
            self.offer_ends(id, open.agent, OfferState::TimedOut, said);
        }
    }

    /// Nobody who is away is asked.
    pub(super) fn withdraw_absent(&mut self) {
        let there = |agent: AgentId| !self.is_absent(agent);
        let gone: Vec<(TicketId, AgentId)> = self
            .offers
            .iter()
            .filter_map(|(_, id)| Some((*id, self.ticket(*id)?.open_offer()?.agent)))
            .filter(|(_, agent)| !there(*agent))
            .collect();
        for (id, agent) in gone {
            let said = format!("{} is not there any more", self.desk.name_of(agent));
            self.offer_ends(id, agent, OfferState::Withdrawn, said);
        }
    }

    /// Back into the queue with its old place; who did not take it is not asked again for a while.
    fn offer_ends(&mut self, id: TicketId, agent: AgentId, end: OfferState, said: String) {
        let team = self.ticket(id).and_then(|it| it.route.as_ref());
        let care = team.map(|route| self.desk.care(route.team));
        let rest = seconds(care.unwrap_or_default().decline_s);
        let until = self.desk.now().checked_add(rest).unwrap_or(Timestamp::MAX);
        self.ending = Some((end, said.clone()));
        self.change(id, |ticket| {
            if end != OfferState::Withdrawn && !rest.is_zero() {
                let known = ticket.declined.iter().find(|it| it.agent == agent);
                let before = known.map_or(0, |it| it.missed);
                let missed = if end == OfferState::TimedOut {
                    before.saturating_add(1)
                } else {
                    0
                };
                ticket.declined.retain(|it| it.agent != agent);
                ticket.declined.push(Declined {
                    agent,
                    until,
                    missed,
                    over: false,
                });
            }
            ticket.phase = Phase::Waiting(Waiting::because(said));
        });
        self.ask_again(id);
    }

    /// Somebody came or went: whoever missed an offer may be the only one left.
    pub(super) fn ask_again_everywhere(&mut self) {
        let ids: BTreeSet<TicketId> = self.lapses.iter().map(|(_, id)| *id).collect();
        for id in ids.into_iter().take(ASKED_AGAIN_AT_ONCE) {
            self.ask_again(id);
        }
    }

    /// Who did not answer is asked again when nobody else is there: at once the first time, then after one, three, seven
    /// times as long as an offer stands. Who declined is not: that was an answer.
    fn ask_again(&mut self, id: TicketId) {
        let Some(ticket) = self.ticket(id) else {
            return;
        };
        let Some(route) = &ticket.route else { return };
        let (now, stands) = (
            self.desk.now(),
            i64::from(self.desk.care(route.team).offer_s),
        );
        let at = |missed: u32| {
            let times = (1_i64 << missed.clamp(1, 16).saturating_sub(1)) - 1;
            let pause = SignedDuration::from_secs(stands.saturating_mul(times));
            now.checked_add(pause).unwrap_or(Timestamp::MAX)
        };
        let sooner = |it: &Declined| it.missed > 0 && at(it.missed) < it.until;
        let waits = matches!(ticket.phase, Phase::Waiting(_)) && ticket.excluded().any(sooner);
        if !waits || self.desk.floor.is_there_another(id) {
            return;
        }
        self.change(id, |ticket| {
            for it in &mut ticket.declined {
                if !it.over && it.missed > 0 {
                    it.until = it.until.min(at(it.missed));
                }
            }
            ticket.forgive(now);
        });
    }

    /// Notes the end of an offer whose ticket has moved on.
    pub(super) fn note_offer_end(&mut self, ticket: &Ticket, open: Open) {
        let (state, reason) = self.ending.take().unwrap_or_else(|| {
            (
                OfferState::Withdrawn,
                "the ticket is not to be given out any more".to_owned(),
            )
        });
        let Some(team) = ticket.route.as_ref().map(|route| route.team) else {
            return;
        };
        self.offer_changes.push(OfferChange {
            offer: open.offer,
            ticket: ticket.id,
            team,
            agent: open.agent,
            state,
            reason,
            time: self.desk.now(),
            until: open.until,
            trace: ticket.trace.clone(),
        });
    }
}
