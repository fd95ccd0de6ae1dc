//! A ticket as the router sees it: facts learned from events, where it is routed, and whether somebody has it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use solmu_domain::{
    ids::{AgentId, ContactId, DecisionId, RuleId, TeamId, TicketId},
    ticket::{Priority, Status},
};
use solmu_matching::{Kind, Location, Want};
pub(crate) use solmu_roster::rule::{Effects, Wish};
use solmu_telemetry::TraceContext;

use super::{
    event::{RejectCause, TicketEvent, What, Within},
    offers::Declined,
    restricted::RESTRICTED_REST,
};

/// Rejections in a row after which a ticket waits before it is decided on again.
const PATIENT_REJECTIONS: u32 = 3;

/// Key of the custom field that says where a ticket has to be done: latitude and longitude in degrees, "60.17, 24.94".
pub(crate) const LOCATION: &str = "location";

/// What the ticket service says of a ticket. The event with the highest `version` is the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) number: i64,
    pub(crate) version: i64,
    pub(crate) routing_version: i64,
    pub(crate) status: Status,
    pub(crate) priority: Priority,
    pub(crate) channel: String,
    pub(crate) account: String,
    pub(crate) recipient: String,
    pub(crate) language: String,
    pub(crate) tags: Vec<String>,
    pub(crate) team: Option<TeamId>,
    pub(crate) assignee: Option<AgentId>,
    pub(crate) created: Timestamp,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) contact: Option<ContactId>,
    pub(crate) category: String,
    pub(crate) organizations: Vec<String>,
    /// Values of custom fields, in canonical text.
    pub(crate) fields: BTreeMap<String, Vec<String>>,
}

impl Facts {
    /// Where it has to be done, if its field says so and can be read.
    fn location(&self) -> Option<Location> {
        let text = self.fields.get(LOCATION)?.first()?;
        let (latitude, longitude) = text.split_once(',')?;
        let degrees = |text: &str, most: f64| {
            let degrees: f64 = text.trim().parse().ok()?;
            (degrees.abs() <= most).then_some(degrees)
        };
        Some(Location {
            latitude: degrees(latitude, 90.0)?,
            longitude: degrees(longitude, 180.0)?,
        })
    }
}

/// Which rule chose a team, in which version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuleRef {
    pub(crate) id: RuleId,
    pub(crate) version: i64,
    pub(crate) name: String,
}

/// Where a ticket belongs, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) team: TeamId,
    /// Absent for the default team, and when a person chose the team.
    pub(crate) rule: Option<RuleRef>,
    /// Rules that held before it and went on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<RuleRef>,
    /// A person chose the team: rules do not move it.
    pub(crate) by_hand: bool,
    /// Version of the rule set that it was made with.
    pub(crate) rules_version: i64,
    /// What the rule still has to change.
    #[serde(default, skip_serializing_if = "Effects::is_empty")]
    pub(crate) effects: Effects,
    /// Skills that the rules ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) wishes: Vec<Wish>,
    /// Counts as one priority higher.
    #[serde(default)]
    pub(crate) vip: bool,
    /// Who gets it, if they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<AgentId>,
    /// Seconds from its creation in which nobody gets it.
    #[serde(default)]
    pub(crate) hold_s: u32,
}

impl Route {
    pub(crate) fn by_hand(team: TeamId) -> Self {
        Self {
            team,
            rule: None,
            by_hand: true,
            rules_version: 0,
            effects: Effects::default(),
            also: Vec::new(),
            wishes: Vec::new(),
            vip: false,
            agent: None,
            hold_s: 0,
        }
    }
}

/// Who has a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody.
    Waiting(Waiting),
    /// Decided; the ticket service has not answered yet. Counts for the agent.
    Reserved {
        agent: AgentId,
        decision: DecisionId,
    },
    /// The agent is asked whether they take it, until then. Counts for them.
    Offered {
        agent: AgentId,
        offer: DecisionId,
        until: Timestamp,
    },
    /// Owned. Counts for the agent.
    Assigned { agent: AgentId },
    /// Taken from its owner, to another agent or to the queue; the ticket service has not answered yet. Counts for the new
    /// one, or else for the old one.
    Moving {
        from: AgentId,
        to: Option<AgentId>,
        decision: DecisionId,
    },
    /// Resolved or closed: nobody has to own it.
    Done,
}

/// Why a ticket waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// One sentence for people.
    pub(crate) reason: String,
    /// The decision that told the ticket service its team, until that is answered.
    pub(crate) announced: Option<DecisionId>,
    /// Not decided on before this time, because its decisions were rejected again and again.
    pub(crate) held_until: Option<Timestamp>,
}

