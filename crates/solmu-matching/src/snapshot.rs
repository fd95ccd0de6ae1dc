//! Snapshots as JSON, one a line: what `solmu route eval` and `solmu route match` read and print.
//!
//! `eval` decides on a queue with a policy and agents, and prints each ticket with its agent or `null`, in the order of
//! decision. `match` gives weights instead of priorities and prints the weight that found somebody.
//!
//! `eval` follows the reference of its format (`router_ref.py`) to the letter. That differs from what the router does in one
//! thing: there a ticket waits for any former agent who is there ([`Hold::Any`]), here only for one who could take it.
//! Names that stand there twice are two agents, or two tickets, as they are for the reference.

mod case;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use solmu_domain::{
    ids::{AgentId, TeamId, TicketId},
    ticket::Priority,
};
use uuid::Uuid;

use crate::{
    Agent, ChannelPolicy, Floor, Hold, Kind, Location, Micros, Policy, Round, Strategy, TeamPolicy,
    Ticket, Turns, Want,
    lines::JsonFault,
    numbers::{Seconds, Units},
};
use case::{Case, KindJson, PolicyJson, PriorityJson, TicketJson, WantJson};

/// A line that is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is no JSON, or a field is missing or of another type.
    #[error("cannot read the snapshot")]
    Json(#[from] JsonFault),
    /// The weights do not add up.
    #[error("the weights together are more than {}", i64::MAX)]
    Heavy,
}

/// Names of a snapshot as ids that sort as the names do.
struct Ids(HashMap<String, u128>);

impl Ids {
    fn of<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        let names: BTreeSet<&String> = names.collect();
        Self(names.into_iter().cloned().zip(1..).collect())
    }

    fn id(&self, name: &str) -> Option<Uuid> {
        self.0.get(name).copied().map(Uuid::from_u128)
    }
}

/// Ids of a list, each entry its own, that sort as the names do. Two of one name are two, the one that stands first before
/// the other, as the reference has it.
struct Entries {
    /// In the order of the list.
    ids: Vec<Uuid>,
    by_name: HashMap<String, Vec<Uuid>>,
}

impl Entries {
    fn of(names: &[&String]) -> Self {
        let mut order: Vec<usize> = (0..names.len()).collect();
        // Stable: those of one name stay in their order.
        order.sort_by_key(|index| names[*index]);
        let mut ids = vec![Uuid::nil(); names.len()];
        let mut by_name: HashMap<String, Vec<Uuid>> = HashMap::new();
        for (rank, index) in (1..).zip(order) {
            let id = Uuid::from_u128(rank);
            ids[index] = id;
            by_name.entry(names[index].clone()).or_default().push(id);
        }
        Self { ids, by_name }
    }

    /// All of a name; none where nobody has it.
    fn named(&self, name: &str) -> &[Uuid] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }
}

/// What `eval` prints for a line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Of the snapshot.
    pub id: String,
    /// Each ticket with its agent, in the order of decision.
    pub assignments: Vec<(String, Option<String>)>,
}

impl Evaluated {
    /// As it is printed.
    ///
    /// # Panics
    /// Never: names are JSON.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("names are JSON")
    }
}

/// Decides on a snapshot.
pub fn eval_line(line: &str) -> Result<Evaluated, SnapshotError> {
    Ok(eval(serde_json::from_str(line).map_err(JsonFault::from)?))
}

