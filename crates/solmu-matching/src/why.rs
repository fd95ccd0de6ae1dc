//! Why an agent cannot take a ticket, and why a ticket waits.

use std::collections::BTreeMap;

use solmu_domain::ids::{AgentId, TeamId, TicketId};

use crate::{
    Micros,
    bits::Bits,
    floor::{Floor, Online},
    person::Availability,
    waiting::Shape,
};

/// What stands between an agent and a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Has as much as they can.
    Full,
    /// Has as much of this channel as they can.
    ChannelFull,
    /// Is on a call.
    OnACall,
    /// A call needs somebody without a live conversation.
    InLiveTalk,
    /// Is there, and takes nothing new.
    Busy,
    /// Comes back.
    Away,
    /// Is not there.
    Offline,
    /// Is online for other channels.
    OtherChannel,
    /// Is outside their working hours.
    Closed,
    /// Lacks a skill or a language.
    Skill,
    /// Declined it, or did not answer when asked.
    Declined,
    /// Works for other teams.
    OtherTeam,
}

impl Obstacle {
    /// Stable code, as in decision events.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ChannelFull => "channel_full",
            Self::OnACall => "on_a_call",
            Self::InLiveTalk => "in_live_talk",
            Self::Busy => "busy",
            Self::Away => "away",
            Self::Offline => "offline",
            Self::OtherChannel => "other_channel",
            Self::Closed => "closed",
            Self::Skill => "skill",
            Self::Declined => "declined",
            Self::OtherTeam => "other_team",
        }
    }

    /// For people, after a number of agents.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ChannelFull => "full in this channel",
            Self::OnACall => "on a call",
            Self::InLiveTalk => "in a live conversation",
            Self::Busy => "busy",
            Self::Away => "away",
            Self::Offline => "offline",
            Self::OtherChannel => "on other channels",
            Self::Closed => "outside working hours",
            Self::Skill => "without the skills",
            Self::Declined => "declined it or did not answer",
            Self::OtherTeam => "in other teams",
        }
    }
}

/// Why a ticket waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Why {
    /// It waits for this agent, who knows it and is full.
    pub held_for: Option<AgentId>,
    /// Agents take the tickets of its team themselves.
    pub pulled: bool,
    /// How many agents of its teams each obstacle keeps from it.
    pub counts: BTreeMap<Obstacle, usize>,
    /// Agents of its teams whom nothing keeps from it: what waits is about to be given out.
    pub free: usize,
    /// The first of them.
    pub agents: Vec<(AgentId, Obstacle)>,
}

impl Why {
    /// One sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.held_for.is_some() {
            return "it waits for its former agent, who is full".to_owned();
        }
        if self.pulled {
            return "it waits until somebody of the team takes the next one".to_owned();
        }
        if self.free > 0 {
            return "somebody of the team is free, and it is about to be given out".to_owned();
        }
        if self.counts.is_empty() {
            return "the team has no agents".to_owned();
        }
        let parts = self.counts.iter();
        let parts: Vec<_> = parts
            .map(|(obstacle, count)| format!("{count} {}", obstacle.words()))
            .collect();
        format!("nobody of the team is free: {}", parts.join(", "))
    }
}

impl Floor {
    /// Why a waiting ticket has nobody; names `limit` agents at most. Absent when it does not wait.
    #[must_use]
    pub fn why(&self, ticket: TicketId, limit: usize) -> Option<Why> {
        let stands = self.waiting.tickets.get(&ticket)?;
        let shape = &self.waiting.lines[stands.line].shape;
        let mut why = Why {
            held_for: shape.held_for.filter(|_| self.is_held(shape)),
            pulled: self.is_pulled(shape.team),
            ..Why::default()
        };
        self.each_of_team(shape, &[], |number| {
            if let Some(obstacle) = self.obstacle(number, shape) {
                *why.counts.entry(obstacle).or_default() += 1;
                if why.agents.len() < limit {
                    why.agents.push((self.seats[number].id, obstacle));
                }
            } else {
                why.free += 1;
            }
        });
        Some(why)
    }

    /// Whether anybody works now who could take a waiting ticket sooner or later, once they have room: helpers if they ever
    /// help, and skills only if they are insisted on for ever. Without, no history says how long it takes.
    #[must_use]
    pub fn is_staffed_for(&self, ticket: TicketId) -> bool {
        let Some(stands) = self.waiting.tickets.get(&ticket) else {
            return false;
        };
        let shape = self.shape_of(&mut stands.clone(), Micros::MAX);
        let mut staffed = false;
        self.each_of_team(&shape, &[], |number| {
            staffed |=
                !shape.excludes(self.seats[number].id) && self.absence(number, &shape).is_none();
        });
        staffed
    }

