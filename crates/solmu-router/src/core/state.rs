//! All that the leader knows, and what of it has changed since it was last stored.
//!
//! Every change of a ticket goes through [`State::change`], which keeps loads and indexes in step with it: a ticket
//! is in exactly the sets that its phase says.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Bound,
};

use jiff::Timestamp;
use solmu_domain::ids::{AgentId, ContactId, TeamId, TicketId};
use solmu_matching::{Policy, SECOND};

use super::{
    answers::Answers,
    decision::Outcome,
    desk::{Desk, Team},
    event::{TicketEvent, What},
    offers::{OfferChange, OfferState},
    rules::{RuleSet, Ruling},
    ticket::{Facts, Phase, Route, Ticket, Waiting},
};

const NO_TEAM: &str = "no rule matches it and there is no default team";
const NO_TEXT: &str = "a rule looks at its text, which is not there yet";
const NO_OWN: &str = "a rule looks at its contact, who is not known yet";

/// The leader's knowledge.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) desk: Desk,
    pub(super) rules: RuleSet,
    /// Tickets that are not done, and those of the present batch.
    pub(super) tickets: HashMap<TicketId, Box<Ticket>>,
    /// How long the language of a ticket is insisted on, in microseconds; absent: languages do not matter.
    pub(super) language_relax: Option<i64>,
    /// Waiting tickets that the rules have to be asked about.
    pub(super) unrouted: BTreeSet<TicketId>,
    /// Waiting tickets whose team the ticket service was not told.
    pub(super) unannounced: BTreeSet<TicketId>,
    /// Waiting tickets that are not decided on before a time.
    pub(super) held: BTreeSet<(Timestamp, TicketId)>,
    /// When who declined a waiting ticket may be asked again.
    pub(super) lapses: BTreeSet<(Timestamp, TicketId)>,
    /// Tickets that are offered, by the end of that.
    pub(super) offers: BTreeSet<(Timestamp, TicketId)>,
    /// What agents own, but for what is just leaving them.
    pub(super) owned: HashMap<AgentId, BTreeSet<TicketId>>,
    /// What agents own, by its next due time.
    pub(super) due: BTreeSet<(Timestamp, TicketId)>,
    /// When what agents own was last looked at.
    pub(super) tidied: Timestamp,
    pub(super) risks_seen: Timestamp,
    pub(super) offer_changes: Vec<OfferChange>,
    /// How the offer ends that the next change ends, and why.
    pub(super) ending: Option<(OfferState, String)>,
    /// The last ticket that the rules were asked about.
    cursor: Option<TicketId>,
    /// Who had the last ticket of the contacts of this batch.
    formers: HashMap<ContactId, AgentId>,
    waiting: usize,
    changed: HashSet<TicketId>,
    outcomes: Vec<Outcome>,
    /// Tickets of which a decision was refused because they are restricted to others.
    pub(super) restricted: BTreeSet<TicketId>,
    /// Those of them that nobody has and that were not looked at since.
    pub(super) confined: BTreeSet<TicketId>,
}

/// What has to be stored of a batch besides its decisions.
#[derive(Debug)]
pub(crate) struct Changes {
    /// In the order of ids.
    pub(crate) tickets: Vec<TicketId>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) offers: Vec<OfferChange>,
}

impl State {
    pub(crate) fn new(policy: Policy, language_relax_s: Option<u32>) -> Self {
        Self {
            desk: Desk::new(policy),
            language_relax: language_relax_s.map(|it| i64::from(it) * SECOND),
            ..Self::default()
        }
    }

    /// What the tables say of the rules. Tickets are routed anew when the rules have changed.
    pub(crate) fn set_rules(&mut self, rules: RuleSet) {
        self.rules = rules;
        let version = self.rules.version;
        let outdated = self.tickets.values().filter(|it| it.needs_route(version));
        self.unrouted.extend(outdated.map(|ticket| ticket.id));
    }

    /// What the tables say of the teams. What waits in one that was removed, or that never was, is routed anew.
    pub(crate) fn set_teams(&mut self, teams: HashMap<TeamId, Team>) {
        self.desk.set_teams(teams);
        let (desk, all) = (&self.desk, self.tickets.values());
        let homeless = all.filter(|it| {
            let gone = it.route.as_ref().is_some_and(|it| desk.is_gone(it.team));
            gone && matches!(it.phase, Phase::Waiting(_))
        });
        self.unrouted.extend(homeless.map(|ticket| ticket.id));
    }

    /// Who had the last ticket of contacts that new tickets come from.
    pub(crate) fn set_formers(&mut self, formers: HashMap<ContactId, AgentId>) {
        self.formers = formers;
    }

    pub(crate) const fn rules(&self) -> &RuleSet {
        &self.rules
    }

    pub(crate) const fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(crate) const fn desk_mut(&mut self) -> &mut Desk {
        &mut self.desk
    }

    pub(crate) fn ticket(&self, id: TicketId) -> Option<&Ticket> {
        self.tickets.get(&id).map(Box::as_ref)
    }

