//! What waits, in lines: tickets that the same agents can take stand in one.
//!
//! A line is asked again only when somebody changed who could take from it. What time alone changes of a ticket (a
//! skill that is no longer insisted on, helpers of other teams, the end of the wait for a former agent) waits in
//! an order of instants and moves the ticket to another line.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use solmu_domain::ids::{AgentId, TeamId, TicketId};

use crate::{
    Micros,
    choice::Considered,
    floor::Floor,
    person::Location,
    stuck::Stuck,
    ticket::{Kind, Place, Ticket},
};

/// Who can take what stands in a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) team: TeamId,
    /// Helpers may take it.
    pub(crate) overflow: bool,
    pub(crate) channel: usize,
    /// Skill, level, and whether it is a language.
    pub(crate) needs: Vec<(usize, u8, bool)>,
    pub(crate) excluded: Vec<AgentId>,
    /// It waits for this agent as long as they are there.
    pub(crate) held_for: Option<AgentId>,
}

impl Shape {
    /// Whether an agent let its tickets go: nobody gives them any.
    pub(crate) fn excludes(&self, agent: AgentId) -> bool {
        self.excluded.binary_search(&agent).is_ok()
    }
}

/// Tickets of one shape.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) shape: Arc<Shape>,
    pub(crate) queue: BTreeSet<Place>,
    /// Nobody could take from it when it was last asked.
    pub(crate) stuck: bool,
}

/// A skill by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) skill: usize,
    pub(crate) level: u8,
    pub(crate) language: bool,
    pub(crate) kind: Kind,
}

/// A ticket that waits.
#[derive(Debug, Clone)]
pub(crate) struct Stands {
    pub(crate) team: TeamId,
    pub(crate) channel: usize,
    pub(crate) since: Micros,
    pub(crate) asked: Vec<Asked>,
    pub(crate) former: Option<AgentId>,
    pub(crate) excluded: Vec<AgentId>,
    pub(crate) location: Option<Location>,
    pub(crate) place: Place,
    pub(crate) line: usize,
    /// When it changes lines by itself.
    pub(crate) next: Option<Micros>,
}

impl Stands {
    /// Whether both are the same but for where and until when they stand.
    fn waits_like(&self, other: &Self) -> bool {
        self.team == other.team
            && self.channel == other.channel
            && self.since == other.since
            && self.asked == other.asked
            && self.former == other.former
            && self.excluded == other.excluded
            && self.location == other.location
            && self.place == other.place
    }
}

/// Everything that waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waiting {
    pub(crate) tickets: HashMap<TicketId, Stands>,
    pub(crate) lines: Vec<Line>,
    numbers: HashMap<Arc<Shape>, usize>,
    empty: Vec<usize>,
    /// Lines with tickets that should be asked.
    pub(crate) ripe: BTreeSet<usize>,
    /// Lines with tickets that were asked in vain.
    pub(crate) stuck: Stuck,
    pub(crate) timers: BTreeSet<(Micros, TicketId)>,
}

impl Waiting {
    fn line(&mut self, shape: Shape) -> usize {
        if let Some(number) = self.numbers.get(&shape) {
            return *number;
        }
        let shape = Arc::new(shape);
        let line = Line {
            shape: Arc::clone(&shape),
            queue: BTreeSet::new(),
            stuck: false,
        };
        let number = if let Some(number) = self.empty.pop() {
            self.lines[number] = line;
            number
        } else {
            self.lines.push(line);
            self.lines.len() - 1
        };
        self.numbers.insert(shape, number);
        number
    }

    fn stand(&mut self, id: TicketId, mut stands: Stands, shape: Shape) {
        let number = self.line(shape);
        stands.line = number;
        let line = &mut self.lines[number];
        line.queue.insert(stands.place);
        // A line that is stuck has others in it, and stands among the stuck ones already.
        if !line.stuck {
            self.ripe.insert(number);
        }
        self.timers.extend(stands.next.map(|next| (next, id)));
        self.tickets.insert(id, stands);
    }

