//! Teams.

use solmu_matching::Strategy;
use solmu_proto::routing::v1 as proto;
use solmu_runtime::ApiError;

use super::Checker;
use crate::store::people::TeamProfile;

/// What people say of a team.
pub(in crate::service) fn team(team: &proto::Team) -> Result<TeamProfile, ApiError> {
    let mut checker = Checker::default();
    let display_name = checker.name("team.display_name", &team.display_name);
    let strategy = Strategy::from_name(&team.strategy);
    if strategy.is_none() && !team.strategy.is_empty() {
        let names = Strategy::ALL.map(Strategy::name).join(", ");
        checker.wrong("team.strategy", format!("must be one of {names}"));
    }
    let overflow_after_s = team
        .overflow_after
        .map(|it| checker.seconds("team.overflow_after", it));
    let overflow_to = checker.teams("team.overflow_team_ids", &team.overflow_team_ids);
    if overflow_after_s.is_none() && !overflow_to.is_empty() {
        checker.wrong(
            "team.overflow_after",
            "say after which wait these teams help",
        );
    }
    checker.done(TeamProfile {
        display_name,
        strategy,
        overflow_after_s,
        overflow_to,
    })
}
