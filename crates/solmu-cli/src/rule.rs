//! `solmu rule`.

use clap::{Args, Subcommand};
use comfy_table::Table;
use solmu_proto::routing::v1::{CreateRuleRequest, DeleteRuleRequest, ListRulesRequest, Rule};

use crate::{
    connect::Session, output::table, roster::Roster, ticket::PriorityArg, views::RuleView, words,
};

/// Routing rules.
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// All rules, in the order in which they are tried
    List,
    /// Make a rule
    Create(RuleCreateArgs),
    /// Remove a rule
    Delete {
        /// Its id
        id: String,
    },
}

/// A new rule.
#[derive(Debug, Args)]
pub struct RuleCreateArgs {
    /// Its name
    name: String,
    /// When it holds, e.g. 'channel = email AND words : "invoice"'; always, if empty
    #[arg(long, default_value = "", value_name = "FILTER")]
    condition: String,
    /// The team that gets the ticket, by name or id
    #[arg(long, value_name = "TEAM")]
    team: String,
    /// Where it stands: rules are tried in growing order
    #[arg(long, default_value_t = 100)]
    position: i32,
    /// Priority that the ticket gets
    #[arg(long)]
    priority: Option<PriorityArg>,
    /// Tag that the ticket gets; repeatable
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Make it, but do not use it yet
    #[arg(long)]
    disabled: bool,
}

pub(crate) async fn run(session: &Session, command: RuleCommand) -> anyhow::Result<()> {
    let client = session.client()?;
    let mut routing = client.routing();
    match command {
        RuleCommand::List => {
            let answer = routing
                .list_rules(ListRulesRequest {})
                .await
                .map_err(|status| session.explain(status))?;
            let rules = answer.into_inner().rules;
            let roster = Roster::fetch_or_empty(session, &client).await;
            let views: Vec<RuleView> = rules.iter().map(RuleView::from).collect();
            session.out.rows(
                &views,
                &render(&rules, &roster),
                "There is no rule: the default team gets every ticket.",
            )
        }
        RuleCommand::Create(arguments) => {
            let roster = Roster::fetch(session, &client).await?;
            let request = CreateRuleRequest {
                rule: Some(new_rule(arguments, &roster)?),
            };
            let rule = routing
                .create_rule(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
            let text = format!(
                "Rule '{}' is there, id {}.",
                words::short(&rule.display_name, 40),
                rule.id
            );
            session.out.either(&RuleView::from(&rule), text)
        }
        RuleCommand::Delete { id } => {
            let request = DeleteRuleRequest { id: id.clone() };
            routing
                .delete_rule(request)
                .await
                .map_err(|status| session.explain(status))?;
            session.out.either(
                &serde_json::json!({"id": id, "deleted": true}),
                "The rule is gone.",
            )
        }
    }
}

fn new_rule(arguments: RuleCreateArgs, roster: &Roster) -> anyhow::Result<Rule> {
    Ok(Rule {
        team_id: roster.team(&arguments.team)?.id.clone(),
        display_name: arguments.name,
        position: arguments.position,
        condition: arguments.condition,
        set_priority: arguments
            .priority
            .map(|priority| priority.key().to_owned())
            .unwrap_or_default(),
        add_tags: arguments.tags,
        enabled: !arguments.disabled,
        ..Rule::default()
    })
}

fn render(rules: &[Rule], roster: &Roster) -> Table {
    let mut rows = table(&["Order", "Rule", "Holds when", "Team", "Sets", "Id"]);
    for rule in rules {
        let mut sets: Vec<String> = rule.add_tags.clone();
        if !rule.set_priority.is_empty() {
            sets.insert(0, rule.set_priority.clone());
        }
        let mut name = words::short(&rule.display_name, 30);
        if !rule.enabled {
            name.push_str(" (off)");
        }
        rows.add_row([
            rule.position.to_string(),
            name,
            if rule.condition.is_empty() {
                "always".to_owned()
            } else {
                words::short(&rule.condition, 60)
            },
            words::short(roster.team_name(&rule.team_id), 30),
            words::short(&sets.join(", "), 30),
            rule.id.clone(),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use solmu_proto::routing::v1::Team;

    use super::*;
    use crate::output::flat;

    #[test]
    fn a_rule_is_built_and_shown() {
        let team = Team {
            id: "t".to_owned(),
            display_name: "Support".to_owned(),
            default: true,
        };
        let roster = Roster {
            agents: Vec::new(),
            teams: vec![team],
        };
        let arguments = RuleCreateArgs {
            name: "VIP".to_owned(),
            condition: String::new(),
            team: "support".to_owned(),
            position: 5,
            priority: Some(PriorityArg::High),
            tags: vec!["vip".to_owned()],
            disabled: true,
        };
        let rule = new_rule(arguments, &roster).unwrap();
        assert_eq!(
            (
                rule.team_id.as_str(),
                rule.set_priority.as_str(),
                rule.enabled
            ),
            ("t", "high", false)
        );
        let text = flat(&render(&[rule], &roster).trim_fmt());
        assert!(
            text.contains("5 VIP (off) always Support high, vip"),
            "{text}"
        );
    }
}