    pub(crate) fn remove(&mut self, id: TicketId) -> Option<Stands> {
        let stands = self.tickets.remove(&id)?;
        if let Some(next) = stands.next {
            self.timers.remove(&(next, id));
        }
        let line = &mut self.lines[stands.line];
        line.queue.remove(&stands.place);
        if line.queue.is_empty() {
            self.numbers.remove(&line.shape);
            self.ripe.remove(&stands.line);
            self.stuck.remove(stands.line, &line.shape);
            self.empty.push(stands.line);
        }
        Some(stands)
    }

    /// Nobody can take from a line; `held`: because it waits for the agent whom it is held for.
    pub(crate) fn asked_in_vain(&mut self, number: usize, held: bool) {
        let line = &mut self.lines[number];
        line.stuck = true;
        if self.ripe.remove(&number) {
            self.stuck.insert(number, &line.shape, held);
        }
    }

    pub(crate) fn ripen(&mut self, number: usize) {
        let line = &mut self.lines[number];
        line.stuck = false;
        if self.stuck.remove(number, &line.shape) {
            self.ripe.insert(number);
        }
    }
}

impl Floor {
    /// A ticket begins to wait, or waits differently; one that waits just so keeps its place. It counts for nobody.
    pub fn wait(&mut self, ticket: &Ticket, now: Micros) {
        self.release(ticket.id);
        let stands = self.stands_of(ticket);
        let known = self.waiting.tickets.get(&ticket.id);
        if known.is_some_and(|known| known.waits_like(&stands)) {
            return;
        }
        self.waiting.remove(ticket.id);
        self.stand(ticket.id, stands, now);
    }

    /// Who would get a ticket now if it waited, and the first `top` of those who could. Nothing changes.
    pub fn best_for(
        &mut self,
        ticket: &Ticket,
        now: Micros,
        top: usize,
    ) -> Option<(AgentId, Vec<Considered>)> {
        let mut stands = self.stands_of(ticket);
        let shape = self.shape_of(&mut stands, now);
        let choice = self.choose(&stands, &shape, top)?;
        Some((self.seats[choice.number].id, choice.considered))
    }

    fn stands_of(&mut self, ticket: &Ticket) -> Stands {
        let channel = self.channel(&ticket.channel);
        let asked = ticket.wants.iter().map(|want| Asked {
            skill: if want.language {
                self.language(&want.skill)
            } else {
                self.skill(&want.skill)
            },
            level: want.level.max(1),
            language: want.language,
            kind: want.kind,
        });
        let asked = asked.collect();
        let mut excluded = ticket.excluded.clone();
        excluded.sort_unstable();
        excluded.dedup();
        Stands {
            team: ticket.team,
            channel,
            since: ticket.since,
            asked,
            former: ticket.former,
            excluded,
            location: ticket.location,
            place: ticket.place(&self.policy),
            line: 0,
            next: None,
        }
    }

    /// A ticket does not wait any more.
    pub fn leave(&mut self, ticket: TicketId) {
        self.waiting.remove(ticket);
    }

