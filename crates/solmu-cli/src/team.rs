//! `solmu team`.

use clap::{Args, Subcommand};
use comfy_table::Table;
use jiff::Timestamp;
use serde::Serialize;
use solmu_domain::clock::{Clock, SystemClock};
use solmu_proto::routing::v1::{
    CreateTeamRequest, DeleteTeamRequest, ListQueuesRequest, ListTeamsRequest, Queue, Team,
    UpdateTeamRequest,
};

use crate::{
    agent::meant_teams, connect::Session, output::table, roster::Roster, views::TeamView, words,
};

/// Teams of agents.
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// All teams
    List,
    /// Make a team
    Create {
        /// Its name
        name: String,
        /// Where tickets go that no rule matches
        #[arg(long)]
        default: bool,
    },
    /// Change a team; what is not given stays
    Set {
        /// Name or id
        team: String,
        /// Order of choice: balanced, round_robin, spare or fewest_skills
        #[arg(long)]
        strategy: Option<String>,
        /// Seconds after which backup agents and the teams of --overflow-to help
        #[arg(long, value_name = "SECONDS")]
        overflow_after: Option<i64>,
        /// Team that then helps, by name or id; repeatable. When given, these are all
        #[arg(long, value_name = "TEAM")]
        overflow_to: Vec<String>,
        /// How it hands out its work
        #[command(flatten)]
        care: TeamCare,
    },
    /// Remove a team: what waits in it is routed anew
    Remove {
        /// Name or id
        team: String,
    },
    /// What waits in each team, and for how long probably
    Queues,
}

/// How a team hands out its work.
#[derive(Debug, Clone, Default, Args)]
pub struct TeamCare {
    /// direct gives tickets to agents, offer asks them first, pull leaves it to them
    #[arg(long)]
    mode: Option<String>,
    /// Seconds that an offer stands
    #[arg(long, value_name = "SECONDS")]
    offer_timeout: Option<i64>,
    /// Seconds in which a ticket is not offered again to who did not take it
    #[arg(long, value_name = "SECONDS")]
    decline_rest: Option<i64>,
    /// What agents lose who are away for too long: never anything, untouched tickets or all
    #[arg(long)]
    take_back: Option<String>,
    /// Seconds that are too long
    #[arg(long, value_name = "SECONDS")]
    take_back_after: Option<i64>,
    /// Seconds before its due time at which a ticket moves to somebody who can begin
    #[arg(long, value_name = "SECONDS")]
    rebalance_before: Option<i64>,
    /// Whether helpers take over at once while nobody of the team is inside their hours: true or false
    #[arg(long, value_name = "BOOL")]
    follow_sun: Option<bool>,
}

impl TeamCare {
    /// Puts what was given into a team.
    fn apply(self, team: &mut Team) {
        let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
        let set = |field: &mut Option<prost_types::Duration>, given: Option<i64>| {
            *field = given.map(seconds).or(field.take());
        };
        team.mode = self.mode.unwrap_or(std::mem::take(&mut team.mode));
        team.take_back = self
            .take_back
            .unwrap_or(std::mem::take(&mut team.take_back));
        set(&mut team.offer_timeout, self.offer_timeout);
        set(&mut team.decline_rest, self.decline_rest);
        set(&mut team.take_back_after, self.take_back_after);
        set(&mut team.rebalance_before, self.rebalance_before);
        team.follow_sun = self.follow_sun.unwrap_or(team.follow_sun);
    }
}

