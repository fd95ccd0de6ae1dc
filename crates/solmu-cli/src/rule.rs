//! `solmu rule`.

use clap::{Args, Subcommand};
use comfy_table::Table;
use serde::Serialize;
use solmu_client::Client;
use solmu_proto::routing::v1::{
    CreateRuleRequest, DeleteRuleRequest, DryRunChange, DryRunRuleRequest, ListRulesRequest, Rule,
    SkillWish,
};

use crate::{
    connect::Session,
    output::table,
    roster::{Roster, find},
    ticket::PriorityArg,
    views::RuleView,
    words,
};

/// Routing rules.
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// All rules, in the order in which they are tried
    List,
    /// Make a rule
    Create(RuleCreateArgs),
    /// Show what a rule would have done with the last tickets; nothing is changed
    Try {
        /// The rule as it would be
        #[command(flatten)]
        rule: RuleCreateArgs,
        /// How many of the last tickets to look at
        #[arg(long, default_value_t = 200)]
        tickets: i32,
    },
    /// Remove a rule
    Delete {
        /// Its name or id
        rule: String,
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
    #[arg(
        long,
        value_name = "TEAM",
        required_unless_present = "goes_on",
        conflicts_with = "goes_on"
    )]
    team: Option<String>,
    /// The agent who gets it, if they can, by name or id
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Skill that the ticket asks for, of a level, insisted on for so long: billing, billing=3, billing=3:60 (seconds);
    /// repeatable
    #[arg(long = "needs", value_name = "SKILL", value_parser = needed)]
    needs: Vec<SkillWish>,
    /// Skill whose owners come first; repeatable
    #[arg(long = "wants", value_name = "SKILL", value_parser = wanted)]
    wants: Vec<SkillWish>,
    /// The ticket counts as one priority higher
    #[arg(long)]
    vip: bool,
    /// Seconds after opening in which nobody gets the ticket
    #[arg(long, value_name = "SECONDS")]
    hold: Option<i64>,
    /// Add this to what the rules behind it say, and choose no team
    #[arg(long = "continue")]
    goes_on: bool,
    /// Zone of its hour and weekday, e.g. Europe/Helsinki; the configured one, if not given
    #[arg(long, default_value = "", value_name = "ZONE")]
    zone: String,
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
            let rules = all(session, &client).await?;
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
                ..CreateRuleRequest::default()
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
            warn(session, &rule.warnings);
            session.out.either(&RuleView::from(&rule), text)
        }
        RuleCommand::Try { rule, tickets } => {
            let roster = Roster::fetch(session, &client).await?;
            let request = DryRunRuleRequest {
                rule: Some(new_rule(rule, &roster)?),
                tickets,
            };
            let answer = routing
                .dry_run_rule(request)
                .await
                .map_err(|status| session.explain(status))?
                .into_inner();
            warn(session, &answer.warnings);
            let views: Vec<TriedView> = answer.changes.iter().map(TriedView::from).collect();
            let nothing = format!("Nothing would have changed for {} tickets.", answer.tickets);
            let rows = render_tried(&answer.changes, &roster);
            session.out.rows(&views, &rows, &nothing)
        }
        RuleCommand::Delete { rule } => {
            let rules = all(session, &client).await?;
            let found = meant(&rules, &rule)?;
            let id = found.id.clone();
            let request = DeleteRuleRequest { id: id.clone() };
            routing
                .delete_rule(request)
                .await
                .map_err(|status| session.explain(status))?;
            session.out.either(
                &serde_json::json!({"id": id, "deleted": true}),
                format!("Rule '{}' is gone.", words::short(&found.display_name, 40)),
            )
        }
    }
}

async fn all(session: &Session, client: &Client) -> anyhow::Result<Vec<Rule>> {
    let answer = client.routing().list_rules(ListRulesRequest {}).await;
    let answer = answer.map_err(|status| session.explain(status))?;
    Ok(answer.into_inner().rules)
}

/// The rule that somebody means by an id or a name.
fn meant<'a>(rules: &'a [Rule], meant: &str) -> anyhow::Result<&'a Rule> {
    let names = |rule: &Rule| [rule.display_name.clone(), String::new()];
    find("rule", rules, meant, |rule| &rule.id, names)
}

/// Says what is allowed and probably not meant, beside the answer.
fn warn(session: &Session, warnings: &[String]) {
    for warning in warnings {
        let text = format!("Warning: {}", words::short(warning, 300));
        session.out.progress(text);
    }
}

fn new_rule(arguments: RuleCreateArgs, roster: &Roster) -> anyhow::Result<Rule> {
    Ok(Rule {
        team_id: match &arguments.team {
            Some(team) => roster.team(team)?.id.clone(),
            None => String::new(),
        },
        agent_id: match &arguments.agent {
            Some(agent) => roster.agent(agent)?.id.clone(),
            None => String::new(),
        },
        skills: arguments.needs.into_iter().chain(arguments.wants).collect(),
        vip: arguments.vip,
        hold: arguments.hold.map(seconds),
        goes_on: arguments.goes_on,
        display_name: arguments.name,
        position: arguments.position,
        condition: arguments.condition,
        time_zone: arguments.zone,
        set_priority: arguments
            .priority
            .map(|priority| priority.key().to_owned())
            .unwrap_or_default(),
        add_tags: arguments.tags,
        enabled: !arguments.disabled,
        ..Rule::default()
    })
}

const fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

/// `skill`, `skill=level`, `skill=level:seconds`.
fn needed(text: &str) -> Result<SkillWish, String> {
    let (rest, relax) = match text.rsplit_once(':') {
        Some((rest, relax)) => (rest, Some(relax)),
        None => (text, None),
    };
    let relax = relax
        .map(|it| {
            it.parse::<i64>()
                .map_err(|_| format!("'{it}' is no number of seconds"))
        })
        .transpose()?;
    Ok(SkillWish {
        required: true,
        relax_after: relax.map(seconds),
        ..wanted(rest)?
    })
}

/// `skill`, `skill=level`.
fn wanted(text: &str) -> Result<SkillWish, String> {
    let (skill, level) = match text.split_once('=') {
        Some((skill, level)) => (
            skill,
            level
                .parse()
                .map_err(|_| format!("'{level}' is no level"))?,
        ),
        None => (text, 1),
    };
    Ok(SkillWish {
        skill: skill.to_owned(),
        level,
        required: false,
        relax_after: None,
    })
}

/// A ticket that would have gone another way, for scripts.
#[derive(Serialize)]
struct TriedView {
    ticket_id: String,
    ticket_number: i64,
    team_id: String,
    new_team_id: String,
    differs: Vec<String>,
}

impl From<&DryRunChange> for TriedView {
    fn from(change: &DryRunChange) -> Self {
        Self {
            ticket_id: change.ticket_id.clone(),
            ticket_number: change.ticket_number,
            team_id: change.team_id.clone(),
            new_team_id: change.new_team_id.clone(),
            differs: change.differs.clone(),
        }
    }
}

fn render_tried(changes: &[DryRunChange], roster: &Roster) -> Table {
    let mut rows = table(&["Ticket", "Team", "Would go to", "Would differ"]);
    for change in changes {
        rows.add_row([
            format!("#{}", change.ticket_number),
            words::short(roster.team_name(&change.team_id), 30),
            words::short(roster.team_name(&change.new_team_id), 30),
            change.differs.join(", "),
        ]);
    }
    rows
}

fn render(rules: &[Rule], roster: &Roster) -> Table {
    let mut rows = table(&["Order", "Rule", "Holds when", "Team", "Sets", "Id"]);
    for rule in rules {
        let mut sets: Vec<String> = rule.add_tags.clone();
        if !rule.set_priority.is_empty() {
            sets.insert(0, rule.set_priority.clone());
        }
        sets.extend(rule.vip.then(|| "VIP".to_owned()));
        sets.extend(rule.skills.iter().map(|wish| wish.skill.clone()));
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
            if rule.goes_on {
                "(goes on)".to_owned()
            } else {
                words::short(roster.team_name(&rule.team_id), 30)
            },
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
    fn a_rule_is_found_by_its_name() {
        let rule = |id: &str, name: &str| Rule {
            id: id.to_owned(),
            display_name: name.to_owned(),
            ..Rule::default()
        };
        let rules = [rule("1", "VIPs"), rule("2", "night"), rule("3", "Night")];
        assert_eq!(meant(&rules, "vips").unwrap().id, "1");
        assert_eq!(meant(&rules, "3").unwrap().id, "3");
        let double = meant(&rules, "night").unwrap_err().to_string();
        assert!(
            double.contains("give its id, see `solmu rule list --json`"),
            "{double}"
        );
        assert!(meant(&rules, "x").is_err());
    }

    #[test]
    fn a_rule_is_built_and_shown() {
        let team = Team {
            id: "t".to_owned(),
            display_name: "Support".to_owned(),
            default: true,
            ..Team::default()
        };
        let roster = Roster {
            agents: Vec::new(),
            teams: vec![team],
        };
        let arguments = RuleCreateArgs {
            name: "VIP".to_owned(),
            condition: String::new(),
            team: Some("support".to_owned()),
            agent: None,
            needs: vec![needed("billing=3:60").unwrap()],
            wants: vec![wanted("calm").unwrap()],
            vip: true,
            hold: None,
            goes_on: false,
            zone: String::new(),
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
        let billing = &rule.skills[0];
        assert!(billing.required && billing.level == 3 && rule.vip);
        assert_eq!(billing.relax_after.map(|it| it.seconds), Some(60));
        assert!(!rule.skills[1].required && rule.skills[1].level == 1);
        assert_eq!(needed("a=b").unwrap_err(), "'b' is no level");
        let text = flat(&render(&[rule], &roster).trim_fmt());
        assert!(
            text.contains("5 VIP (off) always Support high, vip, VIP, billing, calm"),
            "{text}"
        );
    }
}
