//! `solmu sla policy`.

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use comfy_table::Table;
use serde::Serialize;
use solmu_proto::sla::v1::{
    Calendar, CreatePolicyRequest, DeletePolicyRequest, GetPolicyRequest, ListPoliciesRequest,
    Policy, UpdatePolicyRequest,
};

use super::{
    calendar, parse,
    people::name_to_id,
    set::{self, SetArgs},
};
use crate::{connect::Session, output::table, words};

/// Policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// All policies, in the order in which they are tried
    List,
    /// One policy with all that it says
    Show {
        /// Its name or id
        policy: String,
    },
    /// Make a policy
    Create(PolicyCreateArgs),
    /// Change what is given, and leave the rest: a new version
    Update(PolicyUpdateArgs),
    /// Make policies and calendars, or replace them, as a file says; a second run changes nothing
    Set(SetArgs),
    /// Take a policy away: tickets that have it keep it
    Delete {
        /// Its name or id
        policy: String,
    },
}

/// A new policy.
#[derive(Debug, Args)]
pub struct PolicyCreateArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    flags: PolicyFlags,
}

/// A new version of a policy.
#[derive(Debug, Args)]
pub struct PolicyUpdateArgs {
    /// Its name or id
    policy: String,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    flags: PolicyFlags,
}

/// What a policy says.
#[derive(Debug, Default, Args)]
struct PolicyFlags {
    /// When it holds, e.g. 'priority >= high AND tags:vip'; always, if empty
    #[arg(long, value_name = "FILTER")]
    condition: Option<String>,
    /// Calendar, by name or id
    #[arg(long, value_name = "CALENDAR")]
    calendar: Option<String>,
    /// Where it stands: policies are tried in growing order
    #[arg(long)]
    position: Option<i32>,
    /// Target such as urgent:first_response=15m,resolution=4h; repeatable. Business time
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Status in which the clocks stand still; repeatable. None: waiting_on_customer, waiting_on_third_party
    #[arg(long = "pause-on", value_name = "STATUS")]
    pause_on: Vec<String>,
    /// How long a team may have a ticket, such as Billing=urgent:1h; repeatable
    #[arg(long = "team-target", value_name = "TARGET")]
    team_targets: Vec<String>,
    /// Statuses in which one clock stands still, such as resolution=waiting_on_customer; repeatable
    #[arg(long = "pause-for", value_name = "PAUSES")]
    metric_pauses: Vec<String>,
    /// Warning or escalation such as resolution:used=75%:warn or any:after=1h:notify=team_lead; repeatable
    #[arg(long = "step", value_name = "STEP")]
    steps: Vec<String>,
    /// Warn that long ahead of each due time
    #[arg(long, value_name = "TIME")]
    remind_before: Option<String>,
    /// after_first or any
    #[arg(long, value_name = "WHEN")]
    next_response_from: Option<String>,
    /// At a change of priority: retarget, restart or keep
    #[arg(long, value_name = "WHAT")]
    on_priority: Option<String>,
    /// At a reopening: continue, restart or leave
    #[arg(long, value_name = "WHAT")]
    on_reopen: Option<String>,
    /// At a merge: take_over or ignore
    #[arg(long, value_name = "WHAT")]
    on_merge: Option<String>,
    /// What an edit does to open tickets: new_tickets, from_now_on or recompute
    #[arg(long, value_name = "WHAT")]
    on_edit: Option<String>,
    /// policy, team_at_opening or team
    #[arg(long, value_name = "WHOSE")]
    calendar_from: Option<String>,
    /// Warnings and notifications wait for business hours
    #[arg(long)]
    quiet: Option<bool>,
    /// Metrics without a target are taken from the next policy that holds
    #[arg(long)]
    combine: Option<bool>,
    /// Tickets keep it even if its condition no longer holds
    #[arg(long)]
    sticky: Option<bool>,
}

