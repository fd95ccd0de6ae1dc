//! What must hold after any sequence of events, against a model of the ticket service.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;
use solmu_domain::{
    ids::{AgentId, DecisionId, TeamId, TicketId},
    ticket::Status,
};
use solmu_matching::TeamPolicy;

use super::{
    care::{Care, Mode, TakeBack},
    decision::{Decision, Kind},
    desk::{Agent, Presence, Team},
    event::{RejectCause, TicketEvent, What},
    matching::Round,
    offers::{Answer, Pull, Said},
    state::State,
    testing::{agent, at, event, facts, person, round, state, team, ticket},
    ticket::{Facts, Phase},
};

const AGENTS: u128 = 4;

/// One step of the world.
#[derive(Debug, Clone)]
enum Step {
    Open,
    Presence(u128, bool),
    Capacity(u128, u32),
    /// The ticket service handles the oldest decision.
    Apply,
    /// The router hears the oldest event.
    Hear,
    /// A person assigns a ticket, or takes its owner away.
    Assign(usize, Option<u128>),
    Status(usize, bool),
    /// An agent answers the first offer that stands for them, in time or late.
    Answer(u128, bool),
    /// An agent asks for the next ticket.
    Pull(u128),
    /// So many seconds pass.
    Pass(i64),
    /// The leader dies: another one starts from what was stored.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Open),
        2 => (0..AGENTS, any::<bool>()).prop_map(|(id, online)| Step::Presence(id, online)),
        1 => (0..AGENTS, 1_u32..4).prop_map(|(id, capacity)| Step::Capacity(id, capacity)),
        5 => Just(Step::Apply),
        6 => Just(Step::Hear),
        2 => (any::<usize>(), proptest::option::of(0..AGENTS)).prop_map(|(it, to)| Step::Assign(it, to)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(it, open)| Step::Status(it, open)),
        3 => (0..AGENTS, any::<bool>()).prop_map(|(id, yes)| Step::Answer(id, yes)),
        1 => (0..AGENTS).prop_map(Step::Pull),
        2 => (0_i64..40).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

/// The ticket service, its two queues, and the router under test.
struct World {
    router: State,
    people: HashMap<AgentId, (Presence, u32)>,
    tickets: Vec<Facts>,
    events: VecDeque<TicketEvent>,
    decisions: VecDeque<Decision>,
    second: i64,
    care: Care,
}

/// The default team, which takes back all from who is away for 20 seconds.
fn team_of(care: Care) -> HashMap<TeamId, Team> {
    let policy = TeamPolicy {
        pull: care.mode == Mode::Pull,
        ..TeamPolicy::default()
    };
    let team_of = Team {
        name: "first".to_owned(),
        policy,
        care,
        gone: false,
    };
    HashMap::from([(team(1), team_of)])
}

impl World {
    fn new(mode: Mode) -> Self {
        let care = Care {
            mode,
            take_back: TakeBack::All,
            take_back_after_s: 20,
            ..Care::default()
        };
        let people = (0..AGENTS).map(|id| person(id, &[1], Presence::Offline, 2));
        let mut router = state(people.clone());
        router.set_teams(team_of(care));
        Self {
            people: people
                .map(|it| (it.id, (it.presence, it.capacity)))
                .collect(),
            router,
            care,
            tickets: Vec::new(),
            events: VecDeque::new(),
            decisions: VecDeque::new(),
            second: 1,
        }
    }

    fn id(index: usize) -> u128 {
        index as u128 + 1000
    }

    fn tell(&mut self, index: usize, what: What) {
        self.events.push_back(event(
            Self::id(index),
            &self.tickets[index],
            what,
            self.second,
        ));
    }

