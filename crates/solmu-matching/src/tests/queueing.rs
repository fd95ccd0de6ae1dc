//! Simulations against the theory of queues.

use std::fmt::Write as _;

use crate::{
    Strategy,
    simulate::{Plan, Report, read_plan, run},
};

/// Mean wait in a queue M/M/c, in seconds: Erlang C.
fn erlang_c(servers: u32, per_hour: f64, handle: f64) -> f64 {
    let load = per_hour * handle / 3_600.0;
    let mut blocked = 1.0;
    for server in 1..=servers {
        blocked = load * blocked / (f64::from(server) + load * blocked);
    }
    let share = load / f64::from(servers);
    let waits = blocked / (1.0 - share * (1.0 - blocked));
    waits * handle / (f64::from(servers) * (1.0 - share))
}

#[test]
fn erlang_c_is_computed_right() {
    for (servers, per_hour, handle, wait) in [
        (14, 200.0, 180.0, 7.84),
        (11, 100.0, 300.0, 33.71),
        (20, 120.0, 480.0, 30.73),
        (55, 600.0, 300.0, 23.07),
    ] {
        let found = erlang_c(servers, per_hour, handle);
        assert!((found - wait).abs() < 0.01, "{found} instead of {wait}");
    }
}

const POLICY: &str =
    r#"{"type":"policy","weights":{"phone":1},"repair":false,"warm_up":36000,"age_step":0}"#;

fn plan(text: &str) -> Plan {
    read_plan(text.as_bytes()).unwrap()
}

fn simulate(plan: &Plan) -> Report {
    let report = run(plan, |_| {});
    assert_eq!(report.left, 0);
    report
}

#[test]
fn one_queue_of_equal_agents_waits_as_theory_says() {
    for (servers, per_hour, handle, hours) in [(14, 200.0, 180.0, 1_000)] {
        let mut text = format!("{POLICY}\n");
        for agent in 0..servers {
            let line = r#"{"type":"agent","id":"A","teams":["t"],"capacity":1}"#;
            writeln!(text, "{}", line.replace('A', &agent.to_string())).unwrap();
        }
        writeln!(
            text,
            r#"{{"type":"arrivals","id":"c","team":"t","channel":"phone","to":{},"per_hour":{per_hour},"handle_mean":{handle},"seed":5}}"#,
            hours * 3_600
        )
        .unwrap();
        let report = simulate(&plan(&text));
        let theory = erlang_c(servers, per_hour, handle);
        let ratio = report.all.mean / theory;
        eprintln!(
            "{servers} servers: {:.2} s, theory {theory:.2} s, ratio {ratio:.3}",
            report.all.mean
        );
        assert!((0.95..=1.05).contains(&ratio), "ratio {ratio}");
        assert!(report.fairness > 0.995, "fairness {}", report.fairness);
    }
}

