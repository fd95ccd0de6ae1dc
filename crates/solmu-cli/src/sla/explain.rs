//! `solmu sla explain`: the clocks of a ticket as a picture, and the story behind it.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use solmu_domain::clock::Clock as WallClock;
use solmu_proto::sla::v1::{
    Clock, ExplainStep, ExplainTicketRequest, ExplainTicketResponse, TakenStep, Timer,
};

use crate::{connect::Session, ticket, words};

/// Signs of a line.
const WIDTH: usize = 60;

pub(super) async fn run(
    session: &Session,
    meant: &str,
    clock: &dyn WallClock,
) -> anyhow::Result<()> {
    let client = session.client()?;
    let ticket = ticket::fetch_or_id(session, &client, meant).await?;
    let request = ExplainTicketRequest {
        ticket_id: ticket.id.clone(),
    };
    let answer = client.sla().explain_ticket(request).await;
    let answer = answer
        .map_err(|status| session.explain(status))?
        .into_inner();
    if session.out.is_json() {
        return session.out.object(&ExplainedView::of(&ticket.id, &answer));
    }
    session.out.line(ticket::title(&ticket))?;
    if answer.policy_id.is_empty() {
        return session
            .out
            .line("No policy holds for this ticket: nothing is promised.");
    }
    let now = words::time(answer.now.as_ref()).unwrap_or_else(|| clock.now());
    session.out.line(page(&answer, now))
}

fn page(answer: &ExplainTicketResponse, now: Timestamp) -> String {
    let mut lines = Vec::new();
    for policy in &answer.policies {
        let metrics: Vec<String> = policy
            .metrics
            .iter()
            .map(|it| words::spoken(&words::metric(*it)))
            .collect();
        let condition = match policy.condition.as_str() {
            "" => "always".to_owned(),
            text => words::short(text, 60),
        };
        lines.push(format!(
            "Policy '{}' version {}, holds when: {condition}; decides on {}",
            words::short(&policy.display_name, 40),
            policy.version,
            metrics.join(", ")
        ));
    }
    lines.push(String::new());
    lines.extend(picture(&answer.clocks, now));
    lines.push(String::new());
    lines.extend(answer.steps.iter().map(step_text));
    if !answer.taken.is_empty() {
        lines.push(String::new());
        lines.push("Told and done so far:".to_owned());
        lines.extend(answer.taken.iter().map(|taken| taken_text(taken, now)));
    }
    if !answer.timers.is_empty() {
        lines.push(String::new());
        lines.push("If nothing changes:".to_owned());
        lines.extend(answer.timers.iter().map(|timer| timer_text(timer, now)));
    }
    lines.join("\n")
}

/// One line for each clock, all on one scale of time.
fn picture(clocks: &[Clock], now: Timestamp) -> Vec<String> {
    let times = clocks.iter().flat_map(|clock| {
        let segments = clock
            .segments
            .iter()
            .flat_map(|it| [&it.start_time, &it.end_time]);
        segments.chain([&clock.due_time, &clock.end_time])
    });
    let times: Vec<Timestamp> = times.filter_map(|at| words::time(at.as_ref())).collect();
    let first = times.iter().min().copied().unwrap_or(now).min(now);
    let last = times.iter().max().copied().unwrap_or(now).max(now);
    let scale = Scale { first, last };
    let mut lines: Vec<String> = clocks
        .iter()
        .map(|clock| line(clock, &scale, now))
        .collect();
    let from = words::moment(first);
    let to = words::moment(last);
    let gap = WIDTH.saturating_sub(from.len() + to.len());
    lines.push(format!("{:24}{from}{:gap$}{to}", "", ""));
    lines.push(format!(
        "{:24}━ runs   ░ closed   · paused   │ now   ◇ due   ! missed   ■ ended",
        ""
    ));
    lines
}

struct Scale {
    first: Timestamp,
    last: Timestamp,
}

impl Scale {
    /// The column of an instant.
    fn column(&self, at: Timestamp) -> usize {
        let whole = self.last.duration_since(self.first).as_millis().max(1);
        let part = at.duration_since(self.first).as_millis().clamp(0, whole);
        let most = i128::try_from(WIDTH - 1).unwrap_or_default();
        usize::try_from(part * most / whole).unwrap_or_default()
    }
}