impl PolicyFlags {
    /// Puts what was given into a policy.
    fn put(self, policy: &mut Policy, calendars: &[Calendar]) -> anyhow::Result<()> {
        fn take<T>(slot: &mut T, given: Option<T>) {
            if let Some(given) = given {
                *slot = given;
            }
        }
        if let Some(meant) = &self.calendar {
            policy
                .calendar_id
                .clone_from(&calendar::find(calendars, meant)?.id);
        }
        if !self.targets.is_empty() {
            let targets = self.targets.iter().map(|text| parse::target(text));
            policy.targets = targets.collect::<Result<_, _>>()?;
        }
        if !self.team_targets.is_empty() {
            let targets = self.team_targets.iter().map(|it| parse::team_target(it));
            policy.team_targets = targets.collect::<Result<_, _>>()?;
        }
        if !self.metric_pauses.is_empty() {
            let pauses = self.metric_pauses.iter().map(|it| parse::metric_pauses(it));
            policy.metric_pauses = pauses.collect::<Result<_, _>>()?;
        }
        if !self.steps.is_empty() {
            let steps = self.steps.iter().map(|text| parse::step(text));
            policy.steps = steps.collect::<Result<_, _>>()?;
        }
        if !self.pause_on.is_empty() {
            policy.pause_on = self
                .pause_on
                .iter()
                .map(|name| name.replace('-', "_"))
                .collect();
        }
        if let Some(time) = &self.remind_before {
            policy.remind_before_seconds = parse::seconds(time)?;
        }
        take(&mut policy.condition, self.condition);
        take(&mut policy.position, self.position);
        take(&mut policy.next_response_from, self.next_response_from);
        take(&mut policy.on_priority, self.on_priority);
        take(&mut policy.on_reopen, self.on_reopen);
        take(&mut policy.on_merge, self.on_merge);
        take(&mut policy.on_edit, self.on_edit);
        take(&mut policy.calendar_from, self.calendar_from);
        take(&mut policy.quiet, self.quiet);
        take(&mut policy.combine, self.combine);
        take(&mut policy.sticky, self.sticky);
        Ok(())
    }
}

pub(super) async fn run(session: &Session, command: PolicyCommand) -> anyhow::Result<()> {
    let client = session.client()?;
    let calendars = calendar::fetch_all(session, &client).await?;
    let mut sla = client.sla();
    let explain = |status| session.explain(status);
    match command {
        PolicyCommand::List => {
            let policies = fetch_all(session, &client).await?;
            let views: Vec<_> = policies.iter().map(PolicyView::from).collect();
            session.out.rows(
                &views,
                &render(&policies, &calendars),
                "There is no policy: tickets have no due times.",
            )
        }
        PolicyCommand::Show { policy } => {
            let found = find(&fetch_all(session, &client).await?, &policy)?;
            let request = GetPolicyRequest { id: found.id };
            let policy = sla.get_policy(request).await.map_err(explain)?.into_inner();
            let text = page(&policy, &calendars);
            session.out.either(&PolicyView::from(&policy), text)
        }
        PolicyCommand::Create(PolicyCreateArgs { name, flags }) => {
            let mut policy = Policy {
                display_name: name,
                position: 100,
                pause_on: ["waiting_on_customer", "waiting_on_third_party"]
                    .map(str::to_owned)
                    .into(),
                ..Policy::default()
            };
            flags.put(&mut policy, &calendars)?;
            name_to_id(session, &client, &mut policy).await?;
            if policy.calendar_id.is_empty() {
                policy.calendar_id = only(&calendars)?;
            }
            let policy = Some(policy);
            let request = CreatePolicyRequest {
                policy,
                validate_only: false,
            };
            let made = sla.create_policy(request).await.map_err(explain)?;
            told(session, &made.into_inner(), "is there")
        }
        PolicyCommand::Update(PolicyUpdateArgs {
            policy,
            name,
            flags,
        }) => {
            let mut policy = find(&fetch_all(session, &client).await?, &policy)?;
            flags.put(&mut policy, &calendars)?;
            name_to_id(session, &client, &mut policy).await?;
            if let Some(name) = name {
                policy.display_name = name;
            }
            let policy = Some(policy);
            let request = UpdatePolicyRequest {
                policy,
                validate_only: false,
            };
            let made = sla.update_policy(request).await.map_err(explain)?;
            told(session, &made.into_inner(), "is changed")
        }
        PolicyCommand::Set(arguments) => set::policies(session, &arguments).await,
        PolicyCommand::Delete { policy } => {
            let Policy { id, etag, .. } = find(&fetch_all(session, &client).await?, &policy)?;
            let request = DeletePolicyRequest {
                id: id.clone(),
                etag,
            };
            sla.delete_policy(request).await.map_err(explain)?;
            session.out.either(
                &serde_json::json!({"id": id, "deleted": true}),
                "The policy is gone.",
            )
        }
    }
}

