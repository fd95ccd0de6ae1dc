//! `solmu route explain`: why a ticket is where it is.

use jiff::Timestamp;
use serde_json::{Value, json};
use solmu_domain::clock::Clock;
use solmu_proto::routing::v1::{
    AskedRule, Candidate, Decision, ExplainRoutingRequest, ExplainRoutingResponse,
};

use crate::{connect::Session, roster::Roster, ticket, words};

pub(super) async fn run(session: &Session, meant: &str, clock: &dyn Clock) -> anyhow::Result<()> {
    let client = session.client()?;
    let ticket = ticket::fetch_or_id(session, &client, meant).await?;
    let request = ExplainRoutingRequest {
        ticket_id: ticket.id.clone(),
    };
    let answer = client.routing().explain_routing(request).await;
    let answer = answer
        .map_err(|status| session.explain(status))?
        .into_inner();
    if session.out.is_json() {
        return session.out.object(&view(&ticket.id, &answer));
    }
    let roster = Roster::fetch_or_empty(session, &client).await;
    session.out.line(ticket::title(&ticket))?;
    session.out.line(page(&answer, &roster, clock.now()))
}

fn page(answer: &ExplainRoutingResponse, roster: &Roster, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if !answer.waiting_reason.is_empty() {
        lines.push(format!(
            "It waits: {}.",
            words::short(&answer.waiting_reason, 200)
        ));
    }
    for decision in answer
        .decisions
        .iter()
        .filter(|it| !it.decision_id.is_empty())
    {
        lines.push(String::new());
        lines.extend(decision_lines(decision, roster, now));
    }
    if !answer.rules.is_empty() {
        lines.push(String::new());
        lines.push("Rules, as they and the ticket are now:".to_owned());
        lines.extend(answer.rules.iter().map(rule_line));
    }
    if !answer.rules_missing.is_empty() {
        let why = words::short(&answer.rules_missing, 200);
        lines.push(format!("What the rules say is not known: {why}."));
    }
    lines.join("\n")
}

fn decision_lines(decision: &Decision, roster: &Roster, now: Timestamp) -> Vec<String> {
    let at = words::time(decision.decide_time.as_ref());
    let when = at.map_or_else(String::new, |at| {
        format!("{}  {}", words::moment(at), words::relative(now, at))
    });
    let team = words::short(roster.team_name(&decision.team_id), 40);
    let whom = match decision.agent_id.as_str() {
        "" => format!("in the queue of {team}"),
        id => format!("{} of {team}", words::short(roster.agent_name(id), 40)),
    };
    let cause = match decision.outcome_cause.as_str() {
        "" => String::new(),
        cause => format!(" ({})", words::spoken(cause)),
    };
    let kind = words::spoken(&decision.kind);
    let outcome = words::spoken(&decision.outcome);
    let mut lines = vec![
        format!("{when}  {kind}, {outcome}{cause}: {whom}"),
        format!("    {}", words::short(&decision.reason, 200)),
    ];
    let names = decision.candidates.iter().map(|it| name_of(it, roster));
    let width = names
        .clone()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    lines.extend(decision.candidates.iter().zip(names).map(|(it, name)| {
        let could = if it.eligible { "could" } else { "could not" };
        format!(
            "      {name:<width$}  {could:<9}  {}",
            words::short(&it.note, 120)
        )
    }));
    lines
}

fn name_of(candidate: &Candidate, roster: &Roster) -> String {
    words::short(roster.agent_name(&candidate.agent_id), 40)
}

fn rule_line(rule: &AskedRule) -> String {
    let holds = if rule.holds { "holds" } else { "does not" };
    let name = words::short(&rule.display_name, 40);
    let why = words::short(&rule.why, 200);
    format!("  {holds:<8}  '{name}' version {}: {why}", rule.version)
}

/// For scripts.
fn view(ticket_id: &str, answer: &ExplainRoutingResponse) -> Value {
    let candidate =
        |it: &Candidate| json!({"agent_id": it.agent_id, "eligible": it.eligible, "note": it.note});
    let decisions = answer.decisions.iter().map(|it| {
        json!({"decision_id": it.decision_id, "kind": it.kind, "team_id": it.team_id, "agent_id": it.agent_id,
            "previous_agent_id": it.previous_agent_id, "rule_id": it.rule_id, "rule_version": it.rule_version,
            "reason": it.reason, "decide_time": words::time(it.decide_time.as_ref()), "outcome": it.outcome,
            "outcome_cause": it.outcome_cause,
            "candidates": it.candidates.iter().map(candidate).collect::<Vec<_>>()})
    });
    let rules = answer.rules.iter().map(|it| {
        json!({"rule_id": it.rule_id, "version": it.version, "display_name": it.display_name, "holds": it.holds,
            "why": it.why})
    });
    json!({"ticket_id": ticket_id, "waiting_reason": answer.waiting_reason,
        "decisions": decisions.collect::<Vec<_>>(), "rules": rules.collect::<Vec<_>>(),
        "rules_missing": answer.rules_missing})
}

#[cfg(test)]
mod tests {
    use solmu_proto::routing::v1::{Agent, Team};

    use super::*;

    #[test]
    fn a_page_says_what_was_decided_on_whom_and_what_the_rules_say() {
        let roster = Roster {
            agents: vec![Agent {
                id: "a".to_owned(),
                display_name: "Liisa".to_owned(),
                ..Agent::default()
            }],
            teams: vec![Team {
                id: "t".to_owned(),
                display_name: "Billing".to_owned(),
                ..Team::default()
            }],
        };
        let candidate = |agent: &str, eligible, note: &str| Candidate {
            agent_id: agent.to_owned(),
            eligible,
            note: note.to_owned(),
        };
        let decision = Decision {
            decision_id: "d".to_owned(),
            kind: "assigned".to_owned(),
            team_id: "t".to_owned(),
            agent_id: "a".to_owned(),
            reason: "rule 'invoices' chose team 'Billing'".to_owned(),
            outcome: "rejected".to_owned(),
            outcome_cause: "stale_ticket".to_owned(),
            candidates: vec![
                candidate("a", true, "3 of 10"),
                candidate("gone", false, "away"),
            ],
            ..Decision::default()
        };
        let answer = ExplainRoutingResponse {
            decisions: vec![decision, Decision::default()],
            rules: vec![AskedRule {
                display_name: "vips".to_owned(),
                version: 2,
                why: "It does not match.".to_owned(),
                ..AskedRule::default()
            }],
            waiting_reason: "nobody of the team is free: 1 offline".to_owned(),
            ..ExplainRoutingResponse::default()
        };
        let text = page(&answer, &roster, Timestamp::UNIX_EPOCH);
        for part in [
            "It waits: nobody of the team is free: 1 offline.",
            "assigned, rejected (stale ticket): Liisa of Billing",
            "      Liisa  could      3 of 10",
            "      gone   could not  away",
            "  does not  'vips' version 2: It does not match.",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(text.matches("rule 'invoices'").count(), 1);
        let view = view("x", &answer);
        assert_eq!(view["decisions"][0]["candidates"][1]["note"], "away");
        assert_eq!(view["rules"][0]["holds"], false);
    }
}
