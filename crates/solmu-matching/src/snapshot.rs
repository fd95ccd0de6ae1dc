//! Snapshots as JSON, one a line: what `solmu route eval` and `solmu route match` read and print.
//!
//! `eval` decides on a queue with a policy and agents, and prints each ticket with its agent or `null`, in the order of
//! decision. `match` gives weights instead of priorities and prints the weight that found somebody.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use solmu_domain::{
    ids::{AgentId, TeamId, TicketId},
    ticket::Priority,
};
use uuid::Uuid;

use crate::{
    Agent, Availability, ChannelPolicy, Floor, Kind, Location, Micros, Policy, Round, SECOND,
    Strategy, TeamPolicy, Ticket, Turns, Want,
};

/// A line that is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is no JSON, or a field is missing or of another type.
    #[error("cannot read the snapshot")]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Case {
    id: String,
    now: f64,
    policy: PolicyJson,
    agents: Vec<AgentJson>,
    queue: Vec<TicketJson>,
}

#[derive(Deserialize)]
struct PolicyJson {
    #[serde(default)]
    weights: BTreeMap<String, u32>,
    #[serde(default)]
    exclusive: BTreeSet<String>,
    #[serde(default)]
    live: BTreeSet<String>,
    #[serde(default = "quarter_hour")]
    age_step: f64,
    #[serde(default = "quarter_hour")]
    risk_lead: f64,
    #[serde(default)]
    sticky_hold: f64,
    #[serde(default = "near")]
    geo_km: f64,
    #[serde(default)]
    strategy: Strategy,
    #[serde(default)]
    repair: bool,
    #[serde(default)]
    overflow: BTreeMap<String, OverflowJson>,
}

#[derive(Deserialize)]
struct OverflowJson {
    after: f64,
    to: Vec<String>,
}