/// Twenty agents with 1, 2 or 4 of five skills (50, 30 and 20 % of them), 90 % busy.
fn mixed(strategy: &str, seed: u64, relax: Option<u32>) -> (Plan, f64) {
    let handle = 480.0;
    let per_hour = 0.9 * 20.0 * 3_600.0 / handle;
    let mut text = POLICY.replace(
        r#""repair""#,
        &format!(r#""strategy":"{strategy}","repair""#),
    );
    text.push('\n');
    for agent in 0..20_u32 {
        let count = match agent {
            0..10 => 1,
            10..16 => 2,
            _ => 4,
        };
        let skills = (0..count).map(|step| format!(r#""s{}":1"#, (agent + step) % 5));
        let skills = skills.collect::<Vec<_>>().join(",");
        let line = r#"{"type":"agent","id":"A","teams":["t"],"capacity":1,"skills":{S}}"#;
        let line = line.replace('A', &agent.to_string()).replace('S', &skills);
        writeln!(text, "{line}").unwrap();
    }
    let relax = relax.map_or("null".to_owned(), |seconds| seconds.to_string());
    for skill in 0..5 {
        writeln!(
            text,
            r#"{{"type":"arrivals","id":"c{skill}-","team":"t","channel":"phone","to":1440000,"per_hour":{},"handle_mean":{handle},"seed":{},"skills":[{{"n":"s{skill}","relax":{relax}}}]}}"#,
            per_hour / 5.0,
            seed * 10 + skill
        )
        .unwrap();
    }
    (plan(&text), erlang_c(20, per_hour, handle))
}

#[test]
fn a_mixed_team_waits_less_than_twice_the_pooled_bound_and_works_evenly() {
    let (mut ratios, mut fairness) = (Vec::new(), Vec::new());
    for seed in 1..=3 {
        let (plan, bound) = mixed("fewest_skills", seed, None);
        let report = simulate(&plan);
        ratios.push(report.all.mean / bound);
        fairness.push(report.fairness);
        assert!((report.best_skill - 1.0).abs() < 1e-9);
    }
    let mean = ratios.iter().sum::<f64>() / 3.0;
    eprintln!("mixed team at 90 %: {mean:.2} x the pooled bound, fairness {fairness:.4?}");
    assert!(mean <= 1.9, "{mean}");
    assert!(fairness.iter().all(|it| *it >= 0.995), "{fairness:?}");
}

#[test]
fn giving_up_a_skill_after_a_minute_shortens_the_wait() {
    let (strict, _) = mixed("balanced", 1, None);
    let (relaxed, _) = mixed("balanced", 1, Some(60));
    let (strict, relaxed) = (simulate(&strict), simulate(&relaxed));
    assert!(relaxed.all.mean < strict.all.mean * 0.8);
    assert!(relaxed.best_skill < 1.0 && relaxed.best_skill > 0.4);
    assert_eq!(strict.all.count, relaxed.all.count);
}

#[test]
fn shifts_and_priorities_show_in_the_report() {
    let text = r#"
{"type":"policy","weights":{"chat":30},"age_step":60}
{"type":"team","id":"night","overflow_after":10,"overflow_to":["day"]}
{"type":"agent","id":"Anna","teams":["day"],"capacity":30,"shifts":[[0,100],[200,300]]}
{"type":"ticket","id":"a","at":0,"handle":50,"team":"day","channel":"chat","within":5}
{"type":"ticket","id":"low","at":1,"handle":10,"team":"day","channel":"chat","priority":"low","within":5}
{"type":"ticket","id":"urgent","at":2,"handle":45,"team":"day","channel":"chat","priority":"urgent"}
{"type":"ticket","id":"other","at":90,"handle":10,"team":"night","channel":"chat"}
"#;
    let mut told = Vec::new();
    let report = run(&plan(text), |it| told.push((it.ticket.clone(), it.at)));
    let told: Vec<_> = told.iter().map(|(name, at)| (name.as_str(), *at)).collect();
    // Low is due soon and therefore first; urgent is given just before the shift ends and done after it; the other
    // team's ticket waits for the next shift.
    assert_eq!(
        told,
        [
            ("a", 0.0),
            ("low", 50.0),
            ("urgent", 60.0),
            ("other", 200.0)
        ]
    );
    assert_eq!(report.by_priority["normal"].count, 2);
    assert_eq!(report.all.within, Some(0.5));
    assert_eq!(report.agents[0].tickets, 4);
    // Five of 115 seconds are after the shift.
    assert!((report.agents[0].occupancy - 110.0 / 200.0).abs() < 1e-9);
    assert!((report.agents[0].overtime - 5.0).abs() < 1e-9);
}

#[test]
fn what_is_no_plan_is_refused_with_its_line() {
    for (text, message) in [
        ("", "a simulation needs at least one agent and one ticket"),
        (
            "{\"type\":\"agent\",\"id\":\"a\",\"teams\":[]}\n{\"type\":\"x\"}",
            "line 2 is not understood",
        ),
        (
            "{\"type\":\"policy\",\"wieghts\":{}}",
            "line 1 is not understood",
        ),
    ] {
        assert_eq!(read_plan(text.as_bytes()).unwrap_err().to_string(), message);
    }
    let one = "{\"type\":\"agent\",\"id\":\"a\",\"teams\":[\"t\"]}\n{\"type\":\"ticket\",\"id\":\"1\",\"at\":1,\"handle\":1,\"team\":\"t\",\"channel\":\"chat\"}";
    let plan = plan(one).with_strategy(Strategy::RoundRobin);
    assert_eq!(simulate(&plan).all.count, 1);
}