impl Waiting {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            announced: None,
            held_until: None,
        }
    }
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: TicketId,
    pub(crate) facts: Facts,
    pub(crate) route: Option<Route>,
    pub(crate) phase: Phase,
    /// Since when nobody owns it.
    pub(crate) waiting_since: Option<Timestamp>,
    /// Rejected decisions in a row.
    pub(crate) rejections: u32,
    /// The agent who had it, or the last ticket of its contact.
    pub(crate) former: Option<AgentId>,
    /// Agents who did not take it, and until when it is not offered to them again.
    pub(crate) declined: Vec<Declined>,
    /// Who took an offer of it: they get it without another one.
    pub(crate) promised: Option<AgentId>,
    /// Its owner answered it.
    pub(crate) worked: bool,
    /// When a person gave it to its owner; absent if the router did.
    pub(crate) handed: Option<Timestamp>,
    /// When we last took it from its owner.
    pub(crate) moved: Option<Timestamp>,
    /// Whom alone it may go to, as the ticket service said when it refused a decision; not stored, as it says so again.
    pub(crate) within: Option<Within>,
    /// When something was last heard of it.
    pub(crate) touched: Timestamp,
    /// Trace of the event that made it wait: decisions continue it.
    pub(crate) trace: TraceContext,
}

impl Ticket {
    /// A ticket that is heard of for the first time. One that has a team already keeps it.
    pub(crate) fn new(id: TicketId, facts: Facts, event: &TicketEvent) -> Self {
        let route = facts.team.map(Route::by_hand);
        let facts_owned = facts.assignee.is_some();
        let mut ticket = Self {
            id,
            facts,
            route,
            phase: Phase::Waiting(Waiting::because("it was not looked at yet")),
            waiting_since: Some(event.time),
            rejections: 0,
            former: None,
            declined: Vec::new(),
            promised: None,
            worked: event.answered && facts_owned,
            handed: facts_owned.then_some(event.time),
            moved: None,
            within: None,
            touched: event.time,
            trace: event.trace.clone(),
        };
        ticket.settle(event.time);
        ticket
    }

    /// Whom it counts for.
    pub(crate) const fn owner(&self) -> Option<AgentId> {
        match self.phase {
            Phase::Reserved { agent, .. }
            | Phase::Offered { agent, .. }
            | Phase::Assigned { agent } => Some(agent),
            Phase::Moving { from, to, .. } => match to {
                Some(to) => Some(to),
                None => Some(from),
            },
            Phase::Waiting(_) | Phase::Done => None,
        }
    }

    /// The decision whose answer it awaits.
    pub(crate) const fn awaits(&self) -> Option<DecisionId> {
        match &self.phase {
            Phase::Reserved { decision, .. } | Phase::Moving { decision, .. } => Some(*decision),
            Phase::Waiting(waiting) => waiting.announced,
            Phase::Offered { .. } | Phase::Assigned { .. } | Phase::Done => None,
        }
    }

    /// Whether the ticket service knows all that the route wants besides an owner.
    pub(crate) fn has_its_team(&self) -> bool {
        self.route
            .as_ref()
            .is_some_and(|route| self.facts.team == Some(route.team) && route.effects.is_empty())
    }

    /// As it waits on the floor; `language_relax` is how long its language is insisted on. Nothing without a route.
    pub(crate) fn stands(&self, language_relax: Option<i64>) -> Option<solmu_matching::Ticket> {
        let route = self.route.as_ref()?;
        let mut wants: Vec<Want> = route.wishes.iter().map(Wish::want).collect();
        if let Some(relax_after) = language_relax.filter(|_| !self.facts.language.is_empty()) {
            wants.push(Want {
                skill: self.facts.language.clone(),
                level: 1,
                language: true,
                kind: Kind::Required {
                    relax_after: Some(relax_after),
                },
            });
        }
        let created = self.facts.created.as_microsecond();
        let since = self
            .waiting_since
            .map_or(created, Timestamp::as_microsecond);
        Some(solmu_matching::Ticket {
            id: self.id,
            team: route.team,
            channel: self.facts.channel.clone(),
            // The priority that its rule gives it counts at once.
            priority: route.effects.priority.unwrap_or(self.facts.priority),
            vip: route.vip,
            arrived: created,
            since,
            due: self.facts.next_due.map(Timestamp::as_microsecond),
            wants,
            former: self.promised.or(route.agent).or(self.former),
            excluded: self.excluded().map(|it| it.agent).collect(),
            location: self.facts.location(),
        })
    }

    /// Whether the rules have to be asked (again) for its team.
    pub(crate) fn needs_route(&self, rules_version: i64) -> bool {
        let outdated = |route: &Route| !route.by_hand && route.rules_version < rules_version;
        matches!(self.phase, Phase::Waiting(_)) && self.route.as_ref().is_none_or(outdated)
    }

