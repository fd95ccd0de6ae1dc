//! `solmu team`.

use clap::Subcommand;
use solmu_proto::routing::v1::{CreateTeamRequest, ListTeamsRequest, Team};

use crate::{connect::Session, output::table, views::TeamView, words};

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
}

pub(crate) async fn run(session: &Session, command: TeamCommand) -> anyhow::Result<()> {
    let mut routing = session.client()?.routing();
    match command {
        TeamCommand::List => {
            let answer = routing
                .list_teams(ListTeamsRequest {})
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
        TeamCommand::Create { name, default } => {
            let team = Team {
                display_name: name,
                default,
                ..Team::default()
            };
            let request = CreateTeamRequest { team: Some(team) };
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

pub(crate) fn yes(is: bool) -> String {
    if is { "yes" } else { "" }.to_owned()
}
