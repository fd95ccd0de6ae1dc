//! All agents with what they have, and the sets that answer "who could".

use std::collections::{BTreeSet, HashMap};

use solmu_domain::ids::{AgentId, TeamId, TicketId};

use crate::{
    Micros,
    bits::Bits,
    names::Names,
    person::{Agent, Availability, Location},
    policy::{Policy, Strategy, TeamPolicy, Turns},
    waiting::Waiting,
};

/// On which channels somebody takes work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Online {
    All,
    Only(Vec<usize>),
    No,
}

/// An agent with what they have.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) id: AgentId,
    pub(crate) teams: Vec<TeamId>,
    pub(crate) backups: Vec<TeamId>,
    /// Level by skill.
    pub(crate) skills: Vec<u8>,
    pub(crate) skill_count: usize,
    pub(crate) speaks_any: bool,
    pub(crate) availability: Availability,
    pub(crate) online: Online,
    pub(crate) open: bool,
    pub(crate) capacity: u32,
    /// By channel.
    pub(crate) limits: Vec<Option<u32>>,
    pub(crate) location: Option<Location>,
    /// Tickets by channel.
    pub(crate) items: Vec<u32>,
    /// Units in use.
    pub(crate) used: u32,
    pub(crate) last_assigned: i64,
}

impl Seat {
    fn nobody(id: AgentId) -> Self {
        Self {
            id,
            teams: Vec::new(),
            backups: Vec::new(),
            skills: Vec::new(),
            skill_count: 0,
            speaks_any: true,
            availability: Availability::Offline,
            online: Online::No,
            open: false,
            capacity: 0,
            limits: Vec::new(),
            location: None,
            items: Vec::new(),
            used: 0,
            last_assigned: 0,
        }
    }

    pub(crate) fn count(&self, channel: usize) -> u32 {
        self.items.get(channel).copied().unwrap_or(0)
    }

    pub(crate) fn limit(&self, channel: usize) -> u32 {
        self.limits
            .get(channel)
            .copied()
            .flatten()
            .unwrap_or(u32::MAX)
    }

    pub(crate) fn level(&self, skill: usize) -> u8 {
        self.skills.get(skill).copied().unwrap_or(0)
    }

    pub(crate) fn has(&self, skill: usize, level: u8, language: bool) -> bool {
        (language && self.speaks_any) || self.level(skill) >= level
    }

    /// Whether they are there for a channel at all, however much they have.
    pub(crate) fn reachable(&self, channel: usize) -> bool {
        self.open
            && match &self.online {
                Online::All => true,
                Online::Only(channels) => channels.contains(&channel),
                Online::No => false,
            }
    }
}

/// What a channel costs, by its number.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    pub(crate) units: u32,
    pub(crate) exclusive: bool,
    pub(crate) live: bool,
    pub(crate) sticky_hold: Micros,
}

/// Who works for a team.
#[derive(Debug, Clone, Default)]
pub(crate) struct Team {
    pub(crate) members: Bits,
    /// Agents of whom it is a backup team.
    pub(crate) helpers: Bits,
    pub(crate) policy: TeamPolicy,
    /// None of its own agents is inside their working hours.
    pub(crate) asleep: bool,
}

/// A ticket that counts for an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) agent: usize,
    pub(crate) channel: usize,
}

/// Everybody, and everything that waits.
#[derive(Debug, Clone, Default)]
pub struct Floor {
    pub(crate) policy: Policy,
    pub(crate) channels: Names,
    pub(crate) rates: Vec<Rate>,
    pub(crate) skills: Names,
    /// Skill by language.
    tongues: HashMap<String, usize>,
    pub(crate) teams: HashMap<TeamId, Team>,
    /// Teams whose tickets the agents of a team may take once they have waited.
    pub(crate) helped_by: HashMap<TeamId, Vec<TeamId>>,
    /// Teams that follow the sun, and those of them that fell asleep or woke since their tickets were last looked at.
    sunny: BTreeSet<TeamId>,
    pub(crate) turned: BTreeSet<TeamId>,
    pub(crate) seats: Vec<Seat>,
    pub(crate) numbers: HashMap<AgentId, usize>,
    /// Who could take anything at all.
    pub(crate) ready: Bits,
    /// Who is inside their working hours.
    awake: Bits,
    /// Who has a skill, by its number.
    pub(crate) skilled: Vec<Bits>,
    pub(crate) speaks_any: Bits,
    pub(crate) items: HashMap<TicketId, Item>,
    pub(crate) waiting: Waiting,
    /// Agents who may be able to take more than when lines were last asked.
    pub(crate) fresh: BTreeSet<usize>,
    pub(crate) turn: i64,
    /// See [`Policy::has_free_work`].
    free_work: bool,
}

