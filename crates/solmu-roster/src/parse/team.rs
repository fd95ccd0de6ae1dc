//! Teams.

use solmu_matching::Strategy;
use solmu_proto::routing::v1 as proto;
use solmu_runtime::ApiError;

use super::Checker;
use crate::{
    care::{Care, Mode, TakeBack},
    store::team::TeamProfile,
};

/// What people say of a team.
pub fn team(team: &proto::Team) -> Result<TeamProfile, ApiError> {
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
    if overflow_after_s.is_none() && !team.follow_sun && !overflow_to.is_empty() {
        checker.wrong(
            "team.overflow_after",
            "say after which wait these teams help, or that the team follows the sun",
        );
    }
    let care = care(&mut checker, team);
    checker.done(TeamProfile {
        display_name,
        strategy,
        overflow_after_s,
        overflow_to,
        follow_sun: team.follow_sun,
        care,
    })
}

/// How it hands out its work.
fn care(checker: &mut Checker, team: &proto::Team) -> Care {
    let usual = Care::default();
    let mut seconds = |field: &str, duration: Option<prost_types::Duration>| {
        let read = duration.map(|it| checker.seconds(field, it));
        read.map(|it| u32::try_from(it).unwrap_or(0))
    };
    let offer_s = seconds("team.offer_timeout", team.offer_timeout);
    let decline_s = seconds("team.decline_rest", team.decline_rest);
    let take_back_after_s = seconds("team.take_back_after", team.take_back_after);
    let rebalance_s = seconds("team.rebalance_before", team.rebalance_before);
    if offer_s == Some(0) {
        checker.wrong("team.offer_timeout", "must be at least one second");
    }
    let mode = Mode::from_name(&team.mode);
    if mode.is_none() && !team.mode.is_empty() {
        let names = Mode::ALL.map(Mode::name).join(", ");
        checker.wrong("team.mode", format!("must be one of {names}"));
    }
    let take_back = TakeBack::from_name(&team.take_back);
    if take_back.is_none() && !team.take_back.is_empty() {
        let names = TakeBack::ALL.map(TakeBack::name).join(", ");
        checker.wrong("team.take_back", format!("must be one of {names}"));
    }
    Care {
        mode: mode.unwrap_or_default(),
        offer_s: offer_s.unwrap_or(usual.offer_s),
        decline_s: decline_s.unwrap_or(usual.decline_s),
        take_back: take_back.unwrap_or_default(),
        take_back_after_s: take_back_after_s.unwrap_or(usual.take_back_after_s),
        rebalance_s,
    }
}