    fn take(&mut self, step: &Step) {
        self.second += 1;
        match step {
            Step::Open => {
                self.tickets.push(facts(self.second));
                self.tell(self.tickets.len() - 1, What::Told);
            }
            Step::Presence(id, online) => {
                let presence = if *online {
                    Presence::Online
                } else {
                    Presence::Offline
                };
                self.people.get_mut(&agent(*id)).unwrap().0 = presence;
                self.seat(*id);
            }
            Step::Capacity(id, capacity) => {
                self.people.get_mut(&agent(*id)).unwrap().1 = *capacity;
                self.seat(*id);
            }
            Step::Apply => self.apply(),
            Step::Hear => {
                let heard: Vec<_> = self.events.pop_front().into_iter().collect();
                self.round(&heard);
            }
            Step::Assign(index, to) if !self.tickets.is_empty() => {
                let index = index % self.tickets.len();
                let ticket = &mut self.tickets[index];
                ticket.assignee = to.map(agent);
                ticket.version += 1;
                ticket.routing_version += 1;
                self.tell(index, What::Assigned { decision: None });
            }
            Step::Status(index, open) if !self.tickets.is_empty() => {
                let index = index % self.tickets.len();
                let ticket = &mut self.tickets[index];
                ticket.status = if *open {
                    Status::CustomerReplied
                } else {
                    Status::Resolved
                };
                ticket.version += 1;
                ticket.routing_version += 1;
                self.tell(index, What::Told);
            }
            Step::Assign(..) | Step::Status(..) => {}
            Step::Answer(id, accepted) => self.answer(*id, *accepted),
            Step::Pull(id) => {
                let pull = Pull {
                    id: uuid::Uuid::from_u128(1),
                    agent: agent(*id),
                    team: None,
                };
                self.say(&Said {
                    pulls: vec![pull],
                    ..Said::default()
                });
            }
            Step::Pass(seconds) => {
                self.second += seconds;
                self.round(&[]);
            }
            Step::Restart => self.restart(),
        }
    }

    /// What an agent says, in a round of its own.
    fn say(&mut self, said: &Said) {
        let before = self.loads();
        let second = self.second;
        let ids = std::cell::Cell::new(1_u128 << 40);
        let new_id = || {
            ids.set(ids.get() + 1);
            let time = u128::try_from(second).unwrap();
            DecisionId::from_uuid(uuid::Uuid::from_u128((time << 64) + ids.get()))
        };
        let (decisions, told) = self.router.hear_agents(
            said,
            &Round {
                now: at(second),
                epoch: 1,
                candidates: 5,
                most: usize::MAX,
                new_id: &new_id,
            },
        );
        for (_, given, _) in &told.pulls {
            assert_eq!(given.is_some(), decisions.len() == 1);
        }
        for decision in decisions.iter().filter(|it| it.kind == Kind::Pulled) {
            let agent = decision.agent.unwrap();
            let (presence, capacity) = self.people[&agent];
            assert_eq!(presence, Presence::Online);
            assert!(before[&agent] < capacity, "a capacity was exceeded");
        }
        self.decisions.extend(decisions);
        self.round(&[]);
    }

    fn answer(&mut self, id: u128, accepted: bool) {
        let offered = self.router.tickets().find_map(|ticket| match ticket.phase {
            Phase::Offered {
                agent: to, offer, ..
            } if to == agent(id) => Some((ticket.id, offer)),
            _ => None,
        });
        if let Some((ticket, offer)) = offered {
            let answer = Answer {
                offer,
                ticket,
                accepted,
                reason: String::new(),
            };
            self.say(&Said {
                // Once more has no effect.
                answers: vec![answer.clone(), answer],
                ..Said::default()
            });
        }
    }

    fn loads(&self) -> HashMap<AgentId, u32> {
        let ids = self.people.keys();
        ids.map(|id| (*id, self.router.desk().load(*id).count))
            .collect()
    }

    fn seat(&mut self, id: u128) {
        let (presence, capacity) = self.people[&agent(id)];
        self.router.desk_mut().set_agent(Agent {
            since: at(self.second),
            ..person(id, &[1], presence, capacity)
        });
        self.round(&[]);
    }

    /// A decision is never for somebody who is away, or who has as much as they can.
    fn round(&mut self, heard: &[TicketEvent]) {
        for event in heard {
            self.router.learn(event);
        }
        let due = self.router.offers_due(at(self.second));
        if !due.is_empty() {
            self.expire(due);
        }
        let before = self.loads();
        let mut given: HashMap<AgentId, u32> = HashMap::new();
        let decisions = round(&mut self.router, &[], self.second);
        for decision in &decisions {
            let Some(agent) = decision.agent else {
                continue;
            };
            assert_ne!(Some(agent), decision.previous);
            *given.entry(agent).or_default() += 1;
            let (presence, capacity) = self.people[&agent];
            assert_eq!(presence, Presence::Online, "somebody who is away got work");
            assert!(
                before[&agent] + given[&agent] <= capacity,
                "a capacity was exceeded"
            );
        }
        // Offers are not for the ticket service.
        let told = decisions.into_iter().filter(|it| it.kind != Kind::Offered);
        self.decisions.extend(told);
    }