    /// Takes a new route. Unless it is the old one, the ticket service has to be told.
    pub(crate) fn take_route(&mut self, route: Route) {
        if let Some(old) = &mut self.route
            && old.team == route.team
            && old.rule == route.rule
            && old.also == route.also
        {
            old.rules_version = route.rules_version;
            return;
        }
        let hold = SignedDuration::from_secs(route.hold_s.into());
        let until = self.facts.created.checked_add(hold).ok();
        let until = until.filter(|_| !hold.is_zero());
        self.route = Some(route);
        if let Phase::Waiting(waiting) = &mut self.phase {
            waiting.announced = None;
            if until.is_some() {
                waiting.held_until = waiting.held_until.max(until);
                "a rule holds it for a while".clone_into(&mut waiting.reason);
            }
        }
    }

    /// Learns from an event. What is older than what is known changes nothing but the fate of a decision.
    pub(crate) fn learn(&mut self, event: &TicketEvent) {
        let rejected = matches!(event.what, What::Rejected { .. });
        self.touched = self.touched.max(event.time);
        if let Some(facts) = &event.facts
            && (facts.version > self.facts.version
                || (rejected && facts.version == self.facts.version))
        {
            // Taken away from them: not theirs before all others.
            if facts.assignee.is_none()
                && self.former.is_some()
                && self.former == self.facts.assignee
            {
                self.former = None;
            }
            self.notice_team(facts, &event.what);
            if !rejected {
                self.within = None;
            }
            if facts.assignee != self.facts.assignee {
                self.worked = false;
                let ours = matches!(event.what, What::Assigned { decision: Some(_) });
                self.handed = (!ours && facts.assignee.is_some()).then_some(event.time);
            }
            self.facts = facts.clone();
        }
        self.worked |= event.answered && self.facts.assignee.is_some();
        if event.within.is_some() {
            self.within.clone_from(&event.within);
        }
        match event.what {
            What::Assigned {
                decision: Some(decision),
            } if self.awaits() == Some(decision) => self.applied(),
            What::Rejected { decision, cause } if self.awaits() == Some(decision) => {
                self.rejected(cause, event.time);
            }
            What::Told | What::Assigned { .. } | What::Rejected { .. } => {}
        }
        if self.settle(event.time) {
            self.trace = event.trace.clone();
        }
    }

    /// A team that we did not choose was chosen by a person.
    fn notice_team(&mut self, facts: &Facts, what: &What) {
        let ours = matches!(what, What::Assigned { decision: Some(_) });
        let wanted = self.route.as_ref().map(|route| route.team);
        if let Some(team) = facts.team
            && !ours
            && facts.team != self.facts.team
            && facts.team != wanted
        {
            self.route = Some(Route::by_hand(team));
            if matches!(self.phase, Phase::Offered { .. }) {
                let moved = "a person moved it to another team";
                self.phase = Phase::Waiting(Waiting::because(moved));
            }
        }
    }

    fn applied(&mut self) {
        if let Some(route) = &mut self.route {
            route.effects = Effects::default();
        }
        if let Phase::Waiting(waiting) = &mut self.phase {
            waiting.announced = None;
        }
    }

    fn rejected(&mut self, cause: RejectCause, at: Timestamp) {
        if cause == RejectCause::UnknownTicket {
            self.facts.status = Status::Closed;
        }
        self.rejections = self.rejections.saturating_add(1);
        self.phase = Phase::Waiting(Waiting {
            reason: format!("its last decision was rejected: {}", cause.sentence()),
            announced: None,
            held_until: hold(cause, self.rejections).and_then(|hold| at.checked_add(hold).ok()),
        });
    }

    /// Brings the phase in line with the facts; true when it begins to wait. What is decided and not answered stays
    /// reserved: the answer will come, and until then the agent's place is kept.
    fn settle(&mut self, at: Timestamp) -> bool {
        if !self.facts.status.is_open() {
            self.phase = Phase::Done;
        } else if let Some(agent) = self.facts.assignee {
            if !matches!(self.phase, Phase::Moving { from, .. } if from == agent) {
                self.phase = Phase::Assigned { agent };
                self.declined.retain(|it| !it.over);
            }
        } else if matches!(
            self.phase,
            Phase::Assigned { .. } | Phase::Moving { .. } | Phase::Done
        ) {
            self.phase = Phase::Waiting(Waiting::because("it has no owner any more"));
            self.waiting_since = Some(at);
            return true;
        }
        if matches!(
            self.phase,
            Phase::Assigned { .. } | Phase::Moving { .. } | Phase::Done
        ) {
            self.waiting_since = None;
            self.rejections = 0;
            self.promised = None;
        }
        false
    }
}

/// How long to wait after so many rejections in a row: at first not at all, then 1, 2, 4 ... 60 seconds.
fn hold(cause: RejectCause, rejections: u32) -> Option<SignedDuration> {
    if cause == RejectCause::Restricted {
        return Some(RESTRICTED_REST);
    }
    let doublings = rejections.checked_sub(PATIENT_REJECTIONS)?.min(6);
    Some(SignedDuration::from_secs((1_i64 << doublings).min(60)))
}