fn told(session: &Session, policy: &Policy, what: &str) -> anyhow::Result<()> {
    let name = words::short(&policy.display_name, 40);
    let text = format!(
        "Policy '{name}' {what}, version {}, id {}.",
        policy.version, policy.id
    );
    session.out.either(&PolicyView::from(policy), text)
}

pub(super) async fn fetch_all(
    session: &Session,
    client: &solmu_client::Client,
) -> anyhow::Result<Vec<Policy>> {
    let answer = client.sla().list_policies(ListPoliciesRequest {}).await;
    let answer = answer.map_err(|status| session.explain(status))?;
    Ok(answer.into_inner().policies)
}

fn find(policies: &[Policy], meant: &str) -> anyhow::Result<Policy> {
    if let Some(policy) = policies.iter().find(|policy| policy.id == meant) {
        return Ok(policy.clone());
    }
    let named = |policy: &&Policy| policy.display_name.eq_ignore_ascii_case(meant);
    let mut found = policies.iter().filter(named);
    match (found.next(), found.next()) {
        (Some(policy), None) => Ok(policy.clone()),
        (None, _) => bail!("there is no policy '{meant}'"),
        _ => bail!("several policies are called '{meant}': name one by its id"),
    }
}

pub(super) fn only(calendars: &[Calendar]) -> anyhow::Result<String> {
    match calendars {
        [calendar] => Ok(calendar.id.clone()),
        _ => Err(anyhow!(
            "there are {} calendars: name one with --calendar",
            calendars.len()
        )),
    }
}

fn render(policies: &[Policy], calendars: &[Calendar]) -> Table {
    let mut rows = table(&["Order", "Policy", "Holds when", "Calendar", "Targets", "Id"]);
    for policy in policies {
        let targets: Vec<String> = policy.targets.iter().map(parse::target_text).collect();
        rows.add_row([
            policy.position.to_string(),
            words::short(&policy.display_name, 30),
            condition(policy),
            words::short(calendar::name(calendars, &policy.calendar_id), 30),
            targets.join("\n"),
            policy.id.clone(),
        ]);
    }
    rows
}

fn condition(policy: &Policy) -> String {
    if policy.condition.is_empty() {
        "always".to_owned()
    } else {
        words::short(&policy.condition, 60)
    }
}

fn page(policy: &Policy, calendars: &[Calendar]) -> String {
    let mut lines = vec![
        format!(
            "{}  (version {})",
            words::short(&policy.display_name, 60),
            policy.version
        ),
        format!("  holds when          {}", condition(policy)),
        format!(
            "  calendar            {} ({})",
            words::short(calendar::name(calendars, &policy.calendar_id), 40),
            policy.calendar_from
        ),
        format!("  pauses in           {}", policy.pause_on.join(", ")),
    ];
    for pauses in &policy.metric_pauses {
        let text = parse::metric_pauses_text(pauses);
        lines.push(format!("  pauses              {text}"));
    }
    for target in &policy.targets {
        lines.push(format!(
            "  target              {}",
            parse::target_text(target)
        ));
    }
    for target in &policy.team_targets {
        let text = parse::team_target_text(target);
        lines.push(format!("  team target         {text}"));
    }
    if policy.remind_before_seconds > 0 {
        let time = parse::duration(i64::from(policy.remind_before_seconds));
        lines.push(format!("  warns               {time} before"));
    }
    for step in &policy.steps {
        lines.push(format!(
            "  step                {}",
            words::short(&parse::step_text(step), 120)
        ));
    }
    let choices = [
        ("next response from", &policy.next_response_from),
        ("on priority", &policy.on_priority),
        ("on reopen", &policy.on_reopen),
        ("on merge", &policy.on_merge),
        ("on edit", &policy.on_edit),
    ];
    lines.extend(choices.map(|(name, choice)| format!("  {name:<18}  {choice}")));
    let flags = [
        ("quiet", policy.quiet),
        ("combine", policy.combine),
        ("sticky", policy.sticky),
    ];
    let set: Vec<&str> = flags
        .iter()
        .filter(|(_, on)| *on)
        .map(|(name, _)| *name)
        .collect();
    if !set.is_empty() {
        lines.push(format!("  is                  {}", set.join(", ")));
    }
    lines.join("\n")
}