fn eval(case: Case) -> Evaluated {
    let agents = Entries::of(&case.agents.iter().map(|it| &it.id).collect::<Vec<_>>());
    let tickets = Entries::of(&case.queue.iter().map(|it| &it.id).collect::<Vec<_>>());
    let queued = case.queue.iter().map(|it| &it.team);
    let overflow = &case.policy.overflow;
    let helping = overflow
        .iter()
        .flat_map(|(from, to)| to.to.iter().chain([from]));
    let working = case.agents.iter().flat_map(|it| &it.teams);
    let team_ids = Ids::of(queued.chain(helping).chain(working));
    let team = |name: &String| team_ids.id(name).map(TeamId::from_uuid);

    let now = case.now.micros();
    let mut floor = floor_of(&case.policy, &team, now);
    let mut agent_names: BTreeMap<AgentId, String> = BTreeMap::new();
    let mut item = 0;
    for (it, id) in case.agents.into_iter().zip(&agents.ids) {
        let id = AgentId::from_uuid(*id);
        agent_names.insert(id, it.id);
        floor.set_agent(Agent {
            id,
            teams: it.teams.iter().filter_map(team).collect(),
            backup_teams: Vec::new(),
            skills: it
                .skills
                .into_iter()
                .map(|(name, it)| (name, it.0))
                .collect(),
            languages: BTreeSet::new(),
            availability: it.presence.into(),
            open: it.open,
            capacity: it.capacity.0,
            limits: it.max,
            location: it.geo.map(location),
        });
        floor.set_last_assigned(id, it.last_assigned.micros());
        for (channel, count) in &it.items {
            for _ in 0..count.0 {
                item += 1;
                // Beside the ids of the queue.
                let id_of_item = TicketId::from_uuid(Uuid::from_u128((1 << 100) + item));
                floor.own(id_of_item, id, channel);
            }
        }
    }
    let mut order = Vec::new();
    for (it, id) in case.queue.iter().zip(&tickets.ids) {
        let Some(team) = team(&it.team) else {
            continue;
        };
        let ticket = ticket(it, TicketId::from_uuid(*id), team, &agents);
        order.push((ticket.place(floor.policy()), it.id.clone()));
        floor.wait(&ticket, now);
    }
    order.sort();
    let found: HashMap<TicketId, AgentId> = floor
        .decide(&Round {
            now,
            top: 1,
            most: usize::MAX,
        })
        .into_iter()
        .map(|placement| (placement.ticket, placement.agent))
        .collect();
    let assignments = order.into_iter().map(|(place, name)| {
        let agent = found.get(&place.ticket);
        (
            name,
            agent.and_then(|agent| agent_names.get(agent).cloned()),
        )
    });
    Evaluated {
        id: case.id,
        assignments: assignments.collect(),
    }
}

/// A floor without anybody.
fn floor_of(json: &PolicyJson, team: &impl Fn(&String) -> Option<TeamId>, now: Micros) -> Floor {
    let mut floor = Floor::new(policy(json));
    for (from, overflow) in &json.overflow {
        if let Some(from) = team(from) {
            let policy = TeamPolicy {
                overflow_after: Some(overflow.after.micros()),
                overflow_to: overflow.to.iter().filter_map(team).collect(),
                ..TeamPolicy::default()
            };
            floor.set_team(from, policy, now);
        }
    }
    floor
}

fn policy(json: &PolicyJson) -> Policy {
    let names = json.weights.keys().chain(&json.exclusive).chain(&json.live);
    let of = |name: &String| ChannelPolicy {
        units: json.weights.get(name).map_or(10, |it| it.0),
        exclusive: json.exclusive.contains(name),
        live: json.live.contains(name),
        age_step: json.age_step.micros(),
        sticky_hold: json.sticky_hold.micros(),
    };
    Policy {
        channels: names.map(|name| (name.clone(), of(name))).collect(),
        other: of(&String::new()),
        risk_lead: json.risk_lead.micros(),
        geo_km: json.geo_km,
        strategy: json.strategy,
        repair: json.repair,
        turns: Turns::Timed,
        hold: Hold::Any,
    }
}