fn line(clock: &Clock, scale: &Scale, now: Timestamp) -> String {
    let mut signs = [' '; WIDTH];
    for segment in &clock.segments {
        let (Some(from), Some(to)) = (
            words::time(segment.start_time.as_ref()),
            words::time(segment.end_time.as_ref()),
        ) else {
            continue;
        };
        let sign = match segment.kind.as_str() {
            "running" => '━',
            "closed" => '░',
            _ => '·',
        };
        let (from, to) = (scale.column(from), scale.column(to));
        for place in signs.iter_mut().take(to.max(from) + 1).skip(from) {
            // What ran is seen even if it was short.
            if *place != '━' {
                *place = sign;
            }
        }
    }
    let mut mark = |at: Option<Timestamp>, sign: char| {
        if let Some(place) = at.and_then(|at| signs.get_mut(scale.column(at))) {
            *place = sign;
        }
    };
    let ended = words::time(clock.end_time.as_ref());
    if ended.is_none() {
        mark(Some(now), '│');
    }
    mark(words::time(clock.due_time.as_ref()), '◇');
    mark(ended, '■');
    mark(words::time(clock.breach_time.as_ref()), '!');
    let name = words::spoken(&words::metric(clock.metric));
    let name = if clock.cycle > 1 {
        format!("{name} {}", clock.cycle)
    } else {
        name
    };
    let bar: String = signs.iter().collect();
    format!("{name:<22}  {bar}  {}", state(clock, now))
}

fn state(clock: &Clock, now: Timestamp) -> String {
    let length = |seconds| words::length(SignedDuration::from_secs(seconds));
    let used = format!(
        "{} of {}",
        length(clock.elapsed_seconds),
        length(clock.target_seconds)
    );
    let late = if clock.breached && clock.state != "breached" {
        ", late"
    } else {
        ""
    };
    let due = match words::time(clock.due_time.as_ref()) {
        Some(due) => format!(", due {}", words::due(now, Some(due), false)),
        None => String::new(),
    };
    format!("{}{late}, {used}{due}", clock.state)
}

fn step_text(step: &ExplainStep) -> String {
    let at = words::time(step.time.as_ref()).map(words::moment);
    let event = words::spoken(&step.event);
    let to = match step.to.as_str() {
        "" => String::new(),
        to => format!(" to {}", words::spoken(&words::short(to, 60))),
    };
    let changes: Vec<String> = step
        .changes
        .iter()
        .map(|change| {
            let cycle = if change.cycle > 1 {
                format!(" {}", change.cycle)
            } else {
                String::new()
            };
            let metric = words::spoken(&words::metric(change.metric));
            format!("{metric}{cycle} {}", change.change)
        })
        .collect();
    let changes = if changes.is_empty() {
        String::new()
    } else {
        format!(": {}", changes.join(", "))
    };
    format!("  {}  {event}{to}{changes}", at.unwrap_or_default())
}

fn taken_text(taken: &TakenStep, now: Timestamp) -> String {
    let at = words::time(taken.time.as_ref());
    let when = at.map_or_else(|| "before this was kept".to_owned(), |at| when(at, now));
    let cycle = if taken.cycle > 1 {
        format!(" {}", taken.cycle)
    } else {
        String::new()
    };
    let late = if taken.late { ", late" } else { "" };
    let metric = words::spoken(&words::metric(taken.metric));
    let step = in_brackets(&taken.step);
    format!("  {when}  {} of {metric}{cycle}{step}{late}", taken.kind)
}

fn timer_text(timer: &Timer, now: Timestamp) -> String {
    let at = words::time(timer.time.as_ref());
    let when = at.map_or_else(String::new, |at| when(at, now));
    let metric = words::spoken(&words::metric(timer.metric));
    let step = in_brackets(&timer.step);
    format!("  {when}  {} of {metric}{step}", timer.kind)
}

fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{}  {}", words::moment(at), words::relative(now, at))
}

/// A step of a policy behind what it is about.
fn in_brackets(step: &str) -> String {
    if step.is_empty() {
        String::new()
    } else {
        format!(" ({})", words::short(step, 80))
    }
}

/// The explanation for scripts.
#[derive(Debug, Serialize)]
struct ExplainedView {
    ticket_id: String,
    policy_id: String,
    policies: Vec<serde_json::Value>,
    clocks: Vec<serde_json::Value>,
    steps: Vec<serde_json::Value>,
    timers: Vec<serde_json::Value>,
    taken: Vec<serde_json::Value>,
}