    #[cfg(test)]
    pub(crate) fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets.values().map(Box::as_ref)
    }

    /// How many tickets nobody has.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes in a ticket as it is stored.
    pub(crate) fn restore(&mut self, ticket: Ticket) {
        let known = self.tickets.remove(&ticket.id);
        if let Some(known) = known {
            self.unindex(&known);
            if let Some(agent) = known.owner() {
                self.desk.subtract(agent);
            }
        }
        self.index(&ticket);
        if let Some(agent) = ticket.owner() {
            self.desk.add(agent);
        }
        self.tickets.insert(ticket.id, Box::new(ticket));
    }

    /// Learns from an event.
    pub(crate) fn learn(&mut self, event: &TicketEvent) {
        let outcome = match event.what {
            What::Assigned {
                decision: Some(decision),
            } => Some((decision, None)),
            What::Rejected { decision, cause } => Some((decision, Some(cause))),
            What::Told | What::Assigned { decision: None } => None,
        };
        self.outcomes
            .extend(outcome.map(|(decision, rejected)| Outcome {
                decision,
                rejected,
                time: event.time,
            }));
        let Some(id) = event.ticket else { return };
        if self.tickets.contains_key(&id) {
            self.change(id, |ticket| ticket.learn(event));
            self.note_restricted(id);
        } else if let Some(facts) = &event.facts {
            let mut ticket = Ticket::new(id, facts.clone(), event);
            ticket.former = facts.contact.and_then(|it| self.formers.get(&it).copied());
            self.restore(ticket);
            self.changed.insert(id);
        }
    }

    /// Tickets that the rules have to be asked about, so many of those that are known; `opened` are those of events not yet
    /// learned.
    pub(super) fn to_route<'a>(
        &'a self,
        opened: impl Iterator<Item = &'a TicketEvent>,
        limit: usize,
    ) -> impl Iterator<Item = (TicketId, &'a Facts)> {
        let new = opened.filter_map(|event| {
            let (id, facts) = (event.ticket?, event.facts.as_ref()?);
            let known = self.tickets.contains_key(&id) || facts.team.is_some();
            (!known).then_some((id, facts))
        });
        let old = self.window(limit).into_iter();
        let old = old.filter_map(|id| Some((id, &self.ticket(id)?.facts)));
        new.chain(old)
    }

    /// Asks the rules about tickets that need it, `limit` at most. True when it could do more if called again.
    pub(crate) fn route(&mut self, answers: &Answers, limit: usize) -> bool {
        let window = self.window(limit);
        self.cursor = window.last().copied();
        let mut routed = 0;
        for id in &window {
            let Some(ticket) = self.ticket(*id) else {
                self.unrouted.remove(id);
                continue;
            };
            match self.rules.rule_on(&ticket.facts, answers.told(*id)) {
                Ruling::To(route) => {
                    routed += 1;
                    self.change(*id, |ticket| ticket.take_route(route));
                }
                Ruling::NeedsText => self.give_reason(*id, NO_TEXT),
                Ruling::NeedsOwn => self.give_reason(*id, NO_OWN),
                Ruling::NoTeam => match self.refuge(*id) {
                    Some(team) => {
                        routed += 1;
                        self.change(*id, |ticket| ticket.take_route(Route::by_hand(team)));
                    }
                    None => self.give_reason(*id, NO_TEAM),
                },
            }
        }
        routed > 0 && !self.unrouted.is_empty()
    }

    /// Where a ticket goes whose team is not there, when no rule says so and there is no default team: nothing is left in
    /// a queue that nobody looks at.
    fn refuge(&self, id: TicketId) -> Option<TeamId> {
        let route = self.ticket(id)?.route.as_ref()?;
        let lost = self.desk.is_gone(route.team);
        self.desk.some_team().filter(|_| lost)
    }

    /// The next tickets to ask the rules about. Those that cannot be routed must not be asked about in every round, nor
    /// stand before the others: so the window moves on, and begins again at the end.
    fn window(&self, limit: usize) -> Vec<TicketId> {
        let behind = |id: &TicketId| self.cursor.is_none_or(|cursor| *id > cursor);
        let start = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let first = self.unrouted.range((start, Bound::Unbounded));
        let again = self.unrouted.iter().take_while(|id| !behind(id));
        first.chain(again).take(limit).copied().collect()
    }

    /// Whether a ticket still has to be routed once its text is there.
    pub(crate) fn has_unrouted(&self) -> bool {
        !self.unrouted.is_empty()
    }

    /// When time alone changes something next: a ticket is held no more, an offer ends, who declined may be asked again.
    pub(crate) fn next_hold(&self) -> Option<Timestamp> {
        let sets = [&self.held, &self.lapses, &self.offers];
        let firsts = sets.into_iter().filter_map(|set| set.first());
        firsts.map(|(until, _)| *until).min()
    }

    /// What has to be stored since the last call.
    pub(crate) fn take_changes(&mut self) -> Changes {
        let mut tickets: Vec<_> = self.changed.drain().collect();
        tickets.sort_unstable();
        Changes {
            tickets,
            outcomes: std::mem::take(&mut self.outcomes),
            offers: std::mem::take(&mut self.offer_changes),
        }
    }

    /// Forgets tickets that are done; the tables keep them.
    pub(crate) fn forget_done(&mut self, among: &[TicketId]) {
        for id in among {
            if self.ticket(*id).is_some_and(|it| it.phase == Phase::Done) {
                self.tickets.remove(id);
                self.restricted.remove(id);
            }
        }
    }

    /// Changes a ticket, with all that depends on it.
    pub(super) fn change(&mut self, id: TicketId, change: impl FnOnce(&mut Ticket)) {
        let Some(mut ticket) = self.tickets.remove(&id) else {
            return;
        };
        self.unindex(&ticket);
        let (before, offered) = (ticket.owner(), ticket.open_offer());
        change(&mut ticket);
        let after = ticket.owner();
        if let Some(open) = offered
            && ticket.open_offer() != offered
        {
            self.note_offer_end(&ticket, open);
        }
        if before != after {
            if let Some(agent) = before {
                self.desk.subtract(agent);
            }
            if let Some(agent) = after {
                self.desk.add(agent);
            }
        }
        self.index(&ticket);
        self.tickets.insert(id, ticket);
        self.changed.insert(id);
    }

    fn give_reason(&mut self, id: TicketId, reason: &str) {
        let routed = self.ticket(id).is_some_and(|it| it.route.is_some());
        let same = self.ticket(id).is_some_and(
            |it| matches!(&it.phase, Phase::Waiting(waiting) if waiting.reason == reason),
        );
        if routed || same {
            return;
        }
        if let Some(Phase::Waiting(waiting)) = self.ticket(id).map(|it| it.phase.clone()) {
            let reason = reason.to_owned();
            self.waits_on(id, Waiting { reason, ..waiting });
        }
    }

    /// Says anew why a ticket waits, which it does just as before: where it stands does not change.
    pub(super) fn waits_on(&mut self, id: TicketId, waiting: Waiting) {
        if let Some(ticket) = self.tickets.get_mut(&id)
            && matches!(&ticket.phase, Phase::Waiting(old) if old.held_until == waiting.held_until)
        {
            ticket.phase = Phase::Waiting(waiting);
            self.changed.insert(id);
        }
    }

    /// Puts a ticket where its phase says. On the floor it keeps its place if nothing changed there, so that a line
    /// that was asked in vain is not asked again because one of its tickets was told about.
    fn index(&mut self, ticket: &Ticket) {
        if let Some(agent) = ticket.owner() {
            self.desk.floor.own(ticket.id, agent, &ticket.facts.channel);
            match ticket.phase {
                Phase::Offered { until, .. } => drop(self.offers.insert((until, ticket.id))),
                Phase::Assigned { agent } => {
                    self.owned.entry(agent).or_default().insert(ticket.id);
                    if self.desk.agent(agent).is_none() && self.desk.strangers.insert(agent) {
                        self.desk.untidy = true;
                    }
                    self.due
                        .extend(ticket.facts.next_due.map(|due| (due, ticket.id)));
                }
                _ => {}
            }
            return;
        }
        self.desk.floor.release(ticket.id);
        let Phase::Waiting(waiting) = &ticket.phase else {
            self.desk.floor.leave(ticket.id);
            return;
        };
        self.waiting += 1;
        let homeless = ticket
            .route
            .as_ref()
            .is_some_and(|it| self.desk.is_gone(it.team));
        if homeless || ticket.needs_route(self.rules.version) {
            self.unrouted.insert(ticket.id);
        }
        let lapse = ticket.excluded().map(|it| it.until).min();
        self.lapses.extend(lapse.map(|until| (until, ticket.id)));
        let stands = ticket.stands(self.language_relax);
        let Some(stands) = stands.filter(|_| waiting.held_until.is_none()) else {
            self.desk.floor.leave(ticket.id);
            self.held
                .extend(waiting.held_until.map(|until| (until, ticket.id)));
            return;
        };
        let now = self.desk.now().as_microsecond();
        self.desk.floor.wait(&stands, now);
        if waiting.announced.is_none() && !ticket.has_its_team() {
            self.unannounced.insert(ticket.id);
        }
    }

    /// Takes it out of all that [`State::index`] puts it into, but for the floor.
    fn unindex(&mut self, ticket: &Ticket) {
        match ticket.phase {
            Phase::Offered { until, .. } => drop(self.offers.remove(&(until, ticket.id))),
            Phase::Assigned { agent } => {
                if let Some(theirs) = self.owned.get_mut(&agent) {
                    theirs.remove(&ticket.id);
                    if theirs.is_empty() {
                        self.owned.remove(&agent);
                    }
                }
                if let Some(due) = ticket.facts.next_due {
                    self.due.remove(&(due, ticket.id));
                }
            }
            _ => {}
        }
        let Phase::Waiting(waiting) = &ticket.phase else {
            return;
        };
        for declined in &ticket.declined {
            self.lapses.remove(&(declined.until, ticket.id));
        }
        self.waiting -= 1;
        self.unrouted.remove(&ticket.id);
        self.unannounced.remove(&ticket.id);
        if let Some(until) = waiting.held_until {
            self.held.remove(&(until, ticket.id));
        }
    }
}