fn ticket(json: &TicketJson, id: TicketId, team: TeamId, agents: &Entries) -> Ticket {
    let named = |name: &String| {
        let ids = agents.named(name).iter();
        ids.map(|id| AgentId::from_uuid(*id)).collect::<Vec<_>>()
    };
    let want = |it: &WantJson| Want {
        skill: it.n.clone(),
        level: it.lvl.0,
        language: false,
        kind: match it.kind {
            KindJson::Required => Kind::Required {
                relax_after: it.relax.map(Seconds::micros),
            },
            KindJson::Preferred => Kind::Preferred,
        },
    };
    Ticket {
        priority: match json.priority {
            PriorityJson::Urgent => Priority::Urgent,
            PriorityJson::High => Priority::High,
            PriorityJson::Normal => Priority::Normal,
            PriorityJson::Low => Priority::Low,
        },
        vip: json.vip.unwrap_or(false),
        due: json.due.map(Seconds::micros),
        // Everybody has a skill at level 0.
        wants: json
            .skills
            .iter()
            .filter(|it| it.lvl.0 > 0)
            .map(want)
            .collect(),
        // The first of that name.
        former: json
            .sticky
            .as_ref()
            .and_then(|it| named(it).first().copied()),
        excluded: json.excluded.iter().flat_map(named).collect(),
        location: json.geo.map(location),
        ..Ticket::plain(id, team, &json.channel, json.arrived.micros())
    }
}

const fn location((latitude, longitude): (f64, f64)) -> Location {
    Location {
        latitude,
        longitude,
    }
}

#[derive(Deserialize)]
struct Matching {
    id: String,
    agents: Vec<Slots>,
    tickets: Vec<Weighted>,
}

#[derive(Deserialize)]
struct Slots {
    skills: Vec<u32>,
    cap: Units,
}

#[derive(Deserialize)]
struct Weighted {
    need: Vec<u32>,
    w: i64,
}

/// What `match` prints for a line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// Of the snapshot.
    pub id: String,
    /// Sum of the weights that found somebody.
    pub placed: i64,
    /// Index of the ticket, index of the agent.
    pub assignments: Vec<(usize, usize)>,
}

impl Matched {
    /// As it is printed.
    ///
    /// # Panics
    /// Never: names and numbers are JSON.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("names and numbers are JSON")
    }
}

/// Places what waits all at once; `repair` as in [`Policy::repair`].
pub fn match_line(line: &str, repair: bool) -> Result<Matched, SnapshotError> {
    let case: Matching = serde_json::from_str(line).map_err(JsonFault::from)?;
    let mut weights = case.tickets.iter().map(|it| it.w.unsigned_abs());
    let all = weights.try_fold(0_u64, u64::checked_add);
    if all.is_none_or(|all| i64::try_from(all).is_err()) {
        return Err(SnapshotError::Heavy);
    }
    let mut floor = Floor::new(Policy {
        other: ChannelPolicy {
            units: 1,
            age_step: 0,
            ..ChannelPolicy::default()
        },
        strategy: Strategy::FewestSkills,
        repair,
        ..Policy::default()
    });
    let team = TeamId::from_uuid(Uuid::nil());
    let uuid = |index: usize| Uuid::from_u128(index as u128);
    for (index, slots) in case.agents.iter().enumerate() {
        let id = AgentId::from_uuid(uuid(index));
        let skills = slots.skills.iter().map(|skill| (skill.to_string(), 1));
        floor.set_agent(Agent {
            skills: skills.collect(),
            ..Agent::online(id, team, slots.cap.0)
        });
    }
    for (index, weighted) in case.tickets.iter().enumerate() {
        let id = TicketId::from_uuid(uuid(index));
        let want = |skill: &u32| Want {
            skill: skill.to_string(),
            level: 1,
            language: false,
            kind: Kind::Required { relax_after: None },
        };
        let ticket = Ticket {
            wants: weighted.need.iter().map(want).collect(),
            since: 0,
            // The heaviest is the first.
            ..Ticket::plain(id, team, "any", weighted.w.saturating_neg())
        };
        floor.wait(&ticket, 0);
    }
    let placements = floor.decide(&Round {
        now: 0,
        top: 1,
        most: usize::MAX,
    });
    let index = |uuid: Uuid| usize::try_from(uuid.as_u128()).unwrap_or(usize::MAX);
    let assignments: Vec<(usize, usize)> = placements
        .iter()
        .map(|it| (index(it.ticket.as_uuid()), index(it.agent.as_uuid())))
        .collect();
    let weight = |(ticket, _): &(usize, usize)| case.tickets[*ticket].w;
    Ok(Matched {
        id: case.id,
        placed: assignments.iter().map(weight).sum(),
        assignments,
    })
}