    /// How many tickets wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.tickets.len()
    }

    /// The next instant at which something changes by itself.
    #[must_use]
    pub fn next_change(&self) -> Option<Micros> {
        self.waiting.timers.first().map(|(at, _)| *at)
    }

    /// Whether a round could decide something.
    #[must_use]
    pub fn has_work(&self, now: Micros) -> bool {
        !self.waiting.ripe.is_empty()
            || (!self.fresh.is_empty() && !self.waiting.stuck.is_empty())
            || !self.turned.is_empty()
            || self.next_change().is_some_and(|at| at <= now)
    }

    /// Tickets ahead of a waiting one in its team, itself counted; absent when it does not wait.
    #[must_use]
    pub fn position(&self, ticket: TicketId) -> Option<usize> {
        let stands = self.waiting.tickets.get(&ticket)?;
        let lines = self.waiting.lines.iter();
        let lines = lines.filter(|line| line.shape.team == stands.team);
        let ahead = lines.map(|line| line.queue.range(..=stands.place).count());
        Some(ahead.sum())
    }

    /// The waiting tickets of a team in their order.
    #[must_use]
    pub fn queue(&self, team: TeamId) -> Vec<Place> {
        let lines = self.waiting.lines.iter();
        let lines = lines.filter(|line| line.shape.team == team);
        let mut places: Vec<Place> = lines.flat_map(|line| line.queue.iter().copied()).collect();
        places.sort_unstable();
        places
    }

    fn stand(&mut self, id: TicketId, mut stands: Stands, now: Micros) {
        let shape = self.shape_of(&mut stands, now);
        self.waiting.stand(id, stands, shape);
    }

    /// Who can take it at `now`, and until when that stays so.
    pub(crate) fn shape_of(&self, stands: &mut Stands, now: Micros) -> Shape {
        let mut next: Option<Micros> = None;
        let mut is_over = |after: Micros| {
            let at = stands.since.saturating_add(after);
            if at > now {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
            at <= now
        };
        let mut needs: Vec<_> = stands
            .asked
            .iter()
            .filter(|asked| match asked.kind {
                Kind::Required { relax_after } => !relax_after.is_some_and(&mut is_over),
                Kind::Preferred => false,
            })
            .map(|asked| (asked.skill, asked.level, asked.language))
            .collect();
        needs.sort_unstable();
        needs.dedup();
        let team = self.teams.get(&stands.team);
        let overflow = team.and_then(|team| team.policy.overflow_after);
        let overflow = overflow.is_some_and(&mut is_over) || self.sleeps(stands.team);
        let hold = self.rates[stands.channel].sticky_hold;
        let held_for = stands
            .former
            .filter(|former| !stands.excluded.contains(former))
            .filter(|_| !is_over(hold));
        stands.next = next;
        Shape {
            team: stands.team,
            overflow,
            channel: stands.channel,
            needs,
            excluded: stands.excluded.clone(),
            held_for,
        }
    }

    /// Moves tickets that time has changed.
    pub(crate) fn pass_time(&mut self, now: Micros) {
        for team in std::mem::take(&mut self.turned) {
            for place in self.queue(team) {
                if let Some(stands) = self.waiting.remove(place.ticket) {
                    self.stand(place.ticket, stands, now);
                }
            }
        }
        while let Some((at, id)) = self.waiting.timers.first().copied()
            && at <= now
        {
            if let Some(stands) = self.waiting.remove(id) {
                self.stand(id, stands, now);
            }
        }
    }

    pub(crate) fn reclassify_all(&mut self, now: Micros) {
        let all: Vec<TicketId> = self.waiting.tickets.keys().copied().collect();
        for id in all {
            if let Some(stands) = self.waiting.remove(id) {
                self.stand(id, stands, now);
            }
        }
        let stuck: Vec<usize> = self.waiting.stuck.iter().collect();
        for number in stuck {
            self.waiting.ripen(number);
        }
    }

    /// Lines that changed agents may now take from are asked again.
    pub(crate) fn ripen(&mut self) {
        for number in std::mem::take(&mut self.fresh) {
            let seat = &self.seats[number];
            let of_team = |team: &TeamId| self.waiting.stuck.of_team(*team);
            let theirs = seat.teams.iter().chain(&seat.backups).flat_map(of_team);
            let helped = seat.teams.iter().filter_map(|it| self.helped_by.get(it));
            let helped = helped.flatten().flat_map(of_team);
            let may = |line: &usize| {
                let shape = &self.waiting.lines[*line].shape;
                self.obstacle(number, shape).is_none()
            };
            let mut ripe: Vec<usize> = theirs.chain(helped).filter(may).collect();
            // Those that wait for them: they may have room now, or be gone.
            ripe.extend(self.waiting.stuck.held_for(seat.id));
            for line in ripe {
                self.waiting.ripen(line);
            }
        }
    }
}
