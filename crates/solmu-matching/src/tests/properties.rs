//! What holds after any sequence of changes.

use std::collections::HashMap;

use proptest::prelude::*;
use solmu_domain::{ids::AgentId, ticket::Priority};

use super::support::{agent, mail, needs, on, person, policy, s, skilled, team, ticket};
use crate::{Agent, Availability, Floor, Kind, Round, TeamPolicy, Ticket, ticket::Place};

const AGENTS: u128 = 5;

#[derive(Debug, Clone)]
enum Step {
    Wait(u8, u8, u8, bool),
    Presence(u128, u8),
    Open(u128, bool),
    Capacity(u128, u32),
    Finish(usize),
    Leave(usize),
    Decline(usize),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, 0..4_u8, 0..4_u8, any::<bool>()).prop_map(|(a, b, c, d)| Step::Wait(a, b, c, d)),
        2 => (0..AGENTS, 0..4_u8).prop_map(|(id, how)| Step::Presence(id, how)),
        1 => (0..AGENTS, any::<bool>()).prop_map(|(id, open)| Step::Open(id, open)),
        1 => (0..AGENTS, 0..15_u32).prop_map(|(id, tens)| Step::Capacity(id, tens * 10)),
        4 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Decline),
        2 => (0..2_000_i64).prop_map(Step::Pass),
    ]
}

/// The floor beside the simplest books.
struct World {
    floor: Floor,
    people: HashMap<AgentId, Agent>,
    waiting: Vec<Ticket>,
    owned: Vec<(Ticket, AgentId)>,
    now: i64,
    next: u128,
}

impl World {
    fn new() -> Self {
        let mut floor = Floor::new(policy());
        let mut people = HashMap::new();
        for id in 0..AGENTS {
            let mut person = match id {
                0 => person(id),
                1 => skilled(id, &[("fi", 2)]),
                2 => skilled(id, &[("fi", 3), ("de", 1)]),
                _ => skilled(id, &[("de", 2)]),
            };
            person.limits = [("chat".to_owned(), 2)].into();
            if id == 4 {
                person.teams = vec![team(2)];
                person.backup_teams = vec![team(1)];
            }
            floor.set_agent(person.clone());
            people.insert(person.id, person);
        }
        floor.set_team(
            team(1),
            TeamPolicy {
                overflow_after: Some(s(300)),
                follow_sun: true,
                ..TeamPolicy::default()
            },
            0,
        );
        Self {
            floor,
            people,
            waiting: Vec::new(),
            owned: Vec::new(),
            now: 0,
            next: 1_000,
        }
    }

    fn take(&mut self, step: &Step) {
        self.now += 1;
        match *step {
            Step::Wait(channel, priority, wish, former) => {
                self.next += 1;
                let channel = ["email", "chat", "phone"][usize::from(channel)];
                let wants = match wish {
                    0 => vec![needs("fi", 2, Some(500))],
                    1 => vec![needs("de", 1, None)],
                    _ => Vec::new(),
                };
                let ticket = Ticket {
                    priority: Priority::ALL[usize::from(priority)],
                    wants,
                    former: former.then(|| agent(1)),
                    ..on(channel, self.next, self.now)
                };
                self.floor.wait(&ticket, s(self.now));
                self.waiting.push(ticket);
            }
            Step::Presence(id, how) => self.change(id, |person| {
                person.availability = match how {
                    0 => Availability::Offline,
                    1 => Availability::OnlineFor(["email".to_owned()].into()),
                    _ => Availability::Online,
                };
            }),
            Step::Open(id, open) => self.change(id, |person| person.open = open),
            Step::Capacity(id, units) => self.change(id, |person| person.capacity = units),
            Step::Finish(which) if !self.owned.is_empty() => {
                let (ticket, _) = self.owned.swap_remove(which % self.owned.len());
                self.floor.release(ticket.id);
            }
            Step::Leave(which) if !self.waiting.is_empty() => {
                let ticket = self.waiting.swap_remove(which % self.waiting.len());
                self.floor.leave(ticket.id);
            }
            Step::Decline(which) if !self.owned.is_empty() => {
                let (mut ticket, by) = self.owned.swap_remove(which % self.owned.len());
                ticket.excluded.push(by);
                self.floor.wait(&ticket, s(self.now));
                self.waiting.push(ticket);
            }
            Step::Pass(seconds) => self.now += seconds,
            Step::Finish(_) | Step::Leave(_) | Step::Decline(_) => {}
        }
        self.round();
    }

    fn change(&mut self, id: u128, change: impl FnOnce(&mut Agent)) {
        let person = self.people.get_mut(&agent(id)).unwrap();
        change(person);
        self.floor.set_agent(person.clone());
    }

