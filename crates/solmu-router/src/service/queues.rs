//! What waits, where, why, and for how long probably.
//!
//! Both are computed when somebody asks, by any replica: who is there and what they have changes without a decision about
//! each ticket that waits.

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::ids::{AgentId, TeamId, TicketId};
use solmu_matching::{Estimate, SECOND};
use solmu_proto::routing::v1 as proto;
use solmu_roster::convert::duration;
use solmu_runtime::ApiError;

use super::Service;
use crate::{
    core::{
        ticket::{Phase, Ticket},
        waits::{Present, Scene},
    },
    error::RoundError,
    store::{
        desk::{agents_load, agents_of, teams_load},
        queue::{items_of, queue_of, queues_fetch, taken_lately},
        ticket::tickets_fetch,
    },
};

impl Service {
    pub(super) async fn queue_list(&self) -> Result<Vec<proto::Queue>, ApiError> {
        let now = self.clock.now();
        let scene = self.scene(None, now).await?;
        let estimate = self.estimate(None).await?;
        let rows = queues_fetch(self.db.pool()).await?;
        let queues = rows.into_iter().map(|row| {
            let team = TeamId::from_uuid(row.team_id);
            let waiting = usize::try_from(row.waiting).unwrap_or(usize::MAX);
            let staffed = scene.is_staffed(team);
            let wait = || expected(&estimate, team, waiting.saturating_add(1), now);
            proto::Queue {
                team_id: team.to_string(),
                waiting: i32::try_from(row.waiting).unwrap_or(i32::MAX),
                oldest_wait_time: row.oldest().map(to_proto_time),
                estimated_wait: staffed.then(wait).flatten(),
            }
        });
        Ok(queues.collect())
    }

    /// Where a ticket stands, in the order in which the leader takes them.
    pub(super) async fn queue_position(
        &self,
        id: TicketId,
    ) -> Result<proto::QueuePosition, ApiError> {
        let queue = queue_of(self.db.pool(), id).await?;
        let found = queue.iter().find(|it| it.id == id);
        let found = found.ok_or_else(|| ApiError::FailedPrecondition {
            reason: "NOT_WAITING",
            message: "the ticket does not wait for an agent".to_owned(),
        })?;
        let place = |ticket: &Ticket| ticket.stands(None).map(|stands| stands.place(&self.policy));
        let our_place = place(found);
        let ahead = queue.iter().filter(|it| place(it) <= our_place).count();
        let team = found.route.as_ref().map(|route| route.team);
        let now = self.clock.now();
        let present = self.present(found, now).await?;
        let estimate = self.estimate(team).await?;
        let team_at_work = team.filter(|_| present.staffed);
        Ok(proto::QueuePosition {
            team_id: team.map(|it| it.to_string()).unwrap_or_default(),
            position: i32::try_from(ahead).unwrap_or(i32::MAX),
            estimated_wait: team_at_work.and_then(|team| expected(&estimate, team, ahead, now)),
            reason: present.reason,
        })
    }

    /// Why a ticket waits now; empty if it does not wait, or is not known.
    pub(super) async fn waiting_reason(&self, id: TicketId) -> Result<String, ApiError> {
        let read = self.db.tx("routing.read_ticket", move |tx| {
            Box::pin(async move { tickets_fetch(tx, &[id]).await })
        });
        let ticket = read.await.map_err(ours)?.pop();
        match ticket {
            Some(ticket) if matches!(ticket.phase, Phase::Waiting(_)) => {
                Ok(self.present(&ticket, self.clock.now()).await?.reason)
            }
            Some(_) | None => Ok(String::new()),
        }
    }

    async fn present(&self, ticket: &Ticket, now: Timestamp) -> Result<Present, ApiError> {
        let team = ticket.route.as_ref().map(|route| route.team);
        Ok(self.scene(team, now).await?.present(ticket))
    }

    /// Who works for a team and who helps it, with what they have; everybody, with nothing, where no team is named.
    async fn scene(&self, team: Option<TeamId>, now: Timestamp) -> Result<Scene, ApiError> {
        let (policy, relax) = (self.policy.clone(), self.language_relax_s);
        let read = self.db.tx("routing.who_is_there", move |tx| {
            let policy = policy.clone();
            Box::pin(async move {
                let teams = teams_load(tx).await?;
                let helping = team.and_then(|team| teams.get(&team));
                let helping = helping.map(|it| it.policy.overflow_to.clone());
                let wanted = team.map(|team| [vec![team], helping.unwrap_or_default()].concat());
                let mut scene = Scene::new(policy, relax, teams, now);
                let Some(wanted) = wanted else {
                    for (agent, _) in agents_load(tx).await? {
                        scene.add(agent);
                    }
                    return Ok(scene);
                };
                let agents = agents_of(tx, &wanted).await?;
                let ids: Vec<AgentId> = agents.iter().map(|agent| agent.id).collect();
                for agent in agents {
                    scene.add(agent);
                }
                for (agent, channel, count) in items_of(tx, &ids).await? {
                    scene.give(agent, &channel, count);
                }
                Ok::<_, RoundError>(scene)
            })
        });
        read.await.map_err(ours)
    }

    async fn estimate(&self, team: Option<TeamId>) -> Result<Estimate, ApiError> {
        let mut estimate = Estimate::default();
        for (team, at) in taken_lately(self.db.pool(), team).await? {
            estimate.note(team, at.as_microsecond());
        }
        Ok(estimate)
    }
}

fn ours(error: RoundError) -> ApiError {
    match error {
        RoundError::Db(error) => error.into(),
        other => ApiError::internal(other),
    }
}

fn expected(
    estimate: &Estimate,
    team: TeamId,
    position: usize,
    now: Timestamp,
) -> Option<prost_types::Duration> {
    let wait = estimate.wait(team, position, now.as_microsecond())?;
    Some(duration(wait / SECOND))
}