    /// Whether anybody works now for a team, or helps it if that is ever the case.
    #[must_use]
    pub fn is_staffed(&self, team: TeamId) -> bool {
        let Some(known) = self.teams.get(&team) else {
            return false;
        };
        let works = |number: usize| {
            let seat = &self.seats[number];
            seat.open && seat.online != Online::No
        };
        let mut any = vec![&known.members];
        if known.policy.overflow_after.is_some() || self.sleeps(team) {
            any.push(&known.helpers);
            let others = known.policy.overflow_to.iter();
            any.extend(others.filter_map(|other| Some(&self.teams.get(other)?.members)));
        }
        let mut staffed = false;
        Bits::each_of(&any, &[], |number| staffed |= works(number));
        staffed
    }

    /// Which line a ticket stands in: tickets of one line wait for the same reason.
    #[must_use]
    pub fn line_of(&self, ticket: TicketId) -> Option<usize> {
        self.waiting.tickets.get(&ticket).map(|stands| stands.line)
    }

    /// What keeps an agent from the tickets of a shape.
    pub(crate) fn obstacle(&self, number: usize, shape: &Shape) -> Option<Obstacle> {
        if !self.is_member(number, shape) {
            return Some(Obstacle::OtherTeam);
        }
        if shape.excludes(self.seats[number].id) {
            return Some(Obstacle::Declined);
        }
        self.absence(number, shape)
            .or_else(|| self.load_obstacle(number, shape))
    }

    /// What keeps an agent who asks for the next ticket from those of a shape: not that they once let one of them go.
    pub(crate) fn obstacle_to_wish(&self, number: usize, shape: &Shape) -> Option<Obstacle> {
        if !self.is_member(number, shape) {
            return Some(Obstacle::OtherTeam);
        }
        self.absence(number, shape)
            .or_else(|| self.load_obstacle(number, shape))
    }

    /// Whether somebody is there who could take a waiting ticket, now or once they have room, and has not let it go.
    #[must_use]
    pub fn is_there_another(&self, ticket: TicketId) -> bool {
        let Some(stands) = self.waiting.tickets.get(&ticket) else {
            return false;
        };
        let shape = &self.waiting.lines[stands.line].shape;
        let mut another = false;
        self.each_of_team(shape, &[], |number| {
            another |=
                !shape.excludes(self.seats[number].id) && self.absence(number, shape).is_none();
        });
        another
    }

    /// Why a member does not work on what stands there, whatever room they have.
    fn absence(&self, number: usize, shape: &Shape) -> Option<Obstacle> {
        let seat = &self.seats[number];
        match (&seat.availability, &seat.online) {
            (Availability::Busy, _) => return Some(Obstacle::Busy),
            (Availability::Away, _) => return Some(Obstacle::Away),
            (Availability::Offline, _) | (_, Online::No) => return Some(Obstacle::Offline),
            (Availability::Online | Availability::OnlineFor(_), _) => {}
        }
        if !seat.open {
            return Some(Obstacle::Closed);
        }
        if self.skill_lack(number, shape) {
            return Some(Obstacle::Skill);
        }
        (!seat.reachable(shape.channel)).then_some(Obstacle::OtherChannel)
    }

    /// Whether somebody's teams may take what stands there.
    pub(crate) fn is_member(&self, number: usize, shape: &Shape) -> bool {
        let seat = &self.seats[number];
        if seat.teams.contains(&shape.team) {
            return true;
        }
        let helps = || {
            let team = self.teams.get(&shape.team);
            let to = team.map_or(&[][..], |team| &team.policy.overflow_to);
            seat.backups.contains(&shape.team) || seat.teams.iter().any(|it| to.contains(it))
        };
        shape.overflow && helps()
    }

    /// What of presence and load keeps a member with the skills from it.
    pub(crate) fn room_obstacle(&self, number: usize, shape: &Shape) -> Option<Obstacle> {
        let seat = &self.seats[number];
        if !seat.reachable(shape.channel) {
            return Some(Obstacle::OtherChannel);
        }
        if shape.excludes(seat.id) {
            return Some(Obstacle::Declined);
        }
        self.load_obstacle(number, shape)
    }

    /// What they have, and the ticket besides would be too much.
    fn load_obstacle(&self, number: usize, shape: &Shape) -> Option<Obstacle> {
        let seat = &self.seats[number];
        let rate = self.rates[shape.channel];
        if self.on_a_call(seat) {
            return Some(Obstacle::OnACall);
        }
        if rate.exclusive && self.in_live_talk(seat) {
            return Some(Obstacle::InLiveTalk);
        }
        if seat.count(shape.channel) >= seat.limit(shape.channel) {
            return Some(Obstacle::ChannelFull);
        }
        (seat.used.saturating_add(rate.units) > seat.capacity).then_some(Obstacle::Full)
    }
}
