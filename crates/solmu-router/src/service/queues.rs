//! What waits, where, and for how long probably.

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::ids::{TeamId, TicketId};
use solmu_matching::{Estimate, SECOND};
use solmu_proto::routing::v1 as proto;
use solmu_roster::convert::duration;
use solmu_runtime::ApiError;

use super::Service;
use crate::{
    core::ticket::Phase,
    store::queue::{queue_of, queues_fetch, taken_lately},
};

impl Service {
    pub(super) async fn queue_list(&self) -> Result<Vec<proto::Queue>, ApiError> {
        let now = self.clock.now();
        let estimate = self.estimate(None).await?;
        let rows = queues_fetch(self.db.pool()).await?;
        let queues = rows.into_iter().map(|row| {
            let team = TeamId::from_uuid(row.team_id);
            let waiting = usize::try_from(row.waiting).unwrap_or(usize::MAX);
            proto::Queue {
                team_id: team.to_string(),
                waiting: i32::try_from(row.waiting).unwrap_or(i32::MAX),
                oldest_wait_time: row.oldest().map(to_proto_time),
                estimated_wait: expected(&estimate, team, waiting.saturating_add(1), now),
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
        let ours = queue.iter().find(|it| it.id == id);
        let ours = ours.ok_or_else(|| ApiError::FailedPrecondition {
            reason: "NOT_WAITING",
            message: "the ticket does not wait for an agent".to_owned(),
        })?;
        let place = |ticket: &crate::core::ticket::Ticket| {
            ticket.stands(None).map(|stands| stands.place(&self.policy))
        };
        let our_place = place(ours);
        let ahead = queue.iter().filter(|it| place(it) <= our_place).count();
        let team = ours.route.as_ref().map(|route| route.team);
        let estimate = self.estimate(team).await?;
        let now = self.clock.now();
        Ok(proto::QueuePosition {
            team_id: team.map(|it| it.to_string()).unwrap_or_default(),
            position: i32::try_from(ahead).unwrap_or(i32::MAX),
            estimated_wait: team.and_then(|team| expected(&estimate, team, ahead, now)),
            reason: match &ours.phase {
                Phase::Waiting(waiting) => waiting.reason.clone(),
                Phase::Reserved { .. }
                | Phase::Offered { .. }
                | Phase::Assigned { .. }
                | Phase::Moving { .. }
                | Phase::Done => String::new(),
            },
        })
    }

    async fn estimate(&self, team: Option<TeamId>) -> Result<Estimate, ApiError> {
        let mut estimate = Estimate::default();
        for (team, at) in taken_lately(self.db.pool(), team).await? {
            estimate.note(team, at.as_microsecond());
        }
        Ok(estimate)
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
