//! What a stranger's first ticket gets: a calendar and a policy, made when there are none.
//!
//! The calendar is always open: with office hours, the first mail on a Friday evening would be due on Monday, and
//! whoever tries Solmu would think that it does not work.

use std::collections::BTreeMap;

use solmu_conditions::Condition;
use solmu_db::Db;
use solmu_domain::{
    clock::Clock,
    ids::{CalendarId, PolicyId},
    rng::Rng,
    sla::{Calendar, CalendarSpec, MetricTargets, Policy},
    ticket::Priority,
};

use crate::{
    Error,
    policy_set::PolicyKey,
    store::catalogue::{self as store, CalendarRow, PolicyRow},
};

/// Seconds of an hour.
const HOUR: i64 = 3_600;
/// Warning before a deadline, in seconds.
const WARNING: i64 = 15 * 60;
/// The default policy stands behind all others.
const LAST: i32 = 1_000;

/// Makes the default calendar and policy, unless there is any calendar or policy. Says whether it did.
///
/// Safe to call in several processes at the same time, and at each start.
pub async fn bootstrap(db: &Db, clock: &dyn Clock, rng: &dyn Rng) -> Result<bool, Error> {
    let calendar = default_calendar(CalendarId::generate(clock, rng))?;
    let policy = default_policy(PolicyId::generate(clock, rng), calendar.id)?;
    let now = clock.now();
    db.tx("sla.bootstrap", |tx| {
        let (calendar, policy) = (calendar.clone(), policy.clone());
        Box::pin(async move {
            store::lock(tx).await?;
            if !store::is_empty(tx).await? {
                return Ok(false);
            }
            store::calendar_insert(tx, &calendar, now).await?;
            store::policy_insert(tx, &policy, now).await?;
            store::revise(tx).await?;
            Ok(true)
        })
    })
    .await
}

fn default_calendar(id: CalendarId) -> Result<CalendarRow, Error> {
    let definition = CalendarSpec {
        always_open: true,
        ..CalendarSpec::default()
    };
    Calendar::new(&definition)?;
    Ok(CalendarRow {
        id,
        version: 1,
        display_name: "Always open".to_owned(),
        definition,
        deleted: false,
    })
}

fn default_policy(id: PolicyId, calendar: CalendarId) -> Result<PolicyRow, Error> {
    let hours = |response: i64, resolution: i64| MetricTargets {
        first_response: Some(response * HOUR),
        next_response: Some(response * HOUR),
        resolution: Some(resolution * HOUR),
        ..MetricTargets::default()
    };
    let targets = [
        (Priority::Urgent, hours(1, 4)),
        (Priority::High, hours(4, 24)),
        (Priority::Normal, hours(8, 3 * 24)),
        (Priority::Low, hours(24, 7 * 24)),
    ];
    let targets = targets.map(|(priority, targets)| (priority.name().to_owned(), targets));
    let mut terms = Policy::new(BTreeMap::from(targets));
    terms.remind_before_s = Some(WARNING);
    terms.check()?;
    Ok(PolicyRow {
        key: PolicyKey { id, version: 1 },
        current: true,
        position: LAST,
        display_name: "Default".to_owned(),
        condition: String::new(),
        tree: Condition::always(),
        calendar,
        terms,
    })
}
