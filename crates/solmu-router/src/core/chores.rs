//! What the leader does for tickets that have an owner: takes them back from who is away for too long or was removed, and
//! moves what is about to be late to somebody who can begin.
//!
//! Both are decisions like any other, with the present owner as a condition: the ticket service applies them only if the
//! ticket is as it was, so an answer, a status or a person who assigns it comes first. A ticket that was moved rests for a
//! while, so nothing goes to and fro.

use jiff::{SignedDuration, Timestamp};
use solmu_domain::{
    ids::{AgentId, TeamId, TicketId},
    ticket::Status,
};

use super::{
    care::{Mode, TakeBack, seconds},
    decision::{Decision, Kind},
    desk::{Agent, Presence, considered, tickets},
    matching::{Round, new_decision},
    state::State,
    ticket::{Effects, Phase, Route, Ticket},
};

/// How often chores are looked for when nobody has changed.
const EVERY: SignedDuration = SignedDuration::from_secs(1);
/// How often tickets at risk are looked at: each look asks who could take them.
const RISKS_EVERY: SignedDuration = SignedDuration::from_secs(15);
/// A ticket is not taken back again within this time.
const TAKE_BACK_REST: SignedDuration = SignedDuration::from_secs(60);
/// A ticket is not moved again within this time.
const MOVE_REST: SignedDuration = SignedDuration::from_mins(30);
/// So many tickets that are due earlier mean that an owner will hardly come to this one.
const EARLIER: usize = 2;
/// Tickets at risk that one round asks about.
const RISKS_AT_ONCE: usize = 200;
/// Tickets that one round takes back, so that a transaction stays small.
const TAKEN_AT_ONCE: usize = 500;

impl Agent {
    /// Why they do no work, if that is so, for "since".
    fn state(&self, now: Timestamp) -> &'static str {
        let away = matches!(self.presence, Presence::Away | Presence::Offline);
        if away {
            self.presence.name()
        } else if self.hours.is_absent(now) {
            "absent"
        } else {
            "outside working hours"
        }
    }
}

impl Ticket {
    /// Whether its owner has not begun it.
    fn is_untouched(&self) -> bool {
        let status = self.facts.status;
        !self.worked && matches!(status, Status::New | Status::Open | Status::CustomerReplied)
    }

    /// Whether a person gave it to an owner who was away: then it is meant for them, whenever they come.
    fn is_meant(&self, since: Option<Timestamp>) -> bool {
        since.is_some_and(|since| self.handed.is_some_and(|at| at >= since))
    }

    fn rests(&self, rest: SignedDuration, now: Timestamp) -> bool {
        self.moved
            .is_some_and(|at| now.duration_since(at) < rest && at <= now)
    }
}

impl State {
    /// Whether a round would take something back or look at tickets at risk.
    pub(crate) fn has_chores(&self, now: Timestamp) -> bool {
        (self.is_untidy(now) && !self.leaving(now).is_empty())
            || (self.risks_are_due(now) && self.risky(now).next().is_some())
    }

    /// Does what is to be done for tickets that have an owner.
    pub(super) fn tidy(&mut self, round: &Round<'_>, decisions: &mut Vec<Decision>) {
        let now = round.now;
        if self.desk.untidy {
            self.withdraw_absent();
        }
        if self.is_untidy(now) {
            let leaving = self.leaving(now);
            // What did not fit into this round is for the next one.
            self.desk.untidy = leaving.len() >= TAKEN_AT_ONCE;
            self.tidied = now;
            for (id, why) in leaving {
                decisions.extend(self.take_back(id, &why, round));
            }
        }
        if self.risks_are_due(now) {
            self.risks_seen = now;
            let risky: Vec<TicketId> = self.risky(now).take(RISKS_AT_ONCE).collect();
            for id in risky {
                decisions.extend(self.move_on(id, round));
            }
        }
    }

    fn is_untidy(&self, now: Timestamp) -> bool {
        self.desk.untidy || now < self.tidied || now.duration_since(self.tidied) >= EVERY
    }

    fn risks_are_due(&self, now: Timestamp) -> bool {
        now < self.risks_seen || now.duration_since(self.risks_seen) >= RISKS_EVERY
    }