pub(crate) async fn run(session: &Session, command: TeamCommand) -> anyhow::Result<()> {
    let mut routing = session.client()?.routing();
    match command {
        TeamCommand::List => {
            let answer = routing
                .list_teams(ListTeamsRequest::default())
                .await
                .map_err(|status| session.explain(status))?;
            let teams = answer.into_inner().teams;
            let mut rows = table(&["Team", "Takes the rest", "Id"]);
            for team in &teams {
                rows.add_row([
                    words::short(&team.display_name, 40),
                    yes(team.default),
                    team.id.clone(),
                ]);
            }
            let views: Vec<TeamView> = teams.iter().map(TeamView::from).collect();
            session.out.rows(
                &views,
                &rows,
                "There is no team yet: make one with `solmu team create NAME --default`.",
            )
        }
        TeamCommand::Set {
            team,
            strategy,
            overflow_after,
            overflow_to,
            care,
        } => {
            let set = |team: &mut Team| {
                team.strategy = strategy.unwrap_or(std::mem::take(&mut team.strategy));
                care.apply(team);
            };
            change(session, &team, set, overflow_after, &overflow_to).await
        }
        TeamCommand::Remove { team } => {
            let roster = Roster::fetch(session, &session.client()?).await?;
            let id = roster.team(&team)?.id.clone();
            let removed = routing.delete_team(DeleteTeamRequest { id }).await;
            let team = removed
                .map_err(|status| session.explain(status))?
                .into_inner();
            let name = words::short(&team.display_name, 40);
            session
                .out
                .either(&TeamView::from(&team), format!("Team '{name}' is removed."))
        }
        TeamCommand::Queues => queues(session, &SystemClock).await,
        TeamCommand::Create { name, default } => {
            let team = Team {
                display_name: name,
                default,
                ..Team::default()
            };
            let request = CreateTeamRequest {
                team: Some(team),
                ..CreateTeamRequest::default()
            };
            let team = routing
                .create_team(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
            let text = format!(
                "Team '{}' is there, id {}.",
                words::short(&team.display_name, 40),
                team.id
            );
            session.out.either(&TeamView::from(&team), text)
        }
    }
}

async fn change(
    session: &Session,
    team: &str,
    set: impl FnOnce(&mut Team),
    overflow_after: Option<i64>,
    overflow_to: &[String],
) -> anyhow::Result<()> {
    let client = session.client()?;
    let roster = Roster::fetch(session, &client).await?;
    let mut team = roster.team(team)?.clone();
    set(&mut team);
    if let Some(seconds) = overflow_after {
        team.overflow_after = Some(prost_types::Duration { seconds, nanos: 0 });
    }
    if !overflow_to.is_empty() {
        team.overflow_team_ids = meant_teams(&roster, overflow_to)?;
    }
    let request = UpdateTeamRequest { team: Some(team) };
    let team = client
        .routing()
        .update_team(request)
        .await
        .map_err(|status| session.explain(status))?
        .into_inner();
    let text = format!(
        "Team '{}' is changed.",
        words::short(&team.display_name, 40)
    );
    session.out.either(&TeamView::from(&team), text)
}

/// What waits in a team, for scripts.
#[derive(Serialize)]
struct QueueView {
    team_id: String,
    waiting: i32,
    oldest_wait_time: Option<Timestamp>,
    estimated_wait_seconds: Option<i64>,
}

impl From<&Queue> for QueueView {
    fn from(queue: &Queue) -> Self {
        Self {
            team_id: queue.team_id.clone(),
            waiting: queue.waiting,
            oldest_wait_time: words::time(queue.oldest_wait_time.as_ref()),
            estimated_wait_seconds: queue.estimated_wait.map(|it| it.seconds),
        }
    }
}

async fn queues(session: &Session, clock: &dyn Clock) -> anyhow::Result<()> {
    let client = session.client()?;
    let roster = Roster::fetch_or_empty(session, &client).await;
    let answer = client
        .routing()
        .list_queues(ListQueuesRequest {})
        .await
        .map_err(|status| session.explain(status))?;
    let queues = answer.into_inner().queues;
    let views: Vec<QueueView> = queues.iter().map(QueueView::from).collect();
    let rows = render_queues(&queues, &roster, clock.now());
    session.out.rows(&views, &rows, "There is no team yet.")
}

fn render_queues(queues: &[Queue], roster: &Roster, now: Timestamp) -> Table {
    let mut rows = table(&["Team", "Waiting", "Oldest", "A new one waits about"]);
    for queue in queues {
        let oldest = words::time(queue.oldest_wait_time.as_ref());
        rows.add_row([
            words::short(roster.team_name(&queue.team_id), 40),
            queue.waiting.to_string(),
            oldest.map_or_else(|| "-".to_owned(), |at| words::relative(now, at)),
            queue
                .estimated_wait
                .map_or_else(|| "-".to_owned(), |it| format!("{} s", it.seconds)),
        ]);
    }
    rows
}

pub(crate) fn yes(is: bool) -> String {
    if is { "yes" } else { "" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::flat;

    #[test]
    fn what_is_not_given_stays() {
        let mut team = Team {
            mode: "offer".to_owned(),
            take_back: "all".to_owned(),
            ..Team::default()
        };
        let care = TeamCare {
            take_back: Some("never".to_owned()),
            offer_timeout: Some(20),
            ..TeamCare::default()
        };
        care.apply(&mut team);
        assert_eq!(
            (team.mode.as_str(), team.take_back.as_str()),
            ("offer", "never")
        );
        assert_eq!(team.offer_timeout.map(|it| it.seconds), Some(20));
        assert_eq!(team.decline_rest, None);
    }

    #[test]
    fn queues_are_shown_with_what_is_known() {
        let queue = Queue {
            team_id: "t".to_owned(),
            waiting: 3,
            oldest_wait_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            estimated_wait: Some(prost_types::Duration {
                seconds: 240,
                nanos: 0,
            }),
        };
        let empty = Queue {
            team_id: "u".to_owned(),
            ..Queue::default()
        };
        let now = Timestamp::from_second(90).unwrap();
        let text = flat(&render_queues(&[queue, empty], &Roster::default(), now).trim_fmt());
        assert!(text.contains("t 3 1 min ago 240 s"), "{text}");
        assert!(text.ends_with("u 0 - -"), "{text}");
    }
}