    fn expire(&mut self, expired: Vec<DecisionId>) {
        let new_id = || DecisionId::from_uuid(uuid::Uuid::nil());
        let (decisions, _) = self.router.hear_agents(
            &Said {
                expired,
                ..Said::default()
            },
            &Round {
                now: at(self.second),
                epoch: 1,
                candidates: 5,
                most: usize::MAX,
                new_id: &new_id,
            },
        );
        assert!(decisions.is_empty(), "who says nothing gets nothing");
    }

    /// The compare-and-set of the ticket service.
    fn apply(&mut self) {
        let Some(decision) = self.decisions.pop_front() else {
            return;
        };
        let index = (0..self.tickets.len())
            .find(|index| ticket(Self::id(*index)) == decision.ticket)
            .unwrap();
        let facts = &mut self.tickets[index];
        let cause = if !facts.status.is_open() {
            Some(RejectCause::NotOpen)
        } else if facts.assignee.is_some() && facts.assignee != decision.previous {
            Some(RejectCause::AlreadyAssigned)
        } else if facts.routing_version != decision.routing_version {
            Some(RejectCause::StaleTicket)
        } else {
            None
        };
        let what = if let Some(cause) = cause {
            What::Rejected {
                decision: decision.id,
                cause,
            }
        } else {
            facts.assignee = decision.agent;
            facts.team = Some(decision.team);
            facts.version += 1;
            facts.routing_version += 1;
            What::Assigned {
                decision: Some(decision.id),
            }
        };
        self.tell(index, what);
    }

    fn restart(&mut self) {
        let people = self.people.iter().map(|(id, (presence, capacity))| {
            person(id.as_uuid().as_u128(), &[1], *presence, *capacity)
        });
        let mut fresh = state(people);
        fresh.set_teams(team_of(self.care));
        for known in self.router.tickets() {
            fresh.restore(known.clone());
        }
        self.router = fresh;
    }

    /// Lets everything arrive, with everybody online and room for all.
    fn settle(&mut self) {
        // Nobody has to say anything from now on.
        self.care.mode = Mode::Direct;
        self.router.set_teams(team_of(self.care));
        for id in 0..AGENTS {
            self.people.insert(agent(id), (Presence::Online, 1000));
            self.seat(id);
        }
        for _ in 0..10_000 {
            // Beyond any hold after rejections.
            self.second += 61;
            self.apply();
            let heard: Vec<_> = self.events.pop_front().into_iter().collect();
            self.round(&heard);
            if self.events.is_empty()
                && self.decisions.is_empty()
                && self.router.next_hold().is_none()
            {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn check(&self) {
        let mut loads: HashMap<AgentId, u32> = HashMap::new();
        let mut waiting = 0;
        for ticket in self.router.tickets() {
            if let Some(owner) = ticket.owner() {
                *loads.entry(owner).or_default() += 1;
            }
            if let Phase::Waiting(reason) = &ticket.phase {
                waiting += 1;
                assert!(!reason.reason.is_empty(), "a ticket waits without a reason");
                assert!(ticket.waiting_since.is_some());
            }
        }
        assert_eq!(waiting, self.router.waiting());
        for id in self.people.keys() {
            assert_eq!(
                loads.get(id).copied().unwrap_or(0),
                self.router.desk().load(*id).count
            );
        }
    }
}

proptest! {
    #[test]
    fn no_overload_no_absent_agents_no_lost_tickets(
        steps in proptest::collection::vec(step(), 0..200),
        mode in proptest::sample::select(Mode::ALL.to_vec()),
    ) {
        let mut world = World::new(mode);
        for step in &steps {
            world.take(step);
            world.check();
        }
        world.settle();
        world.check();
        // At rest the router and the ticket service agree, and every open ticket has an owner.
        for (index, facts) in world.tickets.iter().enumerate() {
            let id: TicketId = ticket(World::id(index));
            let owner = world.router.ticket(id).and_then(super::ticket::Ticket::owner);
            if facts.status.is_open() {
                prop_assert!(facts.assignee.is_some(), "an open ticket has no owner");
                prop_assert_eq!(owner, facts.assignee);
            } else {
                prop_assert_eq!(owner, None);
            }
        }
    }
}