#[derive(Deserialize)]
struct AgentJson {
    id: String,
    teams: Vec<String>,
    #[serde(default)]
    skills: BTreeMap<String, u8>,
    #[serde(default)]
    items: BTreeMap<String, u32>,
    #[serde(default)]
    max: BTreeMap<String, u32>,
    #[serde(default = "hundred")]
    capacity: u32,
    #[serde(default)]
    last_assigned: f64,
    #[serde(default)]
    presence: PresenceJson,
    #[serde(default = "yes")]
    open: bool,
    geo: Option<(f64, f64)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PresenceJson {
    One(String),
    ByChannel(BTreeMap<String, String>),
}

impl Default for PresenceJson {
    fn default() -> Self {
        Self::One("online".to_owned())
    }
}

impl From<PresenceJson> for Availability {
    fn from(presence: PresenceJson) -> Self {
        match presence {
            PresenceJson::One(name) => match name.as_str() {
                "online" => Self::Online,
                "busy" => Self::Busy,
                "away" => Self::Away,
                _ => Self::Offline,
            },
            PresenceJson::ByChannel(channels) => {
                let online = channels.into_iter().filter(|(_, state)| state == "online");
                Self::OnlineFor(online.map(|(channel, _)| channel).collect())
            }
        }
    }
}

#[derive(Deserialize)]
struct TicketJson {
    id: String,
    channel: String,
    team: String,
    #[serde(default)]
    priority: PriorityJson,
    #[serde(default)]
    vip: bool,
    arrived: f64,
    due: Option<f64>,
    #[serde(default)]
    skills: Vec<WantJson>,
    sticky: Option<String>,
    #[serde(default)]
    excluded: Vec<String>,
    geo: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PriorityJson {
    Urgent,
    High,
    #[default]
    Normal,
    Low,
}

#[derive(Deserialize)]
struct WantJson {
    n: String,
    #[serde(default = "one")]
    lvl: u8,
    relax: Option<f64>,
    #[serde(default)]
    kind: KindJson,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindJson {
    #[default]
    Required,
    Preferred,
}

const fn quarter_hour() -> f64 {
    900.0
}

const fn near() -> f64 {
    25.0
}

const fn hundred() -> u32 {
    100
}

const fn one() -> u8 {
    1
}

const fn yes() -> bool {
    true
}

/// Whole and broken seconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates; no snapshot is so far from 1970"
)]
pub(crate) fn micros(seconds: f64) -> Micros {
    #[expect(clippy::cast_precision_loss, reason = "a million is exact")]
    let second = SECOND as f64;
    (seconds * second).round() as Micros
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

/// What `eval` prints for a line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Of the snapshot.
    pub id: String,
    /// Each ticket with its agent, in the order of decision.
    pub assignments: Vec<(String, Option<String>)>,
}

/// Decides on a snapshot.
pub fn eval_line(line: &str) -> Result<Evaluated, SnapshotError> {
    Ok(eval(serde_json::from_str(line)?))
}

fn eval(case: Case) -> Evaluated {
    let agent_ids = Ids::of(case.agents.iter().map(|it| &it.id));
    let ticket_ids = Ids::of(case.queue.iter().map(|it| &it.id));
    let queued = case.queue.iter().map(|it| &it.team);
    let overflow = &case.policy.overflow;
    let helping = overflow
        .iter()
        .flat_map(|(from, to)| to.to.iter().chain([from]));
    let working = case.agents.iter().flat_map(|it| &it.teams);
    let team_ids = Ids::of(queued.chain(helping).chain(working));
    let team = |name: &String| team_ids.id(name).map(TeamId::from_uuid);
    let agent = |name: &String| agent_ids.id(name).map(AgentId::from_uuid);

    let now = micros(case.now);
    let mut floor = floor_of(&case.policy, &team, now);
    let agent_names: BTreeMap<AgentId, String> = case
        .agents
        .iter()
        .filter_map(|it| Some((agent(&it.id)?, it.id.clone())))
        .collect();
    let mut item = 0;
    for it in case.agents {
        let Some(id) = agent(&it.id) else { continue };
        floor.set_agent(Agent {
            id,
            teams: it.teams.iter().filter_map(team).collect(),
            backup_teams: Vec::new(),
            skills: it.skills,
            languages: BTreeSet::new(),
            availability: it.presence.into(),
            open: it.open,
            capacity: it.capacity,
            limits: it.max,
            location: it.geo.map(location),
        });
        floor.set_last_assigned(id, micros(it.last_assigned));
        for (channel, count) in &it.items {
            for _ in 0..*count {
                item += 1;
                // Beside the ids of the queue.
                let id_of_item = TicketId::from_uuid(Uuid::from_u128((1 << 100) + item));
                floor.own(id_of_item, id, channel);
            }
        }
    }
    let mut order = Vec::new();
    for it in &case.queue {
        let (Some(id), Some(team)) = (ticket_ids.id(&it.id), team(&it.team)) else {
            continue;
        };
        let ticket = ticket(it, TicketId::from_uuid(id), team, &agent);
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
                overflow_after: Some(micros(overflow.after)),
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
        units: json.weights.get(name).copied().unwrap_or(10),
        exclusive: json.exclusive.contains(name),
        live: json.live.contains(name),
        age_step: micros(json.age_step),
        sticky_hold: micros(json.sticky_hold),
    };
    Policy {
        channels: names.map(|name| (name.clone(), of(name))).collect(),
        other: of(&String::new()),
        risk_lead: micros(json.risk_lead),
        geo_km: json.geo_km,
        strategy: json.strategy,
        repair: json.repair,
        turns: Turns::Timed,
    }
}

fn ticket(
    json: &TicketJson,
    id: TicketId,
    team: TeamId,
    agent: &impl Fn(&String) -> Option<AgentId>,
) -> Ticket {
    let want = |it: &WantJson| Want {
        skill: it.n.clone(),
        level: it.lvl,
        language: false,
        kind: match it.kind {
            KindJson::Required => Kind::Required {
                relax_after: it.relax.map(micros),
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
        vip: json.vip,
        due: json.due.map(micros),
        wants: json.skills.iter().map(want).collect(),
        former: json.sticky.as_ref().and_then(agent),
        excluded: json.excluded.iter().filter_map(agent).collect(),
        location: json.geo.map(location),
        ..Ticket::plain(id, team, &json.channel, micros(json.arrived))
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
    cap: u32,
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

/// Places what waits all at once; `repair` as in [`Policy::repair`].
pub fn match_line(line: &str, repair: bool) -> Result<Matched, SnapshotError> {
    let case: Matching = serde_json::from_str(line)?;
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
            ..Agent::online(id, team, slots.cap)
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
