//! Files that are not what they should be: each is refused with its line and what is wrong, and nothing panics.

use crate::{
    simulate::{self, read_plan},
    snapshot::{eval_line, match_line},
};

const AGENT: &str = r#"{"type":"agent","id":"L","teams":["s"]}"#;

/// What is said of a plan with these lines after the agent.
fn said(lines: &[&str]) -> String {
    let mut text = AGENT.to_owned();
    for line in lines {
        text.push_str("\r\n");
        text.push_str(line);
    }
    match read_plan(text.as_bytes()) {
        Ok(plan) => {
            let report = simulate::run(&plan, |_| {});
            format!("{} came, {} left", report.all.count, report.left)
        }
        Err(error) => {
            let source = std::error::Error::source(&error);
            let source = source.map(|it| format!(": {it}"));
            format!("{error}{}", source.unwrap_or_default())
        }
    }
}

#[test]
fn a_plan_says_what_is_wrong_with_it() {
    let ticket = r#"{"type":"ticket","id":"t","team":"s","channel":"c","at":0,"handle":10}"#;
    assert_eq!(said(&[ticket, ""]), "1 came, 0 left");
    let with = |from: &str, to: &str| said(&[&ticket.replace(from, to)]);
    for (found, wanted) in [
        (
            with("10}", r#"10,"priorty":"high"}"#),
            "line 2: unknown field 'priorty', expected one of id, at",
        ),
        (
            with("10}", r#"10,"priority":"blazing"}"#),
            "unknown variant `blazing`, expected one of `low`",
        ),
        (with("10}", "-10}"), "-10 is less than zero"),
        (
            with("10}", "1e300}"),
            "is too far away: seconds go from -1e11 to 1e11",
        ),
        (
            with("10}", r#"10,"sticky":"nobody"}"#),
            "line 2: sticky: there is no agent 'nobody'",
        ),
        (
            said(&[AGENT, ticket]),
            "line 2: there is an agent 'L' already",
        ),
        (
            said(&[
                r#"{"type":"agent","id":"M","teams":[],"shifts":[[5,1]]}"#,
                ticket,
            ]),
            "line 2: shifts: [5, 1] ends before it begins",
        ),
        (
            said(&[
                r#"{"type":"agent","id":"M","teams":[],"capacity":4294967295}"#,
                ticket,
            ]),
            "4294967295 is too much",
        ),
        (
            said(&[r#"{"type":"policy"}"#, r#"{"type":"policy"}"#, ticket]),
            "line 3: there is a policy already",
        ),
        (
            said(&[
                r#"{"type":"arrivals","id":"c","team":"s","channel":"c","to":100,"per_hour":-5,"handle_mean":1}"#,
            ]),
            "line 2: per_hour: must not be less than zero",
        ),
        (
            said(&[
                r#"{"type":"arrivals","id":"c","team":"s","channel":"c","to":1e11,"per_hour":1e300,"handle_mean":1}"#,
            ]),
            "line 2 brings more than 2000000 tickets",
        ),
        (
            said(&[r#"{"type":"tickett"}"#]),
            "line 2 is not understood: unknown variant `tickett`",
        ),
        (
            said(&[]),
            "a simulation needs at least one agent and one ticket",
        ),
    ] {
        assert!(found.contains(wanted), "{found} without {wanted}");
    }
}

#[test]
fn a_sticky_agent_may_come_later_in_the_file() {
    let ticket =
        r#"{"type":"ticket","id":"t","team":"s","channel":"c","at":0,"handle":10,"sticky":"M"}"#;
    let later = r#"{"type":"agent","id":"M","teams":["s"]}"#;
    assert_eq!(said(&[ticket, later]), "1 came, 0 left");
}

#[test]
fn the_largest_that_is_allowed_does_not_overflow() {
    let found = said(&[
        r#"{"type":"policy","weights":{"c":100000000},"age_step":1e11,"risk_lead":1e11,"sticky_hold":1e11}"#,
        r#"{"type":"agent","id":"M","teams":["s"],"capacity":100000000,"shifts":[[-1e11,1e11]]}"#,
        r#"{"type":"ticket","id":"t","team":"s","channel":"c","at":1e11,"handle":1e11,"within":1e11,"sticky":"M",
            "skills":[{"n":"x","relax":1e11}]}"#.replace('\n', " ").as_str(),
        r#"{"type":"ticket","id":"u","team":"s","channel":"c","at":0,"handle":1e11,"priority":"low"}"#,
    ]);
    assert!(found.contains("came"), "{found}");
    let most = r#"{"id":"x","now":1e11,"policy":{"weights":{"e":100000000},"age_step":1e11,"risk_lead":-1e11,
        "sticky_hold":1e11,"overflow":{"s":{"after":1e11,"to":["z"]}}},"agents":[{"id":"a","teams":["s"],
        "items":{"e":100000},"capacity":100000000,"last_assigned":-1e11,"geo":[1e300,5]}],
        "queue":[{"id":"t","channel":"e","team":"s","arrived":-1e11,"due":1e11,"geo":[5,5]}]}"#;
    assert_eq!(eval_line(most).unwrap().assignments[0].1, None);
}

#[test]
fn snapshots_say_what_is_wrong_with_them() {
    let chain = |error: &dyn std::error::Error| {
        let source = error.source().map(|it| format!(": {it}"));
        format!("{error}{}", source.unwrap_or_default())
    };
    let eval = |line: &str| chain(&eval_line(line).unwrap_err());
    let case = |now: &str, agents: &str, queue: &str| {
        eval(&format!(
            r#"{{"id":"x","now":{now},"policy":{{}},"agents":[{agents}],"queue":[{queue}]}}"#
        ))
    };
    let found = case("1e300", "", "");
    assert!(
        found.contains("too far away") && found.contains("column"),
        "{found}"
    );
    let found = case("0", r#"{"id":"a","teams":[],"items":{"e":4000000000}}"#, "");
    assert!(found.contains("at most 100000"), "{found}");
    let heavy = r#"{"id":"m","agents":[{"skills":[1],"cap":4}],"tickets":[{"need":[1],"w":9223372036854775807},
        {"need":[1],"w":1}]}"#;
    let found = chain(&match_line(heavy, true).unwrap_err());
    assert!(found.contains("the weights together"), "{found}");
    let one = r#"{"id":"m","agents":[{"skills":[1],"cap":4}],"tickets":[{"need":[1],"w":9223372036854775807}]}"#;
    assert_eq!(match_line(one, true).unwrap().placed, i64::MAX);
}

/// Where the reference and common sense part, the reference is followed: `router_ref.py` gives these answers.
#[test]
fn snapshots_are_decided_as_the_reference_does() {
    let decided = |policy: &str, agents: &str, ticket: &str| {
        let line = format!(
            r#"{{"id":"x","now":100,"policy":{{"weights":{{"email":10}}{policy}}},"agents":[{agents}],
                "queue":[{{"id":"t","channel":"email","team":"s","arrived":90{ticket}}}]}}"#
        );
        eval_line(&line).unwrap().assignments[0].1.clone()
    };
    let anna = r#"{"id":"anna","teams":["s"]}"#;
    let other = |more: &str| format!(r#"{anna},{{"id":"old","teams":["z"]{more}}}"#);
    let sticky = r#","sticky":"old""#;
    let hold = r#","sticky_hold":60"#;
    // A former agent of another team is waited for while they are there, and one without the skill too.
    assert_eq!(decided(hold, &other(""), sticky), None);
    assert_eq!(decided("", &other(""), sticky).unwrap(), "anna");
    for gone in [
        r#","presence":"away""#,
        r#","open":false"#,
        r#","presence":{"chat":"online"}"#,
    ] {
        assert_eq!(decided(hold, &other(gone), sticky).unwrap(), "anna");
    }
    let excluded = r#","sticky":"old","excluded":["old"]"#;
    assert_eq!(decided(hold, &other(""), excluded).unwrap(), "anna");
    let skilled = r#"{"id":"anna","teams":["s"],"skills":{"fi":1}},{"id":"old","teams":["s"]}"#;
    let needs = r#","sticky":"old","skills":[{"n":"fi"}]"#;
    assert_eq!(decided(hold, skilled, needs), None);
    // What weighs nothing is done by who is full, and by nobody who has too much.
    let full = |capacity| {
        let line = format!(
            r#"{{"id":"x","now":100,"policy":{{"weights":{{"email":0,"chat":10}}}},
                "agents":[{{"id":"anna","teams":["s"],"capacity":{capacity},"items":{{"chat":2}}}}],
                "queue":[{{"id":"t","channel":"email","team":"s","arrived":90}}]}}"#
        );
        eval_line(&line).unwrap().assignments[0].1.clone()
    };
    assert_eq!(full(20).unwrap(), "anna");
    assert_eq!(full(19), None);
    // Everybody has level 0; null is the same as nothing.
    let zero = r#","skills":[{"n":"sv","lvl":0}],"vip":null,"due":null"#;
    assert_eq!(decided("", anna, zero).unwrap(), "anna");
    // Two of one name are two, and the first of them is the former agent.
    let twins =
        r#"{"id":"anna","teams":["s"],"capacity":10},{"id":"anna","teams":["s"],"capacity":10}"#;
    let line = |ticket: &str| {
        let ticket = format!(r#"{{"id":"t","channel":"email","team":"s","arrived":90{ticket}}}"#);
        let line = format!(
            r#"{{"id":"x","now":100,"policy":{{"weights":{{"email":10}}{hold}}},"agents":[{twins}],
                "queue":[{ticket},{ticket},{ticket}]}}"#
        );
        let found = eval_line(&line).unwrap().assignments.into_iter();
        found
            .map(|(ticket, agent)| (ticket, agent.is_some()))
            .collect::<Vec<_>>()
    };
    let three = |third| [true, true, third].map(|placed| ("t".to_owned(), placed));
    assert_eq!(line(""), three(false));
    let waits = [true, false, false].map(|placed| ("t".to_owned(), placed));
    assert_eq!(line(r#","sticky":"anna""#), waits);
    assert!(
        line(r#","excluded":["anna"]"#)
            .iter()
            .all(|(_, placed)| !placed)
    );
    // No limit counts as a million where the room of a channel is compared.
    let roomy = r#"{"id":"anna","teams":["s"]},{"id":"bo","teams":["s"],"max":{"email":1000001}}"#;
    assert_eq!(decided(r#","strategy":"spare""#, roomy, "").unwrap(), "bo");
}