impl Floor {
    /// An empty floor.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            free_work: policy.has_free_work(),
            policy,
            ..Self::default()
        }
    }

    /// Replaces the policy; everything that waits is looked at anew.
    pub fn set_policy(&mut self, policy: Policy, now: Micros) {
        self.free_work = policy.has_free_work();
        self.policy = policy;
        for channel in 0..self.rates.len() {
            self.rates[channel] = self.rate_of(self.channels.name(channel));
        }
        for number in 0..self.seats.len() {
            let items = self.seats[number].items.iter().zip(&self.rates);
            self.seats[number].used = items.map(|(count, rate)| count * rate.units).sum();
            self.seat_changed(number);
        }
        self.reclassify_all(now);
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Sets what holds for a team; its tickets are looked at anew.
    pub fn set_team(&mut self, team: TeamId, policy: TeamPolicy, now: Micros) {
        let known = self.teams.entry(team).or_default();
        if known.policy == policy {
            return;
        }
        known.policy = policy;
        self.helped_by.clear();
        self.sunny.clear();
        for (id, team) in &self.teams {
            for helper in &team.policy.overflow_to {
                self.helped_by.entry(*helper).or_default().push(*id);
            }
            if team.policy.follow_sun {
                self.sunny.insert(*id);
            }
        }
        self.look_at_the_sun();
        self.reclassify_all(now);
    }

    /// Sets up an agent, or changes them. What they have stays.
    pub fn set_agent(&mut self, agent: Agent) {
        let number = self.number_of(agent.id);
        self.leave_sets(number);
        let skills = agent.skills.iter();
        let mut known: Vec<_> = skills
            .map(|(name, level)| (self.skill(name), *level))
            .collect();
        known.extend(agent.languages.iter().map(|it| (self.language(it), 1)));
        let mut levels = Vec::new();
        for (skill, level) in known {
            if levels.len() <= skill {
                levels.resize(skill + 1, 0);
            }
            levels[skill] = level;
        }
        let online = match &agent.availability {
            Availability::Online => Online::All,
            Availability::OnlineFor(names) => {
                Online::Only(names.iter().map(|it| self.channel(it)).collect())
            }
            Availability::Busy | Availability::Away | Availability::Offline => Online::No,
        };
        let mut limits = Vec::new();
        for (name, limit) in &agent.limits {
            let channel = self.channel(name);
            if limits.len() <= channel {
                limits.resize(channel + 1, None);
            }
            limits[channel] = Some(*limit);
        }
        let seat = &mut self.seats[number];
        seat.skill_count = agent.skills.len();
        seat.speaks_any = agent.languages.is_empty();
        seat.teams = agent.teams;
        seat.backups = agent.backup_teams;
        seat.availability = agent.availability;
        seat.open = agent.open;
        seat.capacity = agent.capacity;
        seat.location = agent.location;
        (seat.skills, seat.online, seat.limits) = (levels, online, limits);
        self.join_sets(number);
        self.awake.set(number, agent.open);
        self.look_at_the_sun();
        self.seat_changed(number);
    }

    /// Whether an agent is inside their working hours.
    pub fn set_open(&mut self, agent: AgentId, open: bool) {
        if let Some(number) = self.numbers.get(&agent).copied()
            && self.seats[number].open != open
        {
            self.seats[number].open = open;
            self.awake.set(number, open);
            self.look_at_the_sun();
            self.seat_changed(number);
        }
    }

    /// When an agent was last assigned something: what [`Turns`] counts.
    pub fn set_last_assigned(&mut self, agent: AgentId, last: i64) {
        let number = self.number_of(agent);
        self.seats[number].last_assigned = last;
        if self.policy.turns == Turns::Counted {
            self.turn = self.turn.max(last);
        }
    }

    /// A ticket counts for an agent. Whomever it counted for before has it no more; it does not wait.
    pub fn own(&mut self, ticket: TicketId, agent: AgentId, channel: &str) {
        let item = Item {
            agent: self.number_of(agent),
            channel: self.channel(channel),
        };
        if self.items.get(&ticket) == Some(&item) {
            return;
        }
        self.leave(ticket);
        self.release(ticket);
        self.put(ticket, item);
    }

    /// A ticket counts for nobody any more.
    pub fn release(&mut self, ticket: TicketId) {
        if let Some(item) = self.items.remove(&ticket) {
            let rate = self.rates[item.channel];
            let seat = &mut self.seats[item.agent];
            seat.items[item.channel] -= 1;
            seat.used = seat.used.saturating_sub(rate.units);
            self.seat_changed(item.agent);
        }
    }

    /// Units that an agent has in use, and at most.
    #[must_use]
    pub fn units(&self, agent: AgentId) -> (u32, u32) {
        let seat = self.numbers.get(&agent).map(|number| &self.seats[*number]);
        seat.map_or((0, 0), |seat| (seat.used, seat.capacity))
    }

    /// Whom a ticket counts for.
    #[must_use]
    pub fn owner(&self, ticket: TicketId) -> Option<AgentId> {
        self.items
            .get(&ticket)
            .map(|item| self.seats[item.agent].id)
    }

    /// Gives an item to a seat: the books only, nobody becomes able to take more.
    pub(crate) fn put(&mut self, ticket: TicketId, item: Item) {
        self.items.insert(ticket, item);
        let rate = self.rates[item.channel];
        let seat = &mut self.seats[item.agent];
        if seat.items.len() <= item.channel {
            seat.items.resize(item.channel + 1, 0);
        }
        seat.items[item.channel] += 1;
        seat.used = seat.used.saturating_add(rate.units);
        self.refresh_ready(item.agent);
    }

    /// Takes an item out again within a round.
    pub(crate) fn take(&mut self, ticket: TicketId) {
        if let Some(item) = self.items.remove(&ticket) {
            let rate = self.rates[item.channel];
            let seat = &mut self.seats[item.agent];
            seat.items[item.channel] -= 1;
            seat.used = seat.used.saturating_sub(rate.units);
            self.refresh_ready(item.agent);
        }
    }

    pub(crate) fn channel(&mut self, name: &str) -> usize {
        let number = self.channels.number(name);
        if number == self.rates.len() {
            self.rates.push(self.rate_of(name));
        }
        number
    }

    pub(crate) fn skill(&mut self, name: &str) -> usize {
        let number = self.skills.number(name);
        if number == self.skilled.len() {
            self.skilled.push(Bits::default());
        }
        number
    }

    /// The skill of who writes a language.
    pub(crate) fn language(&mut self, name: &str) -> usize {
        if let Some(skill) = self.tongues.get(name) {
            return *skill;
        }
        let skill = self.skill(&format!("language:{name}"));
        self.tongues.insert(name.to_owned(), skill);
        skill
    }

    /// Whether helpers may take the tickets of a team at once, because it is night there.
    pub(crate) fn sleeps(&self, team: TeamId) -> bool {
        self.teams
            .get(&team)
            .is_some_and(|team| team.policy.follow_sun && team.asleep)
    }

    /// Notes which teams fell asleep or woke.
    fn look_at_the_sun(&mut self) {
        for id in &self.sunny {
            let Some(team) = self.teams.get_mut(id) else {
                continue;
            };
            let asleep = !team.members.meets(&self.awake);
            if team.asleep != asleep {
                team.asleep = asleep;
                self.turned.insert(*id);
            }
        }
    }

    pub(crate) fn strategy_of(&self, team: TeamId) -> Strategy {
        let own = self.teams.get(&team).and_then(|it| it.policy.strategy);
        own.unwrap_or(self.policy.strategy)
    }

    /// Whether somebody has something of an exclusive channel.
    pub(crate) fn on_a_call(&self, seat: &Seat) -> bool {
        self.has_any(seat, None, |rate| rate.exclusive)
    }

    pub(crate) fn in_live_talk(&self, seat: &Seat) -> bool {
        self.has_any(seat, None, |rate| rate.live)
    }

    /// Whether somebody has something of such a channel, one item of the channel `but` not counted.
    pub(crate) fn has_any(&self, seat: &Seat, but: Option<usize>, such: fn(&Rate) -> bool) -> bool {
        let items = seat.items.iter().zip(&self.rates).enumerate();
        items
            .into_iter()
            .any(|(channel, (count, rate))| *count > u32::from(but == Some(channel)) && such(rate))
    }

    fn rate_of(&self, name: &str) -> Rate {
        let policy = self.policy.channel(name);
        Rate {
            units: policy.units,
            exclusive: policy.exclusive,
            live: policy.live,
            sticky_hold: policy.sticky_hold,
        }
    }

    fn number_of(&mut self, agent: AgentId) -> usize {
        if let Some(number) = self.numbers.get(&agent) {
            return *number;
        }
        let number = self.seats.len();
        self.seats.push(Seat::nobody(agent));
        self.numbers.insert(agent, number);
        number
    }

    fn leave_sets(&mut self, number: usize) {
        let seat = &self.seats[number];
        for team in &seat.teams {
            if let Some(team) = self.teams.get_mut(team) {
                team.members.set(number, false);
            }
        }
        for team in &seat.backups {
            if let Some(team) = self.teams.get_mut(team) {
                team.helpers.set(number, false);
            }
        }
        for (skill, level) in seat.skills.iter().enumerate() {
            if *level > 0 {
                self.skilled[skill].set(number, false);
            }
        }
        self.speaks_any.set(number, false);
    }

    fn join_sets(&mut self, number: usize) {
        let seat = &self.seats[number];
        for team in &seat.teams {
            self.teams
                .entry(*team)
                .or_default()
                .members
                .set(number, true);
        }
        for team in &seat.backups {
            self.teams
                .entry(*team)
                .or_default()
                .helpers
                .set(number, true);
        }
        for (skill, level) in seat.skills.iter().enumerate() {
            if *level > 0 {
                self.skilled[skill].set(number, true);
            }
        }
        self.speaks_any.set(number, seat.speaks_any);
    }

    /// Somebody may be able to take more than before, or be gone.
    pub(crate) fn seat_changed(&mut self, number: usize) {
        self.refresh_ready(number);
        self.fresh.insert(number);
    }

    fn refresh_ready(&mut self, number: usize) {
        let seat = &self.seats[number];
        let ready = seat.open
            && seat.online != Online::No
            && (seat.used < seat.capacity || (self.free_work && seat.used == seat.capacity))
            && !self.on_a_call(seat);
        self.ready.set(number, ready);
    }
}