impl ExplainedView {
    fn of(ticket_id: &str, answer: &ExplainTicketResponse) -> Self {
        use serde_json::json;
        let time = |at: &Option<prost_types::Timestamp>| words::time(at.as_ref());
        let policies = answer.policies.iter().map(|it| {
            let metrics: Vec<_> = it.metrics.iter().map(|it| words::metric(*it)).collect();
            json!({"id": it.id, "version": it.version, "display_name": it.display_name,
                "condition": it.condition, "metrics": metrics})
        });
        let clocks = answer.clocks.iter().map(|it| {
            let segments = it.segments.iter().map(|it| {
                json!({"start_time": time(&it.start_time), "end_time": time(&it.end_time), "kind": it.kind})
            });
            json!({"metric": words::metric(it.metric), "cycle": it.cycle, "state": it.state,
                "elapsed_seconds": it.elapsed_seconds, "target_seconds": it.target_seconds,
                "due_time": time(&it.due_time), "breached": it.breached, "breach_time": time(&it.breach_time),
                "end_time": time(&it.end_time), "segments": segments.collect::<Vec<_>>()})
        });
        let steps = answer.steps.iter().map(|it| {
            let changes = it.changes.iter().map(|it| {
                json!({"metric": words::metric(it.metric), "cycle": it.cycle, "time": time(&it.time),
                    "change": it.change})
            });
            json!({"time": time(&it.time), "event": it.event, "to": it.to,
                "changes": changes.collect::<Vec<_>>()})
        });
        let timers = answer.timers.iter().map(|it| {
            json!({"time": time(&it.time), "metric": words::metric(it.metric), "kind": it.kind, "step": it.step})
        });
        let taken = answer.taken.iter().map(|it| {
            json!({"time": time(&it.time), "metric": words::metric(it.metric), "cycle": it.cycle, "kind": it.kind,
                "step": it.step, "due_time": time(&it.due_time), "late": it.late})
        });
        Self {
            ticket_id: ticket_id.to_owned(),
            policy_id: answer.policy_id.clone(),
            policies: policies.collect(),
            clocks: clocks.collect(),
            steps: steps.collect(),
            timers: timers.collect(),
            taken: taken.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use solmu_proto::sla::v1::{AppliedPolicy, ClockChange, Metric, Segment};

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
    fn at(minutes: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp {
            seconds: 1_800_000_000 + 60 * minutes,
            nanos: 0,
        })
    }

    #[test]
    fn what_was_told_says_when_and_whether_late() {
        let now = words::time(at(40).as_ref()).unwrap();
        let taken = TakenStep {
            time: at(30),
            metric: Metric::Resolution.into(),
            cycle: 2,
            kind: "warning".to_owned(),
            step: "used 50% warn".to_owned(),
            late: true,
            ..TakenStep::default()
        };
        let answer = ExplainTicketResponse {
            taken: vec![taken, TakenStep::default()],
            ..ExplainTicketResponse::default()
        };
        let text = page(&answer, now);
        let told = "10 min ago  warning of resolution 2 (used 50% warn), late";
        assert!(
            text.contains("Told and done so far:") && text.contains(told),
            "{text}"
        );
        assert!(text.contains("before this was kept"), "{text}");
        let view = serde_json::to_value(ExplainedView::of("t", &answer)).unwrap();
        assert_eq!(view["taken"][0]["late"], true);
    }

    #[test]
    fn a_picture_shows_what_each_clock_did() {
        let segment = |from, to, kind: &str| Segment {
            start_time: at(from),
            end_time: at(to),
            kind: kind.to_owned(),
        };
        let clock = Clock {
            metric: Metric::Resolution.into(),
            state: "running".to_owned(),
            elapsed_seconds: 1_800,
            target_seconds: 3_600,
            due_time: at(60),
            cycle: 1,
            segments: vec![
                segment(0, 20, "running"),
                segment(20, 30, "paused"),
                segment(30, 40, "closed"),
            ],
            ..Clock::default()
        };
        let answer = ExplainTicketResponse {
            policy_id: "p".to_owned(),
            clocks: vec![clock],
            policies: vec![AppliedPolicy {
                display_name: "Default".to_owned(),
                version: 2,
                metrics: vec![Metric::Resolution.into()],
                ..AppliedPolicy::default()
            }],
            steps: vec![ExplainStep {
                time: at(20),
                event: "status".to_owned(),
                to: "waiting_on_customer".to_owned(),
                changes: vec![ClockChange {
                    metric: Metric::Resolution.into(),
                    cycle: 1,
                    time: at(20),
                    change: "paused".to_owned(),
                }],
            }],
            now: at(40),
            timers: vec![Timer {
                time: at(60),
                metric: Metric::Resolution.into(),
                kind: "breach".to_owned(),
                step: String::new(),
            }],
            ..ExplainTicketResponse::default()
        };
        let now = words::time(at(40).as_ref()).unwrap();
        let text = page(&answer, now);
        let bar = text
            .lines()
            .find(|line| line.starts_with("resolution"))
            .unwrap();
        let count = |sign: char| bar.chars().filter(|it| *it == sign).count();
        assert!((18..=22).contains(&count('━')), "{bar}");
        assert!((8..=11).contains(&count('·')), "{bar}");
        assert!(
            count('░') >= 8 && count('│') == 1 && count('◇') == 1,
            "{bar}"
        );
        assert!(bar.contains("30 min of 1 h, due in 20 min"), "{bar}");
        assert!(
            text.contains("status to waiting on customer: resolution paused"),
            "{text}"
        );
        assert!(
            text.contains("Policy 'Default' version 2, holds when: always"),
            "{text}"
        );
        assert!(text.contains("in 20 min  breach of resolution"), "{text}");
        let view = serde_json::to_value(ExplainedView::of("t", &answer)).unwrap();
        assert_eq!(view["clocks"][0]["segments"][1]["kind"], "paused");
    }
}