    /// Tickets that are taken from their owners now, and why.
    fn leaving(&self, now: Timestamp) -> Vec<(TicketId, String)> {
        let mut leaving = Vec::new();
        for id in &self.desk.absent {
            let (Some(theirs), Some(agent)) = (self.owned.get(id), self.desk.agent(*id)) else {
                continue;
            };
            let since = self.desk.away_since(*id);
            for ticket in theirs.iter().filter_map(|id| self.ticket(*id)) {
                if let Some(why) = self.why_leaves(ticket, agent, since, now)
                    && leaving.len() < TAKEN_AT_ONCE
                {
                    leaving.push((ticket.id, why));
                }
            }
        }
        let strangers = self.desk.strangers.iter();
        let theirs = strangers.filter_map(|id| self.owned.get(id)).flatten();
        let theirs = theirs.filter(|id| {
            self.ticket(**id)
                .is_some_and(|it| !it.rests(TAKE_BACK_REST, now) && self.may_leave(it))
        });
        let room = TAKEN_AT_ONCE.saturating_sub(leaving.len());
        let said = theirs.map(|id| {
            (
                *id,
                "its owner is no agent that the router knows".to_owned(),
            )
        });
        leaving.extend(said.take(room));
        leaving
    }

    fn why_leaves(
        &self,
        ticket: &Ticket,
        agent: &Agent,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<String> {
        let team = self.home_of(ticket)?;
        if ticket.rests(TAKE_BACK_REST, now) || !self.may_leave(ticket) {
            return None;
        }
        if agent.archived {
            return Some(format!("{} does not work here any more", agent.name));
        }
        if ticket.is_meant(since) {
            return None;
        }
        let care = self.desk.care(team);
        let grace = seconds(care.take_back_after_s);
        let away = now.duration_since(since?);
        let taken = match care.take_back {
            TakeBack::Never => false,
            TakeBack::Untouched => ticket.is_untouched(),
            TakeBack::All => true,
        };
        let begun = if ticket.is_untouched() {
            " and has not begun it"
        } else {
            ""
        };
        (taken && away >= grace).then(|| {
            format!(
                "{} is {} since {} minutes{begun}",
                agent.name,
                agent.state(now),
                away.as_mins()
            )
        })
    }

    /// The team that a ticket with an owner belongs to: its own, the default one, or else any that is there, so that
    /// nobody's absence strands it. Nothing without any team.
    pub(super) fn home_of(&self, ticket: &Ticket) -> Option<TeamId> {
        let route = ticket.route.as_ref().map(|route| route.team);
        let live = |team: &TeamId| !self.desk.is_gone(*team);
        let own = ticket.facts.team.filter(live).or(route.filter(live));
        own.or(self.rules.default_team)
            .or_else(|| self.desk.some_team())
    }

    fn take_back(&mut self, id: TicketId, why: &str, round: &Round<'_>) -> Option<Decision> {
        let ticket = self.ticket(id)?;
        if ticket.within.is_none() {
            let reason = format!("{why}; it goes back to the queue");
            return self.leave_owner(id, None, reason, Vec::new(), round);
        }
        let (team, to) = self.admitted(ticket)?;
        let whom = to.map_or_else(
            || format!("team '{}'", self.desk.team_name(team)),
            |to| self.desk.name_of(to).to_owned(),
        );
        let reason = format!("{why}; it is restricted, and names {whom}");
        self.change(id, |ticket| ticket.route = Some(Route::by_hand(team)));
        self.leave_to((id, team), to, reason, Vec::new(), round)
    }

    /// Takes a ticket from its owner, for another agent or for the queue.
    fn leave_owner(
        &mut self,
        id: TicketId,
        to: Option<AgentId>,
        reason: String,
        candidates: Vec<super::decision::Considered>,
        round: &Round<'_>,
    ) -> Option<Decision> {
        let team = self.home_of(self.ticket(id)?)?;
        self.leave_to((id, team), to, reason, candidates, round)
    }

    /// As [`State::leave_owner`], to a team that is not that of the ticket.
    fn leave_to(
        &mut self,
        (id, team): (TicketId, TeamId),
        to: Option<AgentId>,
        reason: String,
        candidates: Vec<super::decision::Considered>,
        round: &Round<'_>,
    ) -> Option<Decision> {
        let ticket = self.ticket(id)?;
        let Phase::Assigned { agent: from } = ticket.phase else {
            return None;
        };
        let route = ticket.route.clone().filter(|route| route.team == team);
        let route = Route {
            effects: Effects::default(),
            ..route.unwrap_or_else(|| Route::by_hand(team))
        };
        let decision = Decision {
            agent: to,
            agent_load_version: to.map_or(0, |to| self.desk.load(to).version),
            previous: Some(from),
            kind: if to.is_some() {
                Kind::Rebalanced
            } else {
                Kind::TakenBack
            },
            ..new_decision(ticket, route, reason, candidates, round)
        };
        let phase = Phase::Moving {
            from,
            to,
            decision: decision.id,
        };
        self.change(id, |ticket| {
            ticket.moved = Some(round.now);
            ticket.phase = phase;
        });
        if let Some(to) = to {
            self.desk.had_a_turn(to, round.now);
        }
        Some(decision)
    }

    /// Tickets that are about to be late with owners who will hardly come to them, the most urgent first.
    fn risky(&self, now: Timestamp) -> impl Iterator<Item = TicketId> {
        let horizon = self.desk.rebalances_before().map(seconds);
        let limit = horizon.and_then(|horizon| now.checked_add(horizon).ok());
        let near = self
            .due
            .iter()
            .take_while(move |(due, _)| limit.is_some_and(|limit| *due <= limit));
        near.filter_map(move |(due, id)| {
            let ticket = self.ticket(*id)?;
            let care = self.desk.care(self.home_of(ticket)?);
            let before = seconds(care.rebalance_s?);
            let owner = ticket.owner()?;
            let near = due.duration_since(now) <= before;
            let meant = ticket.is_meant(self.desk.away_since(owner));
            let late = near
                && !meant
                && ticket.within.is_none()
                && ticket.is_untouched()
                && !ticket.rests(MOVE_REST, now);
            (late && care.mode != Mode::Pull && self.is_stuck_with(owner, *due)).then_some(*id)
        })
    }

    fn is_stuck_with(&self, owner: AgentId, due: Timestamp) -> bool {
        self.is_absent(owner) || self.earlier(owner, due) >= EARLIER
    }

    /// Whether somebody does no work: removed, away, or outside their hours.
    pub(super) fn is_absent(&self, agent: AgentId) -> bool {
        let known = self.desk.agent(agent);
        known.is_none_or(|it| it.archived) || self.desk.away_since(agent).is_some()
    }

    /// How many tickets of an agent are due before.
    fn earlier(&self, agent: AgentId, due: Timestamp) -> usize {
        let theirs = self.owned.get(&agent).into_iter().flatten();
        let dues = theirs.filter_map(|id| self.ticket(*id)?.facts.next_due);
        dues.filter(|other| *other < due).count()
    }

    /// Moves a ticket at risk to somebody who can begin, if there is one.
    fn move_on(&mut self, id: TicketId, round: &Round<'_>) -> Option<Decision> {
        let ticket = self.ticket(id)?;
        let (owner, due) = (ticket.owner()?, ticket.facts.next_due?);
        let mut stands = ticket.stands(self.language_relax)?;
        stands.excluded.push(owner);
        stands.former = None;
        let now = round.now.as_microsecond();
        let found = self.desk.floor.best_for(&stands, now, round.candidates);
        let (better, others) = found?;
        let (absent, before) = (self.is_absent(owner), self.earlier(owner, due));
        if !absent && self.earlier(better, due) >= before {
            return None;
        }
        let names = (self.desk.name_of(owner), self.desk.name_of(better));
        let stuck = if absent {
            format!("{} is not at work", names.0)
        } else {
            format!("{} has {before} that are due earlier", names.0)
        };
        let load = others.first().map_or_else(String::new, |it| {
            format!(", {} of {}", tickets(it.used), tickets(it.capacity))
        });
        let minutes = due.duration_since(round.now).as_mins();
        let reason = format!(
            "it is due in {minutes} minutes and {stuck}; {} can begin{load}",
            names.1
        );
        self.leave_owner(id, Some(better), reason, considered(&others), round)
    }
}