/// A policy for scripts.
#[derive(Debug, Serialize)]
pub(super) struct PolicyView {
    id: String,
    display_name: String,
    version: i32,
    etag: String,
    position: i32,
    condition: String,
    calendar_id: String,
    calendar_from: String,
    targets: Vec<String>,
    team_targets: Vec<String>,
    pause_on: Vec<String>,
    metric_pauses: Vec<String>,
    remind_before_seconds: i32,
    steps: Vec<String>,
    next_response_from: String,
    on_priority: String,
    on_reopen: String,
    on_merge: String,
    on_edit: String,
    quiet: bool,
    combine: bool,
    sticky: bool,
}

impl From<&Policy> for PolicyView {
    fn from(policy: &Policy) -> Self {
        let policy = policy.clone();
        Self {
            targets: policy.targets.iter().map(parse::target_text).collect(),
            team_targets: policy
                .team_targets
                .iter()
                .map(parse::team_target_text)
                .collect(),
            metric_pauses: policy
                .metric_pauses
                .iter()
                .map(parse::metric_pauses_text)
                .collect(),
            steps: policy.steps.iter().map(parse::step_text).collect(),
            id: policy.id,
            display_name: policy.display_name,
            version: policy.version,
            etag: policy.etag,
            position: policy.position,
            condition: policy.condition,
            calendar_id: policy.calendar_id,
            calendar_from: policy.calendar_from,
            pause_on: policy.pause_on,
            remind_before_seconds: policy.remind_before_seconds,
            next_response_from: policy.next_response_from,
            on_priority: policy.on_priority,
            on_reopen: policy.on_reopen,
            on_merge: policy.on_merge,
            on_edit: policy.on_edit,
            quiet: policy.quiet,
            combine: policy.combine,
            sticky: policy.sticky,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_changes() {
        let calendars = [Calendar {
            id: "c".to_owned(),
            display_name: "Office".to_owned(),
            ..Calendar::default()
        }];
        let mut policy = Policy {
            display_name: "VIP".to_owned(),
            condition: "tags:vip".to_owned(),
            on_reopen: "restart".to_owned(),
            ..Policy::default()
        };
        let flags = PolicyFlags {
            calendar: Some("office".to_owned()),
            targets: vec!["*:resolution=4h".to_owned()],
            steps: vec!["any:used=75%:warn".to_owned()],
            team_targets: vec!["t=*:4h".to_owned()],
            metric_pauses: vec!["resolution=waiting-on-customer".to_owned()],
            pause_on: vec!["waiting-on-customer".to_owned()],
            quiet: Some(true),
            ..PolicyFlags::default()
        };
        flags.put(&mut policy, &calendars).unwrap();
        assert_eq!((policy.calendar_id.as_str(), policy.quiet), ("c", true));
        assert_eq!(policy.pause_on, ["waiting_on_customer"]);
        assert_eq!(policy.condition, "tags:vip");
        let text = page(&policy, &calendars);
        for part in [
            "VIP",
            "Office",
            "resolution=4h",
            "any:used=75%:warn",
            "restart",
            "quiet",
            "t=*:4h",
            "resolution=waiting_on_customer",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(find(&[policy.clone()], "vip").unwrap(), policy);
        assert!(find(&[policy.clone(), policy], "vip").is_err());
        let flags = PolicyFlags {
            calendar: Some("nowhere".to_owned()),
            ..PolicyFlags::default()
        };
        assert!(flags.put(&mut Policy::default(), &calendars).is_err());
    }
}