    fn round(&mut self) {
        let round = Round {
            now: s(self.now),
            top: 2,
            most: usize::MAX,
        };
        let before: HashMap<AgentId, u32> = self.used();
        let on_call = self.count("phone");
        let mut gets: HashMap<AgentId, u32> = HashMap::new();
        let mut last: Option<Place> = None;
        for placement in self.floor.decide(&round) {
            let twice = self.owned.iter().any(|(it, _)| it.id == placement.ticket);
            assert!(!twice, "a ticket was given to two");
            let at = self.waiting.iter().position(|it| it.id == placement.ticket);
            let ticket = self
                .waiting
                .swap_remove(at.expect("only what waits is placed"));
            let person = &self.people[&placement.agent];
            assert!(person.open, "somebody outside their hours got work");
            match &person.availability {
                Availability::Online => {}
                Availability::OnlineFor(channels) => assert!(channels.contains(&ticket.channel)),
                other => panic!("{other:?} got work"),
            }
            assert!(!ticket.excluded.contains(&placement.agent));
            self.check_skills(&ticket, person);
            assert_eq!(
                on_call.get(&placement.agent),
                None,
                "somebody on a call got more"
            );
            *gets.entry(placement.agent).or_default() += units(&ticket);
            assert!(last <= Some(placement.place), "decided out of order");
            last = Some(placement.place);
            self.owned.push((ticket, placement.agent));
        }
        for (agent, units) in gets {
            let used = before.get(&agent).copied().unwrap_or(0) + units;
            assert!(
                used <= self.people[&agent].capacity,
                "a capacity was exceeded"
            );
        }
        let (calls, chats) = (self.count("phone"), self.count("chat"));
        for (agent, calls) in calls {
            assert!(calls == 1, "a call beside a call");
            assert_eq!(chats.get(&agent), None, "a call beside a chat");
        }
        assert!(
            chats.values().all(|chats| *chats <= 2),
            "a limit was exceeded"
        );
        assert_eq!(self.floor.waiting(), self.waiting.len());
        for (agent, used) in self.used() {
            assert_eq!(self.floor.units(agent).0, used);
        }
        for ticket in &self.waiting {
            let why = self.floor.why(ticket.id, 1).expect("it waits");
            assert!(!why.sentence().is_empty());
        }
    }

    /// Whoever gets a ticket has what is still insisted on.
    fn check_skills(&self, ticket: &Ticket, person: &Agent) {
        for want in &ticket.wants {
            let given_up = match want.kind {
                Kind::Required { relax_after } => {
                    relax_after.is_some_and(|after| s(self.now) >= ticket.since + after)
                }
                Kind::Preferred => true,
            };
            let level = person.skills.get(&want.skill).copied().unwrap_or(0);
            assert!(given_up || level >= want.level, "a skill was missing");
        }
    }

    /// How many tickets of a channel each agent has who has any.
    fn count(&self, channel: &str) -> HashMap<AgentId, u32> {
        let mut count = HashMap::new();
        for (_, agent) in self.owned.iter().filter(|(it, _)| it.channel == channel) {
            *count.entry(*agent).or_default() += 1;
        }
        count
    }

    fn used(&self) -> HashMap<AgentId, u32> {
        let mut used = HashMap::new();
        for (ticket, agent) in &self.owned {
            *used.entry(*agent).or_default() += units(ticket);
        }
        used
    }
}

fn units(ticket: &Ticket) -> u32 {
    policy().channels[&ticket.channel].units
}

proptest! {
    #[test]
    fn nobody_gets_what_they_cannot_have_and_a_round_leaves_nothing_undone(
        steps in proptest::collection::vec(step(), 0..120)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        // Lines, timers and what changed are only for speed: who forgets nothing finds nobody either.
        let mut fresh = Floor::new(policy());
        for person in world.people.values() {
            fresh.set_agent(person.clone());
        }
        fresh.set_team(team(1), TeamPolicy { overflow_after: Some(s(300)), follow_sun: true, ..TeamPolicy::default() }, 0);
        for (ticket, agent) in &world.owned {
            fresh.own(ticket.id, *agent, &ticket.channel);
        }
        for ticket in &world.waiting {
            fresh.wait(ticket, s(world.now));
        }
        let round = Round { now: s(world.now), top: 1, most: usize::MAX };
        // The room that a repair leaves over is used in the next round.
        while world.floor.has_work(s(world.now)) {
            world.round();
        }
        let missed = fresh.decide(&round);
        prop_assert!(missed.is_empty() || world.waiting.is_empty(), "left undone: {missed:?}");
    }

    #[test]
    fn nothing_is_passed_by_what_comes_three_steps_later(
        priority in 0..4_usize, vip in any::<bool>(), later in 2_701_i64..100_000, due in proptest::option::of(0..200_000_i64),
    ) {
        let old = Ticket { priority: Priority::ALL[priority], vip, due: due.map(s), ..mail(1, 0) };
        let young = Ticket { priority: Priority::Urgent, vip: true, ..mail(2, later) };
        prop_assert!(old.place(&policy()) < young.place(&policy()));
        let mut floor = Floor::new(policy());
        for ticket in [&young, &old] {
            floor.wait(ticket, s(later));
        }
        floor.set_agent(Agent { capacity: 10, ..person(1) });
        let placed = floor.decide(&Round { now: s(later), top: 1, most: 9 });
        prop_assert_eq!(placed[0].ticket, ticket(1));
    }
}
